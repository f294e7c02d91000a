"""The queue of a workspace: `queue.sqlite`, an index of its jobs that is rebuilt from their folders when it is gone.

Every change of a state goes into the job's own file first and into the index second, under one short lock. A claim is
one statement of SQLite, and counts only if the file agrees: even with the index deleted in between nothing runs twice.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tav.errors import SettingsError, TavError
from tavcli import jobs, presence
from tavcli.edits import SOON
from tavcli.jobs import OPEN, Job, Request, State
from tavcli.locks import locked
from tavcli.summaries import Summary, summary
from tavcli.workspace import Workspace

INDEX = "queue.sqlite"
# Of the index: another one is made anew.
_VERSION = 1
_SCHEMA = """
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
  position REAL NOT NULL, worker TEXT NOT NULL, summary TEXT NOT NULL
)
"""
_CLAIM = """
UPDATE jobs SET state = 'running', worker = ? WHERE id = (
  SELECT id FROM jobs WHERE state = 'queued' ORDER BY position, number LIMIT 1
) AND state = 'queued' RETURNING id
"""
_WAIT = 30  # seconds for another process that writes the index


@dataclass(frozen=True)
class Row:
    """A job as the index has it."""

    id: str
    number: int
    kind: str
    state: State
    position: float
    worker: str
    summary: Summary

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.number) if self.id.startswith("edits/") else f"{self.kind}-{self.number}"


class Queue:
    """The jobs of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    # Looking ----------------------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """Every job: first what runs or waits, in the order of the queue, then the others, the newest first."""
        with self._index() as index:
            rows = self._refreshed(index)
        if any(self._is_dead(row) for row in rows):
            with suppress(OSError), self._changing() as index:  # a folder that may only be read stays as it is
                rows = self._refreshed(index)
        return rows

    def find(self, name: str) -> Row:
        """A job by what people call it, or its folder's name. Raises SettingsError."""
        for row in self.rows():
            if name in (row.name, row.id, Path(row.id).name) or (name.isdecimal() and row.name == str(int(name))):
                return row
        raise SettingsError(f"there is no job `{name}`", "`tav queue ls` lists them")

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

    def add(self, requests: Iterable[Request]) -> tuple[list[Row], list[Row]]:
        """Queue what is not there yet. Returns the new jobs, and those that the others would have been."""
        with self._changing() as index:
            rows = self._refreshed(index)
            known = {row.summary.request: row for row in rows if row.state in (*OPEN, "done")}
            requests = list({request.key: request for request in requests}.values())
            new = [request for request in requests if request.key not in known]
            last = max((row.position for row in rows), default=0.0)
            made = jobs.create(self.workspace, new, last + 1)
            twins = [known[request.key] for request in requests if request.key in known]
            return [_insert(index, job) for job in made], twins

    def claim(self, token: str) -> Job | None:
        """The next job, now this worker's and running; None if nothing waits or the queue is paused."""
        with self._changing() as index:
            while not self.paused and (found := index.execute(_CLAIM, (token,)).fetchone()):
                job = Job(self.workspace, self.workspace.folder / found[0])
                if job.state == "queued":
                    job.write(state="running", worker=token, began=_now(), error="", hint="", forecast="")
                    self._wish(job).unlink(missing_ok=True)
                    _insert(index, job)
                    return job
                _insert(index, job)  # the file knows better
        return None

    def finish(self, job: Job, state: State, **facts: Any) -> None:
        """The worker is done with its job, one way or another."""
        with self._changing() as index:
            if job.folder.is_dir():
                job.write(state=state, worker="", **facts)
                self._wish(job).unlink(missing_ok=True)
                _insert(index, job)

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
            chosen = [self._named(waiting, name) for name in names]
            others = [row for row in waiting if row not in chosen]
            at = len(others) if place < 0 else min(max(place - 1, 0), len(others))
            for position, row in enumerate([*others[:at], *chosen, *others[at:]], start=1):
                if row.position != position:
                    self.job(row).write(position=float(position))
                    _insert(index, self.job(row))
            return chosen

    def hold(self) -> None:
        """Pause the queue: the worker saves what it does, gives the memory back and waits."""
        presence.folder(self.workspace).mkdir(exist_ok=True)
        self._hold.touch()

    def release(self) -> list[Row]:
        """Go on with the queue, and with every job that is paused."""
        self._hold.unlink(missing_ok=True)
        paused = [row.name for row in self.rows() if row.state == "paused"]
        return self.resume(paused) if paused else []

    def wished(self, job: Job) -> str:
        """What somebody wants of a running job: `cancel`, `pause`, or nothing."""
        if self.paused:
            return "pause"
        try:
            return self._wish(job).read_text()
        except OSError:
            return ""

    def touch(self, job: Job) -> None:
        """Something in the job's folder has changed: read it again."""
        with self._changing() as index:
            _insert(index, job)

    # ------------------------------------------------------------------------------------------------------------------

    @property
    def _hold(self) -> Path:
        return presence.folder(self.workspace) / "paused"

    def _wish(self, job: Job) -> Path:
        return job.folder / "wish"

    def _change(self, names: list[str], state: State, wish: str | None, sources: tuple[State, ...]) -> list[Row]:
        """All of them or, if one cannot be, none."""
        with self._changing() as index:
            there = self._refreshed(index)
            rows = [self._named(there, name) for name in dict.fromkeys(names)]
            for row in rows:
                if row.state not in sources and not (row.state == "running" and wish):
                    raise SettingsError(f"job {row.name} is {row.state}", f"only {_any_of(sources, wish)} can be")
            return [self._changed(index, row, state, wish) for row in rows]

    def _changed(self, index: sqlite3.Connection, row: Row, state: State, wish: str | None) -> Row:
        job = self.job(row)
        if row.state == "running" and wish:
            self._wish(job).write_text(wish)
            return row
        job.write(state=state, error="", hint="")
        return _insert(index, job)

    def _named(self, rows: list[Row], name: str) -> Row:
        for row in rows:
            if name in (row.name, row.id, Path(row.id).name):
                return row
        raise SettingsError(f"there is no such job `{name}`", "`tav queue ls` lists them")

    def _refreshed(self, index: sqlite3.Connection) -> list[Row]:
        """The rows, once the index says what the folders say."""
        there = {f"{folder.parent.name}/{folder.name}": folder for folder in jobs.folders(self.workspace)}
        rows = {row.id: row for row in map(_row, index.execute(f"SELECT {_COLUMNS} FROM jobs"))}
        index.executemany("DELETE FROM jobs WHERE id = ?", [(gone,) for gone in rows.keys() - there.keys()])
        found = (self._looked_at(index, Job(self.workspace, there[id_]), rows.get(id_)) for id_ in there)
        return sorted(found, key=_place)

    def _looked_at(self, index: sqlite3.Connection, job: Job, row: Row | None) -> Row:
        """The job's row, renewed where the folder says something else."""
        if row is None:
            return _insert(index, job)
        if job.edit and job.edit.done != (row.state == "done"):
            return _insert(index, job)
        # An edit that was never queued may be made in the foreground now, or no more.
        if row.state in ("running", "interrupted") and not row.worker and job.facts is None:
            return _insert(index, job)
        return row

    def _is_dead(self, row: Row) -> bool:
        return row.state == "running" and row.worker != "" and not presence.is_alive(self.workspace, row.worker)

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """The index, for somebody who changes the queue: one at a time, and after the dead are buried."""
        with locked(self.workspace, "queue", SOON), self._index() as index:
            for row in filter(self._is_dead, self._refreshed(index)):
                job = self.job(row)
                if job.state == "running":
                    job.write(state="interrupted", worker="")
                _insert(index, job)
            yield index

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        """The index, opened for one piece of work; made anew if it is none."""
        path = self.workspace.folder / INDEX
        try:
            index = _opened(path)
        except sqlite3.OperationalError as error:
            if not _read_only(error):
                raise _told(path, error) from None
            index = _with_schema(sqlite3.connect(":memory:"))
        except sqlite3.DatabaseError:
            _remove(path)
            index = _opened(path)
        try:
            with index:
                yield index
        except sqlite3.OperationalError as error:
            raise _told(path, error) from None
        except sqlite3.DatabaseError as error:
            _remove(path)
            hint = "it is removed, and made again from the jobs' folders"
            raise TavError(f"{path} was damaged: {error}", hint) from None
        finally:
            index.close()


_COLUMNS = "id, number, kind, state, position, worker, summary"


def _opened(path: Path) -> sqlite3.Connection:
    # A rollback journal: workspaces may lie on a network file system.
    index = sqlite3.connect(path, timeout=_WAIT, isolation_level="IMMEDIATE")
    try:
        return _with_schema(index)
    except sqlite3.Error:
        index.close()
        raise


def _with_schema(index: sqlite3.Connection) -> sqlite3.Connection:
    """The index with its table; one of another version starts empty."""
    if _version(index) == _VERSION:
        return index
    index.execute("BEGIN IMMEDIATE")
    if _version(index) != _VERSION:  # nobody was quicker
        index.execute("DROP TABLE IF EXISTS jobs")
        index.execute(_SCHEMA)
        index.execute(f"PRAGMA user_version = {_VERSION}")
    index.commit()
    return index


def _version(index: sqlite3.Connection) -> int:
    return int(index.execute("PRAGMA user_version").fetchone()[0])


def _remove(path: Path) -> None:
    """Together with its journal, which belongs to no other index."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


def _insert(index: sqlite3.Connection, job: Job) -> Row:
    """Write what the job's files say into the index."""
    facts = job.facts
    row = Row(
        job.id,
        job.number,
        facts.kind if facts else "edit",
        job.state,
        facts.position if facts else 0.0,
        facts.worker if facts else "",
        summary(job),
    )
    values = (*[getattr(row, name) for name in _COLUMNS.split(", ")[:-1]], json.dumps(row.summary.as_json()))
    index.execute(f"INSERT OR REPLACE INTO jobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    return row


def _row(values: tuple[Any, ...]) -> Row:
    id_, number, kind, state, position, worker, found = values
    return Row(id_, number, kind, state, position, worker, Summary.of(json.loads(found)))


def _place(row: Row) -> tuple[float, ...]:
    if row.state in OPEN:
        return (OPEN.index(row.state) > 0, row.position, row.number)
    return (2, -row.number, row.kind == "edit")


def _any_of(states: tuple[State, ...], wish: str | None) -> str:
    return ", ".join([*states, *(["running"] if wish else [])]) + " ones"


def _read_only(error: sqlite3.Error) -> bool:
    return any(words in str(error) for words in ("readonly", "unable to open"))


def _told(path: Path, error: sqlite3.Error) -> TavError:
    return TavError(
        f"{path}: {error}", "check the free space; the queue can be deleted, it is made again from the jobs' folders"
    )


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
