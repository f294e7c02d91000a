"""How long jobs will take: the quick way against the plain definition, for any queue."""

import statistics
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavcli.queue.estimates import Pace, waiting
from tavcli.queue.jobs import OPEN, State
from tavcli.queue.queue import Row
from tavcli.queue.summary import Summary
from tavcli.queue.workers import Status

NOW = 1_000_000.0
# Halves add up the same in any order.
seconds = st.integers(0, 200).map(lambda halves: halves / 2)
perhaps = st.none() | seconds
summaries = st.builds(
    Summary,
    title=st.just("a cat"),
    date=st.integers(0, 3).map("2026-01-0{}".format),
    base=st.sampled_from(["tiny", "storybook"]),
    size=st.sampled_from(["8 64", "16 128"]),
    passes=st.sampled_from([0, 1, 2, 4]),
    seconds=perhaps,
    took=perhaps,
)
kinds, states = st.sampled_from(["edit", "tune"]), st.sampled_from(get_args(State))
one_row = st.tuples(kinds, states, summaries)
statuses = st.builds(lambda left, ago: (left, NOW - ago), perhaps, seconds)


def _rows(facts: list[tuple[str, State, Summary]]) -> list[Row]:
    return [Row(f"{kind}/{n}", n, kind, state, float(n), "", known) for n, (kind, state, known) in enumerate(facts)]


queues = st.lists(one_row, max_size=20).map(_rows)


def _alike(one: Row, other: Row) -> bool:
    return (one.kind, one.summary.base, one.summary.size) == (other.kind, other.summary.base, other.summary.size)


def _each(row: Row) -> float:
    """Seconds of a pass of the network; a job without any counts as one."""
    assert row.summary.took is not None
    return row.summary.took / max(1, row.summary.passes)


def _measured(rows: list[Row], row: Row) -> float | None:
    """By the definition: the median of the last five like it that were done."""
    like = [one for one in rows if one.state == "done" and one.summary.took and _alike(one, row)]
    last = sorted(like, key=lambda one: (one.summary.date, _each(one)))[-5:]
    return statistics.median(map(_each, last)) * max(1, row.summary.passes) if last else None


def _own(rows: list[Row], row: Row) -> float | None:
    measured = _measured(rows, row)
    return row.summary.seconds if measured is None else measured


def _rest(rows: list[Row], row: Row, told: dict[str, tuple[float | None, float]]) -> float | None:
    """What is left of one job, by what its worker says and by how long it has run."""
    own = _own(rows, row)
    if row.id not in told:
        return own
    left, began = told[row.id]
    by_estimate = None if own is None else max(0.0, own - (NOW - began))
    return max((found for found in (by_estimate, left) if found is not None), default=None)


def _left(rows: list[Row], row: Row, told: dict[str, tuple[float | None, float]]) -> float | None:
    """When it will be done: the sum over itself and all before it that do not rest; None as soon as one is unknown."""
    before = [one for one in rows[: rows.index(row) + 1] if one.state in OPEN and one.state != "paused"]
    rests = [_rest(rows, one, told) for one in before]
    return None if row.state == "paused" or None in rests else sum(rests)  # type: ignore[arg-type]


@given(queues)
def test_a_job_takes_as_long_as_the_last_five_like_it(rows: list[Row]) -> None:
    pace = Pace(rows)
    assert [pace.measured(row) for row in rows] == [_measured(rows, row) for row in rows]
    assert [pace.own(row) for row in rows] == [_own(rows, row) for row in rows]


@given(queues, st.lists(statuses, max_size=3))
def test_each_is_done_after_all_before_it(rows: list[Row], said: list[tuple[float | None, float]]) -> None:
    running = [row for row in rows if row.state == "running"]
    told = {row.id: words for row, words in zip(running, said, strict=False)}
    workers = [Status("a", job=id_, left=left, began=began) for id_, (left, began) in told.items()]
    found = waiting(rows, workers, NOW)
    assert [one.row for one in found] == [row for row in rows if row.state in OPEN]
    for one in found:
        expected = _rest(rows, one.row, told) if one.row.state != "paused" else _own(rows, one.row)
        assert one.own == expected
        left = _left(rows, one.row, told)
        assert one.left == (None if left is None else pytest.approx(left))


@given(queues)
def test_more_jobs_behind_change_nothing(rows: list[Row]) -> None:
    """Whatever is queued after a job, that job is done at the same time."""
    later = [Row(f"edit/{n}", n, "edit", "queued", float(n), "", Summary("a dog")) for n in range(1000, 1003)]
    before, after = waiting(rows, (), NOW), waiting([*rows, *later], (), NOW)
    assert after[: len(before)] == before


@given(st.lists(st.integers(1, 99), min_size=5, max_size=9), st.permutations(range(9)))
def test_only_the_last_five_count(took: list[int], order: list[int]) -> None:
    """By their dates, wherever they are in the queue."""
    known = [Summary("a cat", date=f"2026-01-0{day}", took=float(time)) for day, time in enumerate(took)]
    rows = _rows([("edit", "done", known[place]) for place in order if place < len(known)])
    assert Pace(rows).measured(rows[0]) == statistics.median(took[-5:])
