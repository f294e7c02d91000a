"""The keys of every place where a clip plays, and their effect on its clock."""

from textual.binding import Binding

from tavcli.tui.playback.clock import Clock

_STEP, _SPEED = Binding.Group("Step", compact=True), Binding.Group("Speed", compact=True)
BINDINGS = [
    Binding("space", "toggle_play", "Play", tooltip="Play, or stop at this frame"),
    Binding("comma,left", "step(-1)", "Step back", tooltip="Stop, and show the frame before", group=_STEP),
    Binding("full_stop,right", "step(1)", "Step on", tooltip="Stop, and show the next frame", group=_STEP),
    Binding("left_square_bracket", "faster(-1)", "Slower", tooltip="Play slower, down to a quarter", group=_SPEED),
    Binding("right_square_bracket", "faster(1)", "Faster", tooltip="Play faster, up to twice as fast", group=_SPEED),
    Binding("home", "go_to(0)", "First frame", show=False, tooltip="Show the first frame"),
    Binding("end", "go_to(-1)", "Last frame", show=False, tooltip="Stop, and show the last frame"),
]


class Playback:
    """The actions of BINDINGS, for a screen or widget that has a `clock`."""

    clock: Clock

    def action_toggle_play(self) -> None:
        self.clock.playing = not self.clock.playing

    def action_step(self, frames: int) -> None:
        self.clock.step(frames)

    def action_faster(self, steps: int) -> None:
        self.clock.faster(steps)

    def action_go_to(self, frame: int) -> None:
        """Go to a frame by its number. At the last one (-1) playing stops: else the frame would be gone at once."""
        if frame < 0:
            self.clock.playing = False
        self.clock.go_to(frame)
