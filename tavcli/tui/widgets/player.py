"""A video in half cells, in the colours of its pixels: a file, or the moving preview of a render."""

from functools import reduce
from pathlib import Path
from threading import Event

from textual import work
from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tav.errors import TavError
from tav.video.ffmpeg import one_line
from tavcli.tui.playback.cells import canvas, coloured, plain
from tavcli.tui.playback.clock import Clock, frame_at
from tavcli.tui.playback.footage import Footage, Frame, at_rate, read_footage, read_still
from tavcli.tui.threads import in_thread

# Larger videos are read at this many pixels: a terminal of 256 x 80 shows them all, a larger one enlarges them.
BOX = 256, 160
# Bytes of a drawn cell, and of all that are kept: 24 frames that fill a screen of 200 x 50 fit.
CELL_BYTES, MOST_BYTES = 96, 24_000_000
# Seconds between two looks at the clock.
TICK = 1 / 60


class Player(Widget):
    """Shows the frame at its clock's position, as large as fits; the player has no border or padding.

    If a clock is given, its owner also calls `tick` or `show_moment`.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = "Player { width: 1fr; height: 1fr; content-align: center middle; color: $foreground-muted; }"

    class Ready(Message):
        """The opened file is read, or cannot be read: then the player has no `footage`, and shows why."""

        def __init__(self, player: "Player") -> None:
            super().__init__()
            self.player = player

        @property
        def control(self) -> "Player":
            return self.player

    def __init__(self, clock: Clock | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.clock = clock or Clock()
        self.footage: Footage | None = None
        self.message = ""
        self.shown = 0
        self._own_clock = clock is None
        self._path: Path | None = None
        self._start = 0.0
        self._look: tuple[object, ...] = ()
        self._drawn: dict[int, list[Strip]] = {}

    def on_mount(self) -> None:
        if self._own_clock:
            self.clock.playing = True
            self.set_interval(TICK, self.tick)
        if self._path is not None:
            self._read(self._path, self._start)

    def open(self, path: Path, start: float = 0.0) -> None:
        """Show a video or a folder of pictures from second `start` on, or why it cannot be read; then post `Ready`."""
        self._path, self._start = path, start
        self._take(None, f"reading {one_line(path.name)}")
        if self.is_mounted:
            self._read(path, start)

    def show(self, frames: Frame, fps: float) -> None:
        """Show frames uint8 (f, h, w, 3) instead of a file; the clock's position stays, so that a preview moves on."""
        self._stop_reading()
        self._take(at_rate(frames, fps))

    def say(self, words: str) -> None:
        """Show a line of text instead of a picture."""
        self._stop_reading()
        self._take(None, words)

    def tick(self) -> None:
        """Show the frame at the clock's position."""
        self.show_moment(self.clock.position)

    def show_moment(self, seconds: float) -> None:
        """Show the frame at `seconds`. The owner of several players reads the clock once and calls this for each."""
        if self.footage is None or not self.screen.is_active:
            return
        if (frame := frame_at(self.footage.times, seconds)) != self.shown:
            self.shown = frame
            self.refresh()

    @work(exclusive=True)
    async def _read(self, path: Path, start: float) -> None:
        """Show the first frame at once, then play all. ffmpeg ends if the widget goes or another file is opened."""
        ended = Event()
        try:
            self._take(await in_thread(read_still, path, BOX, start))
            self._take(await in_thread(read_footage, path, BOX, start, lambda: not ended.is_set()))
        except (TavError, OSError) as error:
            self._take(None, one_line(error).replace(one_line(path), one_line(path.name)))
        finally:
            ended.set()
        self.post_message(self.Ready(self))

    def _stop_reading(self) -> None:
        self._path = None
        self.workers.cancel_node(self)

    def _take(self, footage: Footage | None, message: str = "") -> None:
        self.footage, self.message = footage, message
        if footage is not None and self._own_clock:
            self.clock.fit(footage.times, footage.length)
        self.shown = frame_at(footage.times, self.clock.position) if footage else 0
        self._drawn.clear()
        self.refresh()

    def render(self) -> Content:
        """The text shown in place of a picture."""
        return Content(self.message)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Rows of the frame shown. Textual's own method would make strips from segments, one by one."""
        if self.footage is None:
            return super().render_lines(crop)
        rows = self._rows(self.footage.frames[self.shown])[crop.y : crop.bottom]
        return [row.crop(crop.x, crop.right) for row in rows]

    def _rows(self, frame: Frame) -> list[Strip]:
        width, height = self.size
        ground = (0, 0, 0) if self.app.no_color else self.background_colors[1].rgb
        look = width, height, ground
        if look != self._look:
            self._look = look
            self._drawn.clear()
        if (rows := self._drawn.get(self.shown)) is None:
            pixels = canvas(frame, width, height, ground)
            rows = self._without_colour(pixels) if self.app.no_color else coloured(pixels)
            # The first frames drawn are kept: in a loop too long for the cache, the last ones would be dropped unused.
            if (len(self._drawn) + 1) * width * height * CELL_BYTES <= MOST_BYTES:
                self._drawn[self.shown] = rows
        return rows

    def _without_colour(self, pixels: Frame) -> list[Strip]:
        """Rows in the greys of the widgets around, by Textual's own filters."""
        background, filters = self.background_colors[1], self.get_line_filters()
        rows = [row.apply_style(self.rich_style) for row in plain(pixels)]
        return [reduce(lambda strip, each: strip.apply_filter(each, background), filters, row) for row in rows]
