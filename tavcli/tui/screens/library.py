"""The library: workspaces under a folder, to look at, find and open."""

from collections.abc import Iterable
from pathlib import Path

from textual import on, work
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static

from tavcli.tui.data.library import Entry, judged, read, workspaces
from tavcli.tui.data.thumbnails import picture_of
from tavcli.tui.processes.workers import WorkerProcesses
from tavcli.tui.screens.message import Note
from tavcli.tui.screens.tav_screen import TavScreen
from tavcli.tui.screens.workspace import WorkspaceScreen
from tavcli.tui.theme import place
from tavcli.tui.threads import in_thread
from tavcli.tui.widgets.details import Details
from tavcli.tui.widgets.filter import Filter
from tavcli.tui.widgets.workspace_list import Shelf
from tavcli.workspace.folder import Workspace

_NEW = Content.from_markup("""A workspace is the folder of one clip. In a terminal:

[b $text]tav init CLIP --caption "what the clip shows"[/]

CLIP is any video, GIF or folder of pictures. Then press r here.""")
_EMPTY = Content.from_markup("""[b]There are no workspaces in this folder yet.[/]

A workspace is the folder of one clip. In a terminal, from a video of yours:

    [b $accent]tav init CLIP --caption "what the clip shows"[/]

or, to see first what tav does, from a drawn clip that comes with it, in two minutes:

    [b $accent]tav demo[/]

Then press r here.""")


class Library(TavScreen):
    """Reads the workspaces, one by one, whenever it comes to the front; meanwhile it shows what is known of them."""

    TITLE = "Library"
    HELP = """Library
    The workspaces under this folder, at most two levels deep."""
    BINDINGS = [
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Show only workspaces that have some words"),
        Binding("n", "new", "New", tooltip="How to make a new workspace"),
        Binding("r", "refresh", "Refresh", tooltip="Look again for workspaces, and read them again"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]
    DEFAULT_CSS = """
    Library #empty { display: none; padding: 1 2; max-width: 100; }
    Library.-empty #empty { display: block; }
    Library.-empty #both { display: none; }
    Library #both { height: 1fr; }
    Library.-narrow Details { display: none; }
    """

    def __init__(self, root: Path, processes: WorkerProcesses, behind: bool = False) -> None:
        super().__init__()
        self.root, self.processes = root, processes
        self._behind = behind  # another screen opens on top: read nothing until this one is seen

    def body(self) -> Iterable[Widget]:
        yield Filter()
        yield Static(_EMPTY, id="empty")
        yield Horizontal(Shelf(self.root), Details(), id="both")

    @property
    def shelf(self) -> Shelf:
        return self.query_one(Shelf)

    def on_mount(self) -> None:
        self.shelf.focus()

    def on_screen_resume(self) -> None:
        if not self._behind:
            self.action_refresh()
        self._behind = False

    def on_screen_suspend(self) -> None:
        """Stop reading, in favour of the screen in front; the rest is read on return."""
        self.workers.cancel_node(self)

    @work(exclusive=True)
    async def action_refresh(self) -> None:
        folders = await in_thread(workspaces, self.root)
        self.set_class(not folders, "-empty")
        self.sub_title = f"{len(folders)} workspace{'s' * (len(folders) != 1)} · {place(self.root)}"
        self.shelf.show(folders)
        for folder in folders:
            self._put(await in_thread(read, folder))
        for entry in list(self.shelf.entries.values()):
            if entry.cover is not None and (picture := await in_thread(picture_of, entry.cover)):
                self.shelf.put_picture(entry.folder, picture)
        for entry in self.shelf.readable:
            self._put(await in_thread(judged, entry))

    def _put(self, entry: Entry) -> None:
        self.shelf.put(entry)
        if self.shelf.chosen is entry:
            self._show_details()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "filter":
            return not self.query_one(Filter).has_focus
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        self.query_one(Filter).show()

    def action_new(self) -> None:
        self.app.push_screen(Note("A new workspace", _NEW))

    def action_open(self) -> None:
        if (entry := self.shelf.chosen) is not None:
            workspace = Workspace(entry.folder)
            workspace.read()  # raises if it cannot be opened
            self.app.push_screen(WorkspaceScreen(workspace, self.processes))

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        self.shelf.narrow(event.value)
        self._show_details()

    @on(Filter.Left)
    def _back_to_the_shelf(self) -> None:
        self.shelf.focus()

    @on(OptionList.OptionHighlighted)
    def _show_details(self) -> None:
        self.query_one(Details).show(self.shelf.chosen)

    @on(OptionList.OptionSelected)
    async def _open(self) -> None:
        await self.app.run_action("open", self)
