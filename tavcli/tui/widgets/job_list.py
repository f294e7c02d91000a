"""The list of jobs and edits. Lines are drawn when they are seen: a thousand jobs cost no more than a dozen."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style as VisualStyle
from textual.visual import Visual

from tavcli.queue.queue import Row
from tavcli.tui.widgets import job_card

# Seconds without scrolling before pictures are fetched: scrolling through the list fetches none on the way.
_REST = 0.2
# From this width on a job is a card of three lines with its first picture; else one line.
WIDE = 70
# How many drawn rows are kept: many screens full.
_MOST_KEPT = 500


class _Drawing(NamedTuple):
    """The lines of a row and the objects they show; keeping those makes sure that no other object gets their `id`."""

    lines: list[Strip]
    row: Row
    picture: list[Content] | None


class JobList(ScrollView, can_focus=True):
    """Rows in the order given, one of them chosen. `live` has the text at the right of each open job."""

    TITLE = "Jobs"
    HELP = """Edits and jobs
    What is queued, what runs, and what came out, newest first. The line of an edit has its state, a star, its number
    and prompt, how it was made, and its likeness to the clip (PSNR in dB: more is closer). Click to choose, click again
    to compare it with the clip."""
    BINDINGS = [
        Binding("up", "choose(-1)", "", show=False),
        Binding("down", "choose(1)", "", show=False),
        Binding("pageup", "page(-1)", "", show=False),
        Binding("pagedown", "page(1)", "", show=False),
        Binding("home", "choose_end(0)", "", show=False),
        Binding("end", "choose_end(-1)", "", show=False),
        Binding("enter", "open", "Play", tooltip="Play the clip and the chosen edit side by side", key_display="⏎"),
    ]
    COMPONENT_CLASSES = {"jobs--row", "jobs--chosen", "jobs--blurred"}
    DEFAULT_CSS = """
    JobList {
        height: 1fr; background: $background; scrollbar-size-vertical: 1; overflow-x: hidden; text-wrap: nowrap;
    }
    JobList > .jobs--row { background: $background; color: $foreground; }
    JobList > .jobs--chosen { background: $block-cursor-background; color: $foreground; }
    JobList > .jobs--blurred { background: $block-cursor-blurred-background; color: $foreground; }
    JobList:nocolor > .jobs--chosen { text-style: reverse; }
    JobList:nocolor > .jobs--blurred { text-style: underline; }
    """

    class Chosen(Message):
        """Another row is chosen, or the chosen one has changed."""

    class Opened(Message):
        """The chosen row should be opened."""

    class Seen(Message):
        """These rows have come into sight and have no picture yet."""

        def __init__(self, rows: list[Row]) -> None:
            super().__init__()
            self.rows = rows

    def __init__(self) -> None:
        super().__init__()
        self.rows: Sequence[Row] = ()
        self.live: dict[str, str] = {}
        self.marked: set[str] = set()
        self.pictures: dict[str, list[Content]] = {}
        self._at = 0
        self._drawings: dict[tuple[object, ...], _Drawing] = {}

    @property
    def chosen(self) -> Row | None:
        """The row that keys act on."""
        return self.rows[self._at] if self.rows else None

    @property
    def tall(self) -> int:
        """Lines that a row takes."""
        return job_card.HIGH if self.size.width >= WIDE else 1

    def show(self, rows: Sequence[Row], live: dict[str, str]) -> None:
        """Show these rows; the chosen row stays chosen, wherever it is now."""
        before = self.chosen
        if rows != self.rows or live != self.live:
            places = {row.id: place for place, row in enumerate(rows)}
            self.rows, self.live = rows, live
            self._at = places.get(before.id, min(self._at, max(0, len(rows) - 1))) if before else 0
            self._measure()
            self.refresh()
        if self.chosen != before:
            self.post_message(self.Chosen())

    def choose(self, id_: str) -> None:
        """Choose a row by its job's folder."""
        place = next((place for place, row in enumerate(self.rows) if row.id == id_), None)
        if place is not None:
            self._choose(place)

    def put_picture(self, id_: str, picture: list[Content]) -> None:
        """Set the picture of an edit or of a running render, `job_card.HIGH` lines."""
        self.pictures[id_] = picture
        for place in self._in_sight:
            if self.rows[place].id == id_:
                self._refresh_row(place)

    def drop_picture(self, id_: str) -> None:
        """Forget a picture that no longer holds."""
        self.pictures.pop(id_, None)

    def _measure(self) -> None:
        self.virtual_size = Size(self.size.width, len(self.rows) * self.tall)

    def on_mount(self) -> None:
        self._rest = self.set_timer(_REST, self.tell_seen)

    def on_resize(self) -> None:
        self._measure()
        self._scroll_to_chosen()
        self.call_after_refresh(self.tell_seen)

    def _choose(self, place: int) -> None:
        place = max(0, min(place, len(self.rows) - 1))
        if place != self._at and self.rows:
            self._refresh_row(self._at)
            self._at = place
            self._refresh_row(place)
            self._scroll_to_chosen()
            self.post_message(self.Chosen())

    def _refresh_row(self, place: int) -> None:
        self.refresh_lines(place * self.tall, self.tall)

    def _scroll_to_chosen(self) -> None:
        region = Region(0, self._at * self.tall, self.size.width, self.tall)
        self.scroll_to_region(region, animate=False, force=True)

    def action_choose(self, rows: int) -> None:
        self._choose(self._at + rows)

    def action_page(self, pages: int) -> None:
        self._choose(self._at + pages * max(1, self.size.height // self.tall - 1))

    def action_choose_end(self, place: int) -> None:
        self._choose(len(self.rows) - 1 if place else 0)

    def action_open(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        place = int(event.y + self.scroll_offset.y) // self.tall
        if place >= len(self.rows):
            return
        if place == self._at:
            self.action_open()
        self._choose(place)

    def mark(self, row: Row) -> None:
        """Mark a row, or take its mark away."""
        self.marked ^= {row.id}
        self.refresh()

    # Drawing ----------------------------------------------------------------------------------------------------------

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        self._rest.stop()
        self._rest = self.set_timer(_REST, self.tell_seen)

    def tell_seen(self) -> None:
        """Ask for the pictures of the rows in sight."""
        rows = map(self.rows.__getitem__, self._in_sight)
        seen = [row for row in rows if row.state == "done" and row.id not in self.pictures]
        if seen and self.tall > 1:
            self.post_message(self.Seen(seen))

    @property
    def _in_sight(self) -> range:
        """Places of the rows that are in sight, even in part."""
        first, count = int(self.scroll_offset.y) // self.tall, self.size.height // self.tall + 2
        return range(min(first, len(self.rows)), min(first + count, len(self.rows)))

    def render_lines(self, crop: Region) -> list[Strip]:
        """Lines from those kept. Textual's own method would draw every line that has moved anew."""
        return [self._line(y).crop(crop.x, crop.right) for y in crop.line_range]

    def _line(self, y: int) -> Strip:
        place, line = divmod(int(y + self.scroll_offset.y), self.tall)
        if place >= len(self.rows):
            return Strip.blank(self.size.width, self._style("jobs--row").rich_style)
        return self._drawn(place)[line]

    def _drawn(self, place: int) -> list[Strip]:
        row, look = self.rows[place], "jobs--row"
        if place == self._at:
            look = "jobs--chosen" if self.has_focus else "jobs--blurred"
        live, marked, picture = self.live.get(row.id, ""), row.id in self.marked, self.pictures.get(row.id)
        # A changed row is a new object, so its `id` tells rows apart.
        key = (id(row), look, live, marked, id(picture), self.size.width, self.tall)
        if key not in self._drawings:
            if len(self._drawings) > _MOST_KEPT:
                self._drawings.clear()
            self._drawings[key] = _Drawing(self._draw(row, look, live, marked, picture), row, picture)
        return self._drawings[key].lines

    def _draw(self, row: Row, look: str, live: str, marked: bool, picture: list[Content] | None) -> list[Strip]:
        width, style = self.size.width, self._style(look)
        if self.tall == 1:
            lines = [job_card.line(row, live, marked, width)]
        else:
            lines = job_card.card(row, live, marked, picture, width)
        # All lines in one call: most of the time goes into the call, not into the lines.
        drawn = Visual.to_strips(self, Content("\n").join(lines), width, self.tall, style, pad=True)
        filters, ground = self.get_line_filters(), self.background_colors[1]
        filtered = (reduce(lambda one, each: one.apply_filter(each, ground), filters, line) for line in drawn)
        return [line.crop_extend(0, width, style.rich_style) for line in filtered]

    def _style(self, name: str) -> VisualStyle:
        return self.get_visual_style(name)
