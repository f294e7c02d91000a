"""The compared videos in their order, or one of them alone, as large as the room allows."""

import math
from collections.abc import Sequence
from typing import cast

from textual.containers import Grid
from textual.geometry import Size

from tavcli.tui.playback.clock import Clock
from tavcli.tui.playback.footage import fitted
from tavcli.tui.widgets.pane import Item, Pane

# The size of a picture that is not read yet.
SQUARE = 1, 1
# The share of the largest width that is "nearly as large".
NEARLY = 0.9


class Panes(Grid):
    """A grid of panes of one size, each label right under its picture. The first item is the source."""

    DEFAULT_CSS = "Panes { grid-gutter: 0 1; height: 1fr; align: center middle; }"

    def __init__(self, items: Sequence[Item], clock: Clock) -> None:
        self.order = [Pane(item, clock) for item in items]
        self.source, *self.edits = self.order
        self.alone: Pane | None = None
        self.source_hidden = False
        super().__init__(*self.order)

    def on_mount(self) -> None:
        self.place()

    def on_resize(self) -> None:
        self.place()

    @property
    def seen(self) -> list[Pane]:
        """The panes that are shown, in their order."""
        if self.alone is not None:
            return [self.alone]
        return [pane for pane in self.order if not (self.source_hidden and pane is self.source)]

    def show_alone(self, pane: Pane | None) -> None:
        """Show this pane alone, or all again with None."""
        self.alone = pane
        self.place()

    def hide_source(self, hidden: bool) -> None:
        """Leave the source out, unless there is nothing else."""
        self.source_hidden = hidden and bool(self.edits)
        self.place()

    def swap(self, one: Pane, other: Pane) -> None:
        a, b = self.order.index(one), self.order.index(other)
        self.order[a], self.order[b] = other, one
        self.place()

    def place(self) -> None:
        """Order and number the panes, and share the room out."""
        seen = self.seen
        for number, pane in enumerate(self.order, 1):
            pane.display = pane in seen
            pane.number(number)
        self.sort_children(key=lambda pane: self.order.index(cast(Pane, pane)))
        if self.size:
            self._share_out(seen)

    def _share_out(self, seen: list[Pane]) -> None:
        sizes = [pane.picture_size or SQUARE for pane in seen]
        columns = best_columns(len(seen), self.size, sizes[0])
        width, height = room(len(seen), columns, self.size)
        rows = max(math.ceil(fitted(size, (width, 2 * (height - 1)))[1] / 2) for size in sizes)
        self.styles.grid_size_columns = columns
        self.styles.grid_columns, self.styles.grid_rows = str(width), str(height)
        for pane in seen:
            pane.player.styles.height = rows


def room(count: int, columns: int, area: Size) -> Size:
    """The cells of each of `count` panes in this many columns, with one cell between columns; at least 1 x 2."""
    rows = math.ceil(count / columns)
    return Size(max(1, (area.width + 1) // columns - 1), max(2, area.height // rows))


def best_columns(count: int, area: Size, size: tuple[int, int]) -> int:
    """The fewest columns in which `count` pictures, a label under each, are nearly as large as in any other number.

    Fewer columns leave more room for labels.
    """

    def picture_width(columns: int) -> int:
        width, height = room(count, columns, area)
        return fitted(size, (width, 2 * (height - 1)))[0]

    widths = {columns: picture_width(columns) for columns in range(1, count + 1)}
    return min(columns for columns, width in widths.items() if width >= NEARLY * max(widths.values()))
