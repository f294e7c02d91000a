"""`queue.sqlite`: what a listing shows of each job, so that a thousand folders need not be read for it.

It decides nothing: each row has the stamp of the files it was read from, and where that is another one they are read
again. So it may be deleted, damaged or old; where it cannot be written it is kept in memory.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tavcli.jobs import Job, State
from tavcli.summaries import Summary, summary

# Of the table: one of another version is made anew.
_VERSION = 2
# Without row numbers there is one tree, and reading all of it shows whether it is whole.
_SCHEMA = """
CREATE TABLE jobs (
  id TEXT PRIMARY KEY, number INTEGER NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
  position REAL NOT NULL, worker TEXT NOT NULL, summary TEXT NOT NULL, stamp TEXT NOT NULL
) WITHOUT ROWID
"""
_CLAIM = """
UPDATE jobs SET state = 'running', worker = ? WHERE id = (
  SELECT id FROM jobs WHERE state = 'queued' ORDER BY position, number LIMIT 1
) AND state = 'queued' RETURNING id
"""
_WAIT = 30  # seconds for another process that writes it


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
    """The rows of one index, opened for one piece of work. Raises sqlite3.Error, ValueError for what is none."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = _with_schema(connection)
        read = map(_read, connection.execute("SELECT * FROM jobs"))
        self._rows: dict[str, tuple[str, Row]] = {row.id: (stamp, row) for stamp, row in read}

    def refresh(self, there: dict[str, tuple[str, Job]]) -> list[Row]:
        """The rows of the jobs that are there, by id with the stamps of their files, in no order."""
        for gone in self._rows.keys() - there.keys():
            self._connection.execute("DELETE FROM jobs WHERE id = ?", (gone,))
            del self._rows[gone]
        return [self._looked_at(stamp, job) for stamp, job in there.values()]

    def _looked_at(self, stamp: str, job: Job) -> Row:
        known = self._rows.get(job.id)
        return known[1] if known is not None and known[0] == stamp else self.put(job)

    def put(self, job: Job) -> Row:
        """Write down what the job's files say."""
        stamp = job.stamp or ""  # before they are read: what is written meanwhile is another stamp
        facts, state = job.facts, job.state
        position, worker = (facts.position, facts.worker) if facts else (0.0, "")
        row = Row(job.id, job.number, job.kind, state, position, worker, summary(job))
        values = (row.id, row.number, row.kind, state, position, worker, json.dumps(row.summary.as_json()), stamp)
        self._connection.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        self._rows[row.id] = (stamp, row)
        return row

    def claim(self, worker: str) -> str | None:
        """The id of the first job that is queued, now this worker's."""
        found = self._connection.execute(_CLAIM, (worker,)).fetchone()
        return str(found[0]) if found else None


@contextmanager
def opened(path: Path) -> Iterator[Index]:
    """The index at `path`, made anew if it is none, in memory where nothing can be written. Raises sqlite3.Error."""
    connection, index = _opened(path)
    try:
        with connection:
            yield index
    finally:
        connection.close()


@contextmanager
def in_memory() -> Iterator[Index]:
    """An empty one, of which nothing is kept."""
    connection = sqlite3.connect(":memory:")
    try:
        yield Index(connection)
    finally:
        connection.close()


def _opened(path: Path) -> tuple[sqlite3.Connection, Index]:
    try:
        return _tried(path)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise
    except (sqlite3.Error, ValueError, TypeError, LookupError, AttributeError, OverflowError):
        pass
    try:
        remove(path)
        return _tried(path)
    except (sqlite3.Error, OSError):
        return _tried(":memory:")


def _tried(path: Path | str) -> tuple[sqlite3.Connection, Index]:
    # A rollback journal: workspaces may lie on a network file system.
    connection = sqlite3.connect(path, timeout=_WAIT, isolation_level="IMMEDIATE")
    try:
        return connection, Index(connection)
    except BaseException:
        connection.close()
        raise


def remove(path: Path) -> None:
    """Together with its journal, which belongs to no other index."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


def _with_schema(connection: sqlite3.Connection) -> sqlite3.Connection:
    if _version(connection) != _VERSION:
        connection.execute("BEGIN IMMEDIATE")
        if _version(connection) != _VERSION:  # nobody was quicker
            connection.execute("DROP TABLE IF EXISTS jobs")
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.commit()
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _read(values: tuple[Any, ...]) -> tuple[str, Row]:
    """A row and its stamp. Raises ValueError, TypeError, LookupError or AttributeError for what tav did not write."""
    id_, number, kind, state, position, worker, found, stamp = values
    return str(stamp), Row(id_, number, kind, state, position, worker, Summary.of(json.loads(found)))
