"""How long jobs will take, by how long like ones took here; without loading anything."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from tavcli.queue.jobs import OPEN
from tavcli.queue.queue import Row
from tavcli.queue.workers import Status

# So many of the last like ones count.
_LAST = 5


@dataclass(frozen=True)
class Waiting:
    """When an open job will be done: `own` seconds of its own, `left` seconds from now; None where nothing is known."""

    row: Row
    own: float | None
    left: float | None


class Pace:
    """How fast the last jobs of each sort were here: edits by passes of the network, others as a whole."""

    def __init__(self, rows: Iterable[Row]) -> None:
        took: dict[tuple[str, ...], list[tuple[str, float]]] = {}
        for row in rows:
            if row.state == "done" and row.summary.took:
                took.setdefault(_sort(row), []).append(
                    (row.summary.date, row.summary.took / max(1, row.summary.passes))
                )
        self._each = {
            sort: statistics.median(each for _, each in sorted(times)[-_LAST:]) for sort, times in took.items()
        }

    def measured(self, row: Row) -> float | None:
        """Seconds that the job will take, by those like it; None where there were none."""
        each = self._each.get(_sort(row))
        return None if each is None else each * max(1, row.summary.passes)

    def own(self, row: Row) -> float | None:
        """The same, else as forecast when it was queued."""
        found = self.measured(row)
        return row.summary.seconds if found is None else found


def _sort(row: Row) -> tuple[str, ...]:
    """Jobs of one sort take equally long."""
    return row.kind, row.summary.base, row.summary.size


def waiting(rows: list[Row], workers: Iterable[Status], now: float) -> list[Waiting]:
    """The open jobs in their order, each with its time and when it will be done if one worker does them all."""
    working, pace = {status.job: status for status in workers}, Pace(rows)
    total: float | None = 0.0
    found = []
    for row in (row for row in rows if row.state in OPEN):
        seconds = pace.own(row)
        if row.state == "paused":
            found.append(Waiting(row, seconds, None))
            continue
        if status := working.get(row.id):
            seconds = _rest(status, seconds, now)
        total = None if total is None or seconds is None else total + seconds
        found.append(Waiting(row, seconds, total))
    return found


def _rest(status: Status, whole: float | None, now: float) -> float | None:
    """What is left of a running job: at least what its present piece says of itself."""
    by_estimate = None if whole is None else max(0.0, whole - (now - status.began))
    known = [seconds for seconds in (by_estimate, status.left) if seconds is not None]
    return max(known, default=None)
