"""The queue of a workspace: its jobs' folders, and `queue.sqlite`, an index of them.

Every change of a state, a claim too, goes into the job's own file first and into the index second, under one short
lock. What the index has counts only as long as the files are those it was read from: it may be deleted at any moment.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from tav.atomic import read_text
from tav.errors import SettingsError
from tavcli.queue import jobs, workers
from tavcli.queue.index import Index, opened
from tavcli.queue.index import Row as Row
from tavcli.queue.jobs import OPEN, Job, JobRequest, State
from tavcli.workspace.edits import JOB
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import SOON, locked

INDEX = "queue.sqlite"


class Queue:
    """The jobs of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    # Looking ----------------------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """Every job: first what runs or waits, in the order of the queue, then the others, the newest first."""
        with opened(self._path) as index:
            rows = self._refreshed(index)
        # What the dead were at is shown as what it is; whoever changes the queue next writes it down.
        return sorted((_buried(row) if self._is_dead(row) else row for row in rows), key=_place)

    def find(self, name: str) -> Row:
        """A job by what people call it, or its folder's name. Raises SettingsError."""
        return _named(self.rows(), name)

    def job(self, row: Row) -> Job:
        """The job's folder."""
        return Job(self.workspace, self.workspace.folder / row.id)

    @property
    def paused(self) -> bool:
        """Is the whole queue held?"""
        return self._hold.exists()

    def waits(self) -> bool:
        """Is there something to do?"""
        return not self.paused and any(row.state == "queued" for row in self.rows())

    # Changing ---------------------------------------------------------------------------------------------------------

    def add(self, requests: Iterable[JobRequest]) -> tuple[list[Row], list[Row]]:
        """Queue what is not there yet. Returns the new jobs, and those that the others would have been."""
        with self._changing() as index:
            rows = self._refreshed(index)
            known = {row.summary.request: row for row in rows if _is_twin(row)}
            requests = list({request.key: request for request in requests}.values())
            new = [request for request in requests if request.key not in known]
            last = max((row.position for row in rows), default=0.0)
            made = jobs.create(self.workspace, new, last + 1)
            twins = [known[request.key] for request in requests if request.key in known]
            return [index.put(job) for job in made], twins

    def claim(self, token: str) -> Job | None:
        """The next job, now this worker's and running; None if nothing waits or the queue is paused."""
        with self._changing() as index:
            jobs_in_order = (self.job(row) for row in self._refreshed(index) if row.state == "queued")
            waiting = (job for job in jobs_in_order if job.state == "queued")  # by its file
            if self.paused or (job := next(waiting, None)) is None:
                return None
            job.write(state="running", worker=token, began=_now(), error="", hint="")
            self._wish(job).unlink(missing_ok=True)
            index.put(job)
            return job

    def finish(self, job: Job, state: State, **facts: Any) -> None:
        """The worker is done with its job, one way or another."""
        with self._changing() as index:
            if (job.folder / JOB).is_file():  # nobody has removed it meanwhile
                job.write(state=state, worker="", **facts)
                self._wish(job).unlink(missing_ok=True)
                index.put(job)

    def requeue(self, token: str) -> None:
        """What a worker that ends has begun, and not finished, waits again."""
        with self._changing() as index:
            for row in self._refreshed(index):
                if row.state == "running" and row.worker == token:
                    self.job(row).write(state="queued", worker="")
                    index.put(self.job(row))

    def cancel(self, names: list[str]) -> list[Row]:
        """These will not be made; what runs is stopped by its worker."""
        return self._change(names, "cancelled", "cancel", ("queued", "paused", "interrupted"))

    def pause(self, names: list[str]) -> list[Row]:
        """These wait until they are resumed; what runs is saved first, by its worker."""
        return self._change(names, "paused", "pause", ("queued",))

    def resume(self, names: list[str]) -> list[Row]:
        """Paused and interrupted ones are queued again where they were, and go on from what was saved."""
        return self._change(names, "queued", None, ("paused", "interrupted"))

    def retry(self, names: list[str]) -> list[Row]:
        """What failed, was cancelled or interrupted is queued again."""
        return self._change(names, "queued", None, ("failed", "cancelled", "interrupted"))

    def move(self, names: list[str], place: int) -> list[Row]:
        """Put waiting jobs, in the order named, at a place of the queue: 1 is next, -1 last."""
        with self._changing() as index:
            waiting = [row for row in self._refreshed(index) if row.state in ("queued", "paused")]
            chosen = [_named(waiting, name) for name in dict.fromkeys(names)]
            others = [row for row in waiting if row not in chosen]
            at = len(others) if place < 0 else min(max(place - 1, 0), len(others))
            positions = _between(others[:at], others[at:], len(chosen))
            if positions is None:
                chosen = [*others[:at], *chosen, *others[at:]]
                positions = [float(position) for position in range(1, len(chosen) + 1)]
            for row, position in zip(chosen, positions, strict=True):
                self.job(row).write(position=position)
                index.put(self.job(row))
            return chosen

    def hold(self) -> None:
        """Pause the queue: the worker saves what it does, gives the memory back and waits."""
        workers.queue_folder(self.workspace).mkdir(exist_ok=True)
        self._hold.touch()

    def release(self) -> list[Row]:
        """Go on with the queue, and with every job that is paused."""
        self._hold.unlink(missing_ok=True)
        with self._changing() as index:
            paused = [row for row in self._refreshed(index) if row.state == "paused"]
            return [self._changed(index, row, "queued", None) for row in paused]

    def wished(self, job: Job) -> str:
        """What somebody wants of a running job: `cancel`, `pause`, `stop`, or nothing."""
        if self.paused:
            return "pause"
        try:
            wish = read_text(self._wish(job))
        except (OSError, ValueError):
            return ""
        return wish if wish in ("cancel", "pause", "stop") else ""

    def stop(self, job: Job) -> None:
        """Ask whoever runs this to save it and give it back, unless something else is wished already."""
        if not self.wished(job):
            self._wish(job).write_text("stop")

    def touch(self, job: Job) -> None:
        """Something in the job's folder has changed: read it again."""
        with self._changing() as index:
            index.put(job)

    # ------------------------------------------------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        return self.workspace.folder / INDEX

    @property
    def _hold(self) -> Path:
        return workers.queue_folder(self.workspace) / "paused"

    def _wish(self, job: Job) -> Path:
        return job.folder / "wish"

    def _change(self, names: list[str], state: State, wish: str | None, sources: tuple[State, ...]) -> list[Row]:
        """All of them or, if one cannot be, none."""
        with self._changing() as index:
            there = self._refreshed(index)
            rows = list({row.id: row for row in (_named(there, name) for name in names)}.values())
            for row in rows:
                if row.state not in sources and not (row.state == "running" and wish):
                    raise SettingsError(f"job {row.name} is {row.state}", f"only {_any_of(sources, wish)} can be")
            return [self._changed(index, row, state, wish) for row in rows]

    def _changed(self, index: Index, row: Row, state: State, wish: str | None) -> Row:
        job = self.job(row)
        if row.state == "running" and wish:
            self._wish(job).write_text(wish)
            return row
        job.write(state=state, error="", hint="")
        return index.put(job)

    def _refreshed(self, index: Index) -> list[Row]:
        """The rows, once the index says what the folders say."""
        return sorted(index.refresh(jobs.stamped(self.workspace)), key=_place)

    def _is_dead(self, row: Row) -> bool:
        return row.state == "running" and row.worker != "" and not workers.is_alive(self.workspace, row.worker)

    @contextmanager
    def _changing(self) -> Iterator[Index]:
        """The index, for somebody who changes the queue: one at a time, and after the dead are buried."""
        with locked(self.workspace, "queue", SOON), opened(self._path) as index:
            for row in filter(self._is_dead, self._refreshed(index)):
                self.job(row).write(state="interrupted", worker="")
                index.put(self.job(row))
            yield index


def _buried(row: Row) -> Row:
    return replace(row, state="interrupted", worker="")


def _named(rows: list[Row], name: str) -> Row:
    """By what people call it, its folder or its folder's name. Raises SettingsError."""
    plain = name.lstrip("0") if name.isdecimal() else name
    for row in rows:
        if plain == row.name or name in (row.id, Path(row.id).name):
            return row
    raise SettingsError(f"there is no such job `{name}`", "`tav queue ls` lists them")


def _is_twin(row: Row) -> bool:
    """Would one more like it be of no use? What a stage has made may be gone again; an edit's video is there."""
    return row.state in OPEN or (row.state == "done" and row.kind == "edit")


def _between(before: list[Row], after: list[Row], count: int) -> list[float] | None:
    """So many positions between two neighbours, ascending; None where there is no room left."""
    low = before[-1].position if before else (after[0].position if after else 0.0) - count - 1
    high = after[0].position if after else low + count + 1
    found = [low + (high - low) * place / (count + 1) for place in range(count + 2)]
    return found[1:-1] if all(one < next_one for one, next_one in pairwise(found)) else None


def _place(row: Row) -> tuple[float, ...]:
    if row.state in OPEN:
        return (OPEN.index(row.state) > 0, row.position, row.number)
    return (2, -row.number, row.kind == "edit")


def _any_of(states: tuple[State, ...], wish: str | None) -> str:
    return ", ".join([*states, *(["running"] if wish else [])]) + " ones"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
