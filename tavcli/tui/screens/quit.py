"""Asks, on leaving while something is rendered, whether the worker goes on."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

GOES_ON, STOPS = "goes on", "stops"
# Cells of a line.
_WIDEST = 66
_CHOICES = Content.from_markup("""[b]Go on[/]: it does all that is queued, and ends by itself.
[b]Stop[/]: it saves first; opened again, this goes on from there.""")


class Leaving(ModalScreen[str | None]):
    """The question whether the worker goes on. Dismissed with GOES_ON, STOPS, or None to stay."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("g", f"dismiss('{GOES_ON}')", "Go on"),
        Binding("s", f"dismiss('{STOPS}')", "Stop"),
        Binding("escape", "dismiss(None)", "Stay"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, works: list[str]) -> None:
        super().__init__()
        self._works = works  # a line for each workspace

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Content("Does the worker go on when you leave?"), classes="question")
            yield Static(
                Content("\n").join(Content(one).truncate(_WIDEST, ellipsis=True) for one in self._works),
                classes="detail",
            )
            yield Static(_CHOICES, classes="detail")
            with Horizontal(classes="buttons"):
                yield Button(Content("Go on (g)"), id="on")
                yield Button(Content("Stop (s)"), id="off")
                yield Button(Content("Stay here (esc)"), id="stay")

    def on_mount(self) -> None:
        self.query_one("#on").focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss({"on": GOES_ON, "off": STOPS}.get(event.button.id or ""))
