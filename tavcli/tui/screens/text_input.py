"""A line to type, for tags or a path."""

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tavcli.text import printable


class Line(ModalScreen[str | None]):
    """Asks for a line of text. Dismissed with what was typed, or None."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel")]
    # CSS, since the application's own rules would win over DEFAULT_CSS.
    CSS = """
    Line Input { width: 60; height: 3; margin-top: 1; border: round $border-blurred; background: $background; }
    Line Input:focus { border: round $border; }
    """

    def __init__(self, question: str, value: str, detail: str) -> None:
        super().__init__()
        self._question, self._value, self._detail = question, value, detail

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(printable(self._question)), classes="question")
            yield Input(self._value)
            yield Static(Content(f"{self._detail}\nEnter keeps it, Escape does not"), classes="detail")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)
