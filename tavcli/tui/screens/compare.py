"""Source and edits side by side, on one clock: what moves, and what stays, is seen best at the same moment."""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from tavcli.tui import playback
from tavcli.tui.clock import Clock
from tavcli.tui.widgets.pane import Item, Pane
from tavcli.tui.widgets.player import TICK
from tavcli.tui.widgets.transport import Transport

MOST = 4


def _swap_with(place: int) -> Binding:
    tooltip = f"Swap the chosen video with number {place}"
    return Binding(str(place), f"swap_with({place})", f"Swap with {place}", show=False, tooltip=tooltip)


class Compare(playback.Playback, Screen[None]):
    """Up to four videos, the first of which is the source, that show the same moment.

    They go round in the time that the longest edit takes; frames are counted as that edit's.
    """

    TITLE = "Compare"
    HELP = (
        "Source and edits at the same moment. Drag one onto another to swap them; click on the bar to go there."
    )
    AUTO_FOCUS = "Pane"
    BINDINGS: ClassVar[list[BindingType]] = [
        *playback.BINDINGS,
        Binding("enter,f", "alone", "Alone", key_display="⏎", tooltip="Show the chosen video alone, or all again"),
        Binding("s", "swap", "Swap", tooltip="Swap the chosen video with the next one"),
        Binding("o", "source", "Source", tooltip="Hide or show the source; in the place of a video that is alone"),
        Binding("escape", "back", "Back", tooltip="Show all videos again, or go back to the screen before"),
        *(_swap_with(place) for place in range(1, MOST + 1)),
    ]
    DEFAULT_CSS = """
    Compare > Grid { grid-gutter: 0 1; height: 1fr; }
    """

    def __init__(self, items: Sequence[Item]) -> None:
        super().__init__()
        self.clock = Clock()
        self.panes = [Pane(item, self.clock) for item in items[:MOST]]
        self.source, *self.edits = self.panes
        self.alone: Pane | None = None
        self.source_hidden = False
        self._unread = len(self.panes)
        self._taken: Pane | None = None
        self._behind_source: Pane | None = None

    def compose(self) -> ComposeResult:
        yield from self.body()
        yield Footer()

    def body(self) -> Iterable[Widget]:
        yield Grid(*self.panes)
        yield Transport(self.clock)

    def on_mount(self) -> None:
        self.place()
        self.set_interval(TICK, self.tick)

    def on_resize(self) -> None:
        self.call_after_refresh(self.place)

    def tick(self) -> None:
        """All players look at the clock, and are drawn in one go."""
        for pane in self.panes:
            pane.player.tick()
        self.query_one(Transport).tick()

    def on_player_ready(self) -> None:
        """Count in the frames of the longest edit, and play as soon as all are there."""
        found = [pane.player.footage for pane in self.edits or self.panes]
        lead = max((footage for footage in found if footage), key=lambda footage: footage.length, default=None)
        if lead is not None:
            self.clock.fit(lead.times, lead.length)
        self._unread -= 1
        if not self._unread:
            self.clock.playing = True
        self.place()

    @property
    def chosen(self) -> Pane:
        """The one that keys are meant for."""
        return self.focused if isinstance(self.focused, Pane) else self.seen[0]

    @property
    def seen(self) -> list[Pane]:
        """Those on the screen, in their order."""
        if self.alone is not None:
            return [self.alone]
        return [pane for pane in self.panes if not (self.source_hidden and pane is self.source)]

    def place(self) -> None:
        """Put the panes in their order, in as many columns as make the pictures largest."""
        seen = self.seen
        for place, pane in enumerate(self.panes, 1):
            pane.display = pane in seen
            pane.number(place)
        grid = self.query_one(Grid)
        grid.sort_children(key=lambda pane: self.panes.index(cast(Pane, pane)))
        columns = best_columns(len(seen), grid.size, self._aspect())
        grid.styles.grid_size_columns, grid.styles.grid_size_rows = columns, math.ceil(len(seen) / columns)

    def _aspect(self) -> float:
        """Width to height of the first picture there is."""
        for pane in self.panes:
            if (footage := pane.player.footage) is not None:
                height, width = footage.frames.shape[1:3]
                return float(width / height)
        return 1.0

    def action_alone(self) -> None:
        self._show_alone(None if self.alone else self.chosen)

    def action_source(self) -> None:
        """Beside the others it comes and goes; in place of one that is shown alone, at the same spot."""
        if self.alone is None:
            self.source_hidden = bool(self.edits) and not self.source_hidden
            self.place()
        elif self.alone is self.source:
            self._show_alone(self._behind_source or self.source)
        else:
            self._behind_source = self.alone
            self._show_alone(self.source)

    def action_swap(self) -> None:
        seen = self.seen
        self._swap(self.chosen, seen[(seen.index(self.chosen) + 1) % len(seen)])

    def action_swap_with(self, place: int) -> None:
        if place <= len(self.panes):
            self._swap(self.chosen, self.panes[place - 1])

    def action_back(self) -> None:
        if self.alone is not None:
            self._show_alone(None)
        else:
            self.dismiss()

    def on_pane_taken(self, event: Pane.Taken) -> None:
        self._taken = event.pane

    def on_pane_dropped(self, event: Pane.Dropped) -> None:
        if self._taken is not None:
            self._swap(self._taken, event.pane)
        self._taken = None

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2 and isinstance(self.focused, Pane):
            self.action_alone()

    def _show_alone(self, pane: Pane | None) -> None:
        self.alone = pane
        self.place()
        (pane or self.chosen).focus()

    def _swap(self, one: Pane, other: Pane) -> None:
        a, b = self.panes.index(one), self.panes.index(other)
        self.panes[a], self.panes[b] = other, one
        self.place()


def best_columns(count: int, room: Size, aspect: float) -> int:
    """In how many columns (the fewest, if equal) `count` pictures of an aspect, a line under each, become largest."""

    def scale(columns: int) -> float:
        rows = math.ceil(count / columns)
        width, height = (room.width + 1) // columns - 1, 2 * (room.height // rows - 1)
        return min(width / aspect, height)

    return max(range(1, count + 1), key=scale)
