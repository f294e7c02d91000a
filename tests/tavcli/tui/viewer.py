"""A player with its transport line: what a screen puts where one clip is to be watched."""

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Vertical

from tavcli.tui.playback.clock import Clock
from tavcli.tui.playback.controls import BINDINGS, Playback
from tavcli.tui.playback.footage import Frame
from tavcli.tui.widgets.player import TICK, Player
from tavcli.tui.widgets.transport import Transport


class Viewer(Playback, Vertical, can_focus=True):
    """`open` and `show` as a player's; keys when it has the focus."""

    HELP = """Player
    A clip, two of its pixels in each cell. Click or drag on the bar to go to a frame."""
    BINDINGS = [*BINDINGS]
    DEFAULT_CSS = """
    Viewer { height: 1fr; width: 1fr; }
    Viewer:focus > Transport { background: $block-cursor-blurred-background; }
    Viewer:nocolor:focus > Transport { text-style: reverse; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.clock = Clock()
        self.player, self.transport = Player(self.clock), Transport(self.clock)

    def compose(self) -> ComposeResult:
        yield self.player
        yield self.transport

    def on_mount(self) -> None:
        self.clock.playing = True
        self.set_interval(TICK, self.tick)

    def open(self, path: Path) -> None:
        self.player.open(path)

    def show(self, frames: Frame, fps: float) -> None:
        """Show frames uint8 (f, h, w, 3), as a moving preview: the moment stays."""
        self.player.show(frames, fps)
        self._fit()

    def tick(self) -> None:
        self.player.tick()
        self.transport.tick()

    def on_player_ready(self) -> None:
        self._fit()

    def _fit(self) -> None:
        """The clock counts in this clip's frames."""
        if (footage := self.player.footage) is not None:
            self.clock.fit(footage.times, footage.length)
            self.transport.goes_on = not footage.whole
