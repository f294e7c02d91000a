"""The Textual application: its theme and commands, how it shows errors, and how it is left."""

from collections.abc import Mapping
from pathlib import Path

from textual.actions import ActionParseResult
from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen
from textual.worker import WorkerFailed

from tav.errors import TavError
from tavcli.text import printable
from tavcli.tui import theme
from tavcli.tui.command_palette import Palette, commands
from tavcli.tui.processes.workers import WorkerProcesses
from tavcli.tui.screens.help import Help
from tavcli.tui.screens.library import Library
from tavcli.tui.screens.quit import STOPS, Leaving
from tavcli.tui.screens.workspace import WorkspaceScreen
from tavcli.tui.threads import in_thread
from tavcli.workspace.folder import Workspace

_LEAVE = "Leave; renders go on or stop, as you answer"
_QUITTING = "quitting"
# Seconds an error stays on the screen.
_READING_TIME = 10


class TavApp(App[None]):
    """The application: the library of the workspaces under `root`; a given `workspace` is open on top of it.

    Workers are started with `flags`. Once the application has ended, `failure` is the bug that ended it, or None, and
    `stopped` tells whether a signal ended it.
    """

    TITLE = "tav"
    CSS = theme.CSS
    COMMANDS = {Palette}
    BINDINGS = [
        # The palette lists what the footer has no room for.
        Binding("ctrl+p", "command_palette", "More", show=False, priority=True, tooltip="All commands, to search"),
        Binding("f1", "help", "Help", tooltip="What has the focus, and its keys"),
        Binding("q", "quit", "Quit", tooltip=_LEAVE),
        Binding("ctrl+q", "quit", "Quit", tooltip=_LEAVE, show=False, priority=True),
    ]

    def __init__(self, root: Path, workspace: Workspace | None = None, flags: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.root, self.workspace = root, workspace
        self.failure: BaseException | None = None
        self.stopped = False
        self.processes = WorkerProcesses(flags)
        self.register_theme(theme.THEME)
        self.theme = theme.THEME.name

    def get_default_screen(self) -> Screen[None]:
        return Library(self.root, self.processes, behind=self.workspace is not None)

    def on_mount(self) -> None:
        if self.workspace is not None:
            self.push_screen(WorkspaceScreen(self.workspace, self.processes))

    async def may_quit(self) -> bool:
        """May the application end? Asks the user if jobs are being done. Runs in a Textual worker: it waits."""
        at_work = [
            (place, words) for place in self.processes.places if (words := await in_thread(self._work_in, place))
        ]
        if not at_work:
            return True
        answer = await self.push_screen_wait(Leaving([words for _, words in at_work]))
        if answer == STOPS:
            for place, _ in at_work:
                await in_thread(self.processes.send_away, place)
        return answer is not None

    def _work_in(self, place: Workspace) -> str:
        """The work going on in a workspace, in words; an unreadable workspace has none, so it does not prevent
        quitting.
        """
        try:
            return self.processes.work_in(place)
        except (TavError, OSError):
            return ""

    async def action_quit(self) -> None:
        if not any(worker.group == _QUITTING for worker in self.workers):  # the question is open already
            self.run_worker(self._quit(), group=_QUITTING)

    async def _quit(self) -> None:
        if await self.may_quit():
            self.exit()

    def action_help(self) -> None:
        screen = self.screen
        self.push_screen(Help(screen.focused or screen, commands(screen)))

    def stop(self) -> None:
        """End at once, after a signal."""
        self.stopped = True
        self.exit()

    def complain(self, error: TavError | OSError) -> None:
        """Show an error that the user can correct."""
        if isinstance(error, TavError):
            message, hint = error.message, error.hint
        else:
            message, hint = f"{error.filename or 'input or output'}: {error.strerror or error}", ""
        self.notify(printable(hint), title=printable(message), severity="error", timeout=_READING_TIME, markup=False)

    async def run_action(
        self,
        action: "str | ActionParseResult",
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Run a command, given by key, click or palette, and show its error."""
        try:
            return await super().run_action(action, default_namespace, namespaces)
        except (TavError, OSError) as error:
            self.complain(error)
            return True

    def _handle_exception(self, error: Exception) -> None:
        """Keep a bug for `launch.run`, which raises it once the terminal is restored; Textual would print it here."""
        cause = error.error if isinstance(error, WorkerFailed) else error
        if isinstance(error, WorkerFailed) and isinstance(cause, TavError | OSError):
            self.complain(cause)
            return
        self.failure = self.failure or cause
        super()._handle_exception(error)
        self._exit_renderables.clear()
