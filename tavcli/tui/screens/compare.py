"""The source and its edits side by side, on one clock, so that all show the same moment."""

from collections.abc import Iterable, Sequence

from textual.binding import Binding
from textual.widget import Widget

from tavcli.tui.playback import controls
from tavcli.tui.playback.clock import Clock
from tavcli.tui.screens.tav_screen import TavScreen
from tavcli.tui.widgets.pane import Item, Pane
from tavcli.tui.widgets.panes import Panes
from tavcli.tui.widgets.player import TICK
from tavcli.tui.widgets.transport import Transport

MOST = 4


def _number(place: int) -> Binding:
    tooltip = f"Swap the chosen video with number {place}; if one is alone, show number {place} instead"
    return Binding(str(place), f"number({place})", f"Number {place}", show=False, tooltip=tooltip)


class Compare(controls.Playback, TavScreen):
    """Up to four videos, the source first, all at the same moment.

    They start again after the longest edit's length; frames are counted in that edit.
    """

    TITLE = "Compare"
    HELP = """Compare
    The source and its edits, all at the same moment. A click chooses one, a double click shows it alone; drag one onto
    another to swap the two. Click or drag on the bar to go to a frame."""
    AUTO_FOCUS = "Pane"
    BINDINGS = [
        *controls.BINDINGS,
        Binding("enter,f", "alone", "Alone", tooltip="Show the chosen video alone, or all again"),
        Binding("s", "swap", "Swap", tooltip="Swap the chosen video with the next one"),
        Binding("o", "source", "Source", tooltip="Hide or show the source; in the place of a video that is alone"),
        Binding("escape", "back", "Back", tooltip="Show all videos again, or go back to the screen before"),
        *(_number(place) for place in range(1, MOST + 1)),
    ]

    def __init__(self, items: Sequence[Item]) -> None:
        super().__init__()
        self.clock = Clock()
        self.panes = Panes(items[:MOST], self.clock)
        self.transport = Transport(self.clock)
        self._unread = len(self.panes.order)
        self._taken: Pane | None = None
        self._edit = self.panes.order[-1]

    def body(self) -> Iterable[Widget]:
        yield self.panes
        yield self.transport

    def on_mount(self) -> None:
        self.set_interval(TICK, self.tick)

    def tick(self) -> None:
        """Show one moment in all players, drawn together."""
        seconds = self.clock.position
        for pane in self.panes.order:
            pane.player.show_moment(seconds)
        self.transport.tick()

    def on_player_ready(self) -> None:
        """Count in the frames of the longest edit, and play as soon as all videos are read."""
        found = [pane.player.footage for pane in self.panes.edits or self.panes.order]
        lead = max((footage for footage in found if footage), key=lambda footage: footage.length, default=None)
        if lead is not None:
            self.clock.fit(lead.times, lead.length)
        self.panes.place()
        self._unread -= 1
        if not self._unread:
            self.clock.playing = True

    @property
    def chosen(self) -> Pane:
        """The video that keys act on: the focused one, else the first."""
        seen = self.panes.seen
        return next((pane for pane in seen if pane is self.focused), seen[0])

    def action_alone(self) -> None:
        self._show_alone(None if self.panes.alone else self.chosen)

    def action_source(self) -> None:
        """Hide or show the source beside the others; where a video is alone, exchange it for the source and back."""
        panes = self.panes
        if panes.alone is None:
            panes.hide_source(not panes.source_hidden)
        elif panes.alone is panes.source:
            self._show_alone(self._edit)
        else:
            self._edit = panes.alone
            self._show_alone(panes.source)

    def action_swap(self) -> None:
        seen = self.panes.seen
        self.panes.swap(self.chosen, seen[(seen.index(self.chosen) + 1) % len(seen)])

    def action_number(self, place: int) -> None:
        if place > len(self.panes.order):
            return
        pane = self.panes.order[place - 1]
        if self.panes.alone is None:
            self.panes.swap(self.chosen, pane)
        else:
            self._show_alone(pane)

    def action_back(self) -> None:
        if self.panes.alone is not None:
            self._show_alone(None)
        else:
            self.dismiss()

    def on_pane_taken(self, event: Pane.Taken) -> None:
        self._taken = event.pane

    def on_pane_dropped(self, event: Pane.Dropped) -> None:
        if self._taken is not None:
            self.panes.swap(self._taken, event.pane)
        self._taken = None

    def on_pane_opened(self, event: Pane.Opened) -> None:
        self._show_alone(None if self.panes.alone else event.pane)

    def _show_alone(self, pane: Pane | None) -> None:
        chosen = pane or self.panes.alone
        self.panes.show_alone(pane)
        if chosen is not None:
            chosen.focus()
