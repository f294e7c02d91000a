"""One of the videos that are compared: a player over its label."""

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
    """A video to compare, and what to call it: an edit's prompt, say. It plays from second `start` on.

    A clip is to start where its first frame was taken: what edits show there is what they were made of.
    """

    label: str
    path: Path
    start: float = 0.0


class Pane(Vertical, can_focus=True):
    """Says by messages what the mouse does to it."""

    DEFAULT_CSS = """
    Pane { align: center middle; }
    Pane > Static { height: 1; text-align: center; text-wrap: nowrap; text-overflow: ellipsis; }
    Pane > Static { color: $foreground-muted; }
    Pane:focus > Static { color: $foreground; background: $block-cursor-background; text-style: bold; }
    Pane:nocolor:focus > Static { text-style: bold reverse; }
    """

    class Taken(Message):
        """The mouse was pressed on it."""

        def __init__(self, pane: "Pane") -> None:
            super().__init__()
            self.pane = pane

    class Dropped(Taken):
        """The mouse was let go on it."""

    class Opened(Taken):
        """It was clicked twice."""

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
        """Width and height of the frames, in pixels, once there are some."""
        footage = self.player.footage
        return (footage.frames.shape[2], footage.frames.shape[1]) if footage else None

    def number(self, place: int) -> None:
        """Say the label behind the number of its place, by which keys call it."""
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
