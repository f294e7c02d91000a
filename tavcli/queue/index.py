"""`queue.sqlite`: what a listing shows of each job, so that a thousand folders need not be read for it.

It decides nothing: each row has the stamp of the files it was read from, and where that is another one they are read
again. So it may be deleted, damaged or old; where it cannot be written it is kept in memory.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from tavcli.queue.jobs import Job, State
from tavcli.queue.summary import Summary, summary

# Of the table: one of another version is made anew.
_VERSION = 2
# Without row numbers there is one tree, and reading all of it shows whether it is whole.
_SCHEMA = """
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
  position REAL NOT NULL, worker TEXT NOT NULL, summary TEXT NOT NULL, stamp TEXT NOT NULL
) WITHOUT ROWID
"""
_COLUMNS = "id, number, kind, state, position, worker, summary, stamp"
_WAIT = 5  # seconds for another process that writes it


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


class Index:
    """The rows as they were last written down, for one piece of work."""

    def __init__(self, rows: dict[str, tuple[str, Row]]) -> None:
        self._rows = rows
        self.changed: dict[str, tuple[str, Row] | None] = {}  # by id; None for what is gone

    def refresh(self, there: dict[str, tuple[str, Job]]) -> list[Row]:
        """The rows of the jobs that are there, by id with the stamps of their files, in no order."""
        for gone in self._rows.keys() - there.keys():
            del self._rows[gone]
            self.changed[gone] = None
        return [self._looked_at(stamp, job) for stamp, job in there.values()]

    def _looked_at(self, stamp: str, job: Job) -> Row:
        known = self._rows.get(job.id)
        return known[1] if known is not None and known[0] == stamp else self.put(job)

    def put(self, job: Job) -> Row:
        """Write down what the job's files say."""
        stamp = job.stamp or ""  # before they are read: what is written meanwhile is another stamp
        record, state = job.record, job.state
        position, worker = (record.position, record.worker) if record else (0.0, "")
        row = Row(job.id, job.number, job.kind, state, position, worker, summary(job))
        self._rows[job.id] = self.changed[job.id] = (stamp, row)
        return row


@contextmanager
def opened(path: Path) -> Iterator[Index]:
    """The index at `path`, empty if it is none. What cannot be written into it is found again the next time."""
    with closing(sqlite3.connect(":memory:")) as nothing:
        connection, rows = _tried(path) or _tried(path, anew=True) or (nothing, {})
        index = Index(rows)
        try:
            yield index
        finally:
            with closing(connection), suppress(sqlite3.Error):
                _write(connection, index)


def _tried(path: Path, anew: bool = False) -> tuple[sqlite3.Connection, dict[str, tuple[str, Row]]] | None:
    """The rows of the file at `path`, or of a new one in its place; None if it is none, or none can be made."""
    connection = None
    try:
        if anew:
            _remove(path)
        # A rollback journal: workspaces may lie on a network file system.
        connection = sqlite3.connect(path, timeout=_WAIT, isolation_level="IMMEDIATE")
        _make_table(connection)
        found = map(_read, connection.execute(f"SELECT {_COLUMNS} FROM jobs"))
        return connection, {row.id: (stamp, row) for stamp, row in found}
    except (sqlite3.Error, OSError, ValueError, TypeError, LookupError, AttributeError):
        if connection is not None:
            connection.close()
        return None


def _remove(path: Path) -> None:
    """Together with its journal, which belongs to no other index."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


def _make_table(connection: sqlite3.Connection) -> None:
    """Where it is not there, or of another version."""
    if _version(connection) != _VERSION:
        connection.execute("BEGIN IMMEDIATE")
        if _version(connection) != _VERSION:  # nobody was quicker
            connection.execute("DROP TABLE IF EXISTS jobs")
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.commit()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@lru_cache(1 << 12)
def _read(values: tuple[Any, ...]) -> tuple[str, Row]:
    """A row and its stamp; the same objects for the same values.

    Raises ValueError, TypeError, LookupError or AttributeError for what tav did not write.
    """
    id_, number, kind, state, position, worker, found, stamp = values
    if state not in get_args(State):
        raise ValueError(state)
    return str(stamp), Row(id_, number, kind, state, position, worker, Summary.of(json.loads(found)))


def _write(connection: sqlite3.Connection, index: Index) -> None:
    with connection:
        for id_, change in index.changed.items():
            connection.execute("DELETE FROM jobs WHERE id = ?", (id_,))
            if change is not None:
                stamp, row = change
                found = json.dumps(row.summary.as_json())
                values = (id_, row.number, row.kind, row.state, row.position, row.worker, found, stamp)
                connection.execute(f"INSERT INTO jobs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
