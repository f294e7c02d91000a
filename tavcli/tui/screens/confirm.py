"""A yes-or-no question that must be answered before anything else."""

from typing import Any

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tavcli.text import printable


async def ask(app: App[Any], question: str, detail: str = "", *, yes: str = "Yes", no: str = "No") -> bool:
    """Does the user say yes? Call it in a worker (`@work`, `run_worker`) only: keys are read while it waits."""
    return await app.push_screen_wait(Confirm(question, detail, yes=yes, no=no))


class Confirm(ModalScreen[bool]):
    """A yes-or-no question, dismissed with True for yes. The safe answer, no, has the focus first."""

    BINDINGS = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
        Binding("left,right,up,down", "other", "Other answer", show=False),
    ]

    def __init__(self, question: str, detail: str = "", *, yes: str = "Yes", no: str = "No") -> None:
        super().__init__()
        self._question, self._detail, self._yes, self._no = question, detail, yes, no

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content(printable(self._question)), classes="question")
            if self._detail:
                yield Static(Content(printable(self._detail)), classes="detail")
            with Horizontal(classes="buttons"):
                yield Button(Content(f"{self._yes} (y)"), id="yes")
                yield Button(Content(f"{self._no} (n)"), id="no")

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)

    def action_other(self) -> None:
        self.focus_next()
