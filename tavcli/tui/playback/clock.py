"""One clock for all players of a screen: they show the frames of the same moment and cannot drift apart."""

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence

SPEEDS = 0.25, 0.5, 1.0, 2.0
# Seconds. Times are rounded, in a GIF to 1/100 s: a moment this little before a frame's start means that frame.
ROUNDING = 0.0055


def frame_at(times: Sequence[float], seconds: float) -> int:
    """The number of the frame shown at `seconds`; `times` are the starts of the frames. The last frame stays."""
    early = min(ROUNDING, (times[-1] - times[0]) / (4 * len(times)))
    return max(0, bisect_right(times, seconds + early) - 1)


class Clock:
    """A position in a clip, in seconds from its first frame. While `playing` it advances, and starts again at `length`.

    `times` are the starts of the frames, to count in frames.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._position, self._since = 0.0, now()
        self._playing, self._speed = False, 1.0
        self.times: Sequence[float] = (0.0,)
        self.length = 0.0

    @property
    def position(self) -> float:
        """Seconds, from 0 to less than `length`."""
        moved = (self._now() - self._since) * self._speed if self._playing else 0.0
        return (self._position + moved) % self.length if self.length else 0.0

    @property
    def frame(self) -> int:
        return frame_at(self.times, self.position)

    @property
    def playing(self) -> bool:
        return self._playing

    @playing.setter
    def playing(self, playing: bool) -> None:
        self.seek(self.position)
        self._playing = playing

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self.seek(self.position)
        self._speed = speed

    def fit(self, times: Sequence[float], length: float) -> None:
        """Count in these frames from now on; the position stays if the new clip is long enough."""
        position = self.position
        self.times, self.length = times, length
        self.seek(position % length if length else 0.0)

    def seek(self, seconds: float) -> None:
        self._position, self._since = seconds, self._now()

    def go_to(self, frame: int) -> None:
        """Go to the start of a frame; numbers go round, so that -1 is the last frame."""
        self.seek(self.times[frame % len(self.times)])

    def step(self, frames: int) -> None:
        """Stop, and move by this many frames."""
        self.playing = False
        self.go_to(self.frame + frames)

    def faster(self, steps: int) -> None:
        """Go up in SPEEDS by `steps`, or down if they are negative, at most to the end."""
        place = SPEEDS.index(self._speed) + steps
        self.speed = SPEEDS[min(max(place, 0), len(SPEEDS) - 1)]
