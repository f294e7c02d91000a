"""Which jobs are listed, and in which order."""

from collections.abc import Iterable

from tavcli.queue.jobs import OPEN
from tavcli.queue.queue import Row

# Orders of the ended jobs; open ones stay first, in the order of the queue.
SORTS = ("newest first", "closest to the clip first", "stars first")


def in_order(rows: Iterable[Row], sort: str) -> list[Row]:
    """`rows`, which come newest first, in the order `sort` of SORTS."""
    place = {SORTS[1]: lambda row: -(row.summary.scores or {}).get("psnr", 0.0), SORTS[2]: _unstarred}.get(sort)
    if place is None:
        return list(rows)
    return sorted(rows, key=lambda row: (0, 0) if row.state in OPEN else (1, place(row)))


def _unstarred(row: Row) -> bool:
    return not row.summary.starred


def words_of(row: Row) -> str:
    """The text of a job that a filter searches: number, state, prompt, base, #tags, star."""
    known = row.summary
    tags = " ".join(f"#{tag}" for tag in known.tags)
    return f"{row.name} {row.state} {known.title} {known.base} {tags}{' starred ★' if known.starred else ''}"
