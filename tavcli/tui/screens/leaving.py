"""Leaving while something is rendered: does that go on?"""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tavcli.recipes import plain

GOES_ON, STOPS = "goes on", "stops"


class Leaving(ModalScreen[str | None]):
    """Dismissed with GOES_ON, STOPS, or None for who stays."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", f"dismiss('{GOES_ON}')", "Goes on"),
        Binding("s", f"dismiss('{STOPS}')", "Stops"),
        Binding("escape", "dismiss(None)", "Stay"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content("Does the worker go on when you leave?"), classes="question")
            yield Static(Content(plain(self._what)), classes="detail")
            yield Static(Content("Stopped, it saves first, and goes on when you come back."), classes="detail")
            with Horizontal(classes="buttons"):
                yield Button(Content("Goes on (g)"), id="on")
                yield Button(Content("Stops (s)"), id="off")
                yield Button(Content("Stay here (esc)"), id="stay")

    def on_mount(self) -> None:
        self.query_one("#on").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss({"on": GOES_ON, "off": STOPS}.get(event.button.id or ""))
