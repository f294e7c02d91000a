"""What all screens share: a title bar, a footer, the way back.

A screen sets `TITLE` and `HELP` (a title, and on the next lines a paragraph, for F1; so does a widget that can have the
focus), declares its commands as `BINDINGS` with tooltips (see `command_palette`), and yields the rest in `body`.
`sub_title` is what the title bar says at its right.

Errors that a user can mend are raised as TavError or OSError from an action or a worker: the application shows them. A
handler of a message has no such net: it calls `await self.app.run_action("do_it", self)`, or starts a worker.
"""

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.messages import Prune
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from tavcli.tui.widgets.title_bar import TitleBar


class TavScreen(Screen[None]):
    """The ancestor of all screens that fill the terminal."""

    BINDINGS = [Binding("escape", "back", "Back", show=False, tooltip="Go back to the screen before this one")]

    def compose(self) -> ComposeResult:
        yield TitleBar()
        yield from self.body()
        yield Footer()

    def body(self) -> Iterable[Widget]:
        """What stands between the title bar and the footer."""
        return ()

    async def on_prune(self, _event: Prune) -> None:
        """Whoever reads for a screen that is being closed would find its widgets gone."""
        self.workers.cancel_node(self)

    def action_back(self) -> None:
        self.dismiss()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "back":
            return self.app.screen_stack[0] is not self
        return super().check_action(action, parameters)
