"""The parts that all screens share: a title bar, a footer, the way back.

A screen sets `TITLE` and `HELP` (for F1: a title, and on the next lines a paragraph; a widget that can have the focus
sets it too), declares its commands as `BINDINGS` with tooltips (see `command_palette`), and yields its widgets in
`body`. The title bar shows `sub_title` at its right.

An action or a worker raises TavError or OSError for an error that the user can correct, and the application shows it. A
message handler must not raise: it calls `await self.app.run_action("do_it", self)`, or starts a worker.
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
        """The widgets between the title bar and the footer."""
        return ()

    async def on_prune(self, _event: Prune) -> None:
        """Cancel the workers of a closing screen: they would find its widgets gone."""
        self.workers.cancel_node(self)

    def action_back(self) -> None:
        self.dismiss()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "back":
            return self.app.screen_stack[0] is not self
        return super().check_action(action, parameters)
