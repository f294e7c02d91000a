"""A line that controls a clock by mouse (play, step, scrub, speed) and says which frame is shown."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from textual import events
from textual.content import Content
from textual.widget import Widget

from tavcli.tui.playback.clock import SPEEDS, Clock, frame_at

# Narrower than this, there is no room for seconds beside the bar.
ROOMY = 56


class Part(NamedTuple):
    """A piece of the line, and what a click on it does."""

    text: str
    style: str = ""
    clicked: Callable[[], None] = lambda: None


class Transport(Widget):
    """Buttons, a bar to click or drag on, second and frame, and the speed. The clock's owner calls `tick`."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "Transport { height: 1; width: 1fr; background: $panel; }"

    def __init__(self, clock: Clock, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.clock = clock
        self.goes_on = False
        self._said: tuple[object, ...] = ()

    def tick(self) -> None:
        """Draw the line again if it would look different."""
        clock = self.clock
        if (said := (clock.frame, clock.playing, clock.speed, clock.length, self.goes_on)) != self._said:
            self._said = said
            self.refresh()

    def render(self) -> Content:
        return Content.assemble(*((part.text, part.style) for part in self._parts()))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        end = 0
        for part in self._parts():
            end += len(part.text)
            if event.x < end:
                part.clicked()
                break
        if event.x in self._bar():
            self.capture_mouse()
            self._scrub(event.x)
        self.tick()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self.app.mouse_captured is self:
            self._scrub(event.x)

    def on_mouse_up(self) -> None:
        self.release_mouse()

    def _scrub(self, x: int) -> None:
        """Go to the frame at this place of the bar; beyond its ends to the first or last frame."""
        bar, clock = self._bar(), self.clock
        share = min(max((x - bar.start) / max(1, len(bar) - 1), 0), 1)
        clock.go_to(frame_at(clock.times, share * clock.times[-1]))
        self.tick()

    def _parts(self) -> Iterator[Part]:
        yield from self._before()
        yield from self._drawn_bar()
        yield from self._behind()

    def _before(self) -> list[Part]:
        clock = self.clock
        play = Part("  ‖  " if clock.playing else "  ▶  ", "bold $accent", self._toggle)
        back, on = Part(" ◂ ", "bold", lambda: clock.step(-1)), Part(" ▸ ", "bold", lambda: clock.step(1))
        return [play, back, on, Part(" ")]

    def _behind(self) -> list[Part]:
        clock = self.clock
        count = len(clock.times)
        place = f" {clock.frame + 1:>{len(str(count))}}/{count}{'…' if self.goes_on else ''} "
        seconds = f" {clock.times[clock.frame]:5.2f} s " if self.size.width >= ROOMY else ""
        return [Part(place), Part(seconds, "$foreground-muted"), Part(f" {clock.speed:4g}x ", "bold", self._next_speed)]

    def _bar(self) -> range:
        start = sum(len(part.text) for part in self._before())
        return range(start, max(start + 1, self.size.width - sum(len(part.text) for part in self._behind())))

    def _drawn_bar(self) -> list[Part]:
        width, times = len(self._bar()), self.clock.times
        knob = round((width - 1) * times[self.clock.frame] / times[-1]) if times[-1] else 0
        rest = Part("─" * (width - 1 - knob), "$foreground-muted")
        return [Part("━" * knob, "$accent"), Part("●", "bold $accent"), rest]

    def _toggle(self) -> None:
        self.clock.playing = not self.clock.playing

    def _next_speed(self) -> None:
        """Take the next speed; after the fastest comes the slowest."""
        self.clock.speed = SPEEDS[(SPEEDS.index(self.clock.speed) + 1) % len(SPEEDS)]
