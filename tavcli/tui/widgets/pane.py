"""One of the compared videos: a player over its label."""

from dataclasses import dataclass
from pathlib import Path

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from tav.video.ffmpeg import one_line
from tavcli.tui.playback.clock import Clock
from tavcli.tui.playback.footage import Size
from tavcli.tui.widgets.player import Player


@dataclass(frozen=True)
class Item:
    """A video to compare, and its label, such as an edit's prompt. It plays from second `start` on.

    For a clip, `start` is where its first frame was taken: edits begin there.
    """

    label: str
    path: Path
    start: float = 0.0


class Pane(Vertical, can_focus=True):
    """A player over its label. It posts what the mouse does to it."""

    DEFAULT_CSS = """
    Pane { align: center middle; }
    Pane > Static { height: 1; text-align: center; text-wrap: nowrap; text-overflow: ellipsis; }
    Pane > Static { color: $foreground-muted; }
    Pane:focus > Static { color: $foreground; background: $block-cursor-background; text-style: bold; }
    Pane:nocolor:focus > Static { text-style: bold reverse; }
    """

    class Taken(Message):
        """The mouse was pressed on a pane."""

        def __init__(self, pane: "Pane") -> None:
            super().__init__()
            self.pane = pane

    class Dropped(Taken):
        """The mouse was released on a pane."""

    class Opened(Taken):
        """A pane was clicked twice."""

    def __init__(self, item: Item, clock: Clock) -> None:
        super().__init__()
        self.item = item
        self.player = Player(clock)
        self.label = Static()

    def compose(self) -> ComposeResult:
        yield self.player
        yield self.label

    def on_mount(self) -> None:
        self.player.open(self.item.path, self.item.start)

    @property
    def picture_size(self) -> Size | None:
        """Width and height of the frames in pixels; None until they are read."""
        footage = self.player.footage
        return (footage.frames.shape[2], footage.frames.shape[1]) if footage else None

    def number(self, place: int) -> None:
        """Show the pane's number, which is its key, before the label."""
        label = one_line(self.item.label)
        self.label.update(Content(f" {place}  {label} "))
        self.label.tooltip = Content(label)

    def on_mouse_down(self) -> None:
        self.post_message(self.Taken(self))

    def on_mouse_up(self) -> None:
        self.post_message(self.Dropped(self))

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2:
            self.post_message(self.Opened(self))
