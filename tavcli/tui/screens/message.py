"""A few lines to read, and perhaps to copy with the mouse."""

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static


class Note(ModalScreen[None]):
    """A text to read, closed by Escape, Enter or the button."""

    BINDINGS = [Binding("escape", "close", "Close")]

    def __init__(self, title: str, text: Content) -> None:
        super().__init__()
        self._heading, self._text = title, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(self._heading), classes="question")
            yield Static(self._text, classes="detail")
            with Horizontal(classes="buttons"):
                yield Button("Close", id="close")

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        self.dismiss()
