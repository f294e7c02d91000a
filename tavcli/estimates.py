"""How long jobs will take, by how long like ones took here; without loading anything."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from tavcli.jobs import OPEN
from tavcli.presence import Status
from tavcli.queue import Row

# So many of the last like ones count.
_LAST = 5


@dataclass(frozen=True)
class Waiting:
    """When an open job will be done: `own` seconds of its own, `left` seconds from now; None where nothing is known."""

    row: Row
    own: float | None
    left: float | None


def measured(rows: Iterable[Row], like: Row) -> float | None:
    """Seconds that `like` will take: of edits, by the time a pass of the network took in the last like edits."""
    done = [row for row in rows if row.state == "done" and row.summary.took and _alike(row, like)]
    last = sorted(done, key=lambda row: row.summary.date)[-_LAST:]
    if not last:
        return None
    if like.kind != "edit":
        return statistics.median(row.summary.took or 0.0 for row in last)
    each = statistics.median((row.summary.took or 0.0) / max(1, row.summary.passes) for row in last)
    return each * like.summary.passes


def _alike(row: Row, like: Row) -> bool:
    known, wanted = row.summary, like.summary
    return (row.kind, known.base, known.size) == (like.kind, wanted.base, wanted.size)


def own(rows: list[Row], row: Row) -> float | None:
    """Seconds of one job: measured, else as forecast when it was queued."""
    found = measured(rows, row)
    return row.summary.seconds if found is None else found


def waiting(rows: list[Row], workers: Iterable[Status], now: float) -> list[Waiting]:
    """The open jobs in their order, each with its time and when it will be done if one worker does them all."""
    working = {status.job: status for status in workers}
    total: float | None = 0.0
    found = []
    for row in (row for row in rows if row.state in OPEN):
        seconds = own(rows, row)
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
