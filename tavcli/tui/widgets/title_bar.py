"""The first line of every screen: its title, and what it shows. A click on the title goes back."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Click
from textual.screen import Screen
from textual.widgets import Static

from tavcli.text import printable


class TitleBar(Horizontal):
    """Follows the screen's `title` and `sub_title`."""

    DEFAULT_CSS = """
    TitleBar { height: 1; background: $panel; padding: 0 1; }
    TitleBar > #name { width: auto; text-style: bold; color: $primary; }
    TitleBar > #about {
        width: 1fr; text-align: right; color: $foreground-muted; text-wrap: nowrap; text-overflow: ellipsis;
    }
    """

    def compose(self) -> ComposeResult:
        yield Static(id="name")
        yield Static(id="about")

    def on_mount(self) -> None:
        screen: Screen[object] = self.screen
        self.watch(screen, "title", self._show_title)
        self.watch(screen, "sub_title", self._show_sub_title)

    @on(Click, "#name")
    async def _back(self) -> None:
        if self.app.screen_stack[0] is not self.screen:
            await self.app.run_action("back", self.screen)

    def _show_title(self, title: str | None) -> None:
        back = "" if self.app.screen_stack[0] is self.screen else "< "
        self.query_one("#name", Static).update(Content(f"{back}tav  {printable(title or '')}"))

    def _show_sub_title(self, about: str | None) -> None:
        self.query_one("#about", Static).update(Content(f"  {printable(about or '')}"))
