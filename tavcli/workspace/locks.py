"""Locks: each thing in a workspace has one writer; other processes wait for it and say for whom."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from tav.atomic import TEMPORARY, is_running, read_text, remove_leftovers, write_text
from tav.errors import TavError
from tavcli.workspace.folder import Workspace

# Seconds to wait for a lock that is held briefly, as to claim an edit or give it up.
SOON = 30


class Busy(TavError):
    """Another process holds the lock."""


# The timeout by which `filelock` waits for as long as it takes.
FOREVER = -1.0


@contextmanager
def locked(workspace: Workspace, name: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock `name` of the workspace; raises Busy, naming the holder, if it is not free in `wait` seconds.

    A signal ends the waiting at once. The holder may have changed anything, so check again inside the lock.
    """
    workspace.locks.mkdir(exist_ok=True)
    path = workspace.locks / f"{name}.lock"
    # Taking the lock truncates the lock file, so the holder is noted in a file beside it.
    holder = path.with_suffix(".json")
    try:
        with filelock.FileLock(path, timeout=wait):
            remove_leftovers(workspace.locks)
            with suppress(OSError):  # a full disk is no reason to stop: the holder goes without a note
                write_text(holder, json.dumps(_own_note()))
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)
    except filelock.Timeout:
        raise Busy(f"{name} is being written by {_holder_in_words(holder)}", "try again when it is done") from None


def turn(workspace: Workspace, name: str, held: ExitStack, wait: bool) -> Iterator[str]:
    """Enter the lock `name` into `held`. If it is busy, yields a line naming the holder, or raises Busy (no `wait`)."""
    try:
        held.enter_context(locked(workspace, name))
    except Busy as busy:
        if not wait:
            raise
        yield f"waiting: {busy.message}"
        held.enter_context(locked(workspace, name, FOREVER))


def undisturbed(workspace: Workspace, name: str, folder: Path) -> bool:
    """Is no process writing `folder`, and no leftover of a killed one in it? Then it can be read without the lock."""
    return not (workspace.locks / f"{name}.json").exists() and not any(folder.glob(f"{TEMPORARY}*"))


def somebody_has(workspace: Workspace, name: str) -> bool:
    """Does a living process hold this lock, according to its note?"""
    note = _read(workspace.locks / f"{name}.json")
    return bool(note) and not _is_dead(note)


def _own_note() -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join(["tav", *sys.argv[1:]])[:200],
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _holder_in_words(holder: Path) -> str:
    note = _read(holder)
    try:
        # Until the new holder has written its note, the note of one that was killed may still be there.
        if _is_dead(note):
            return "another process"
        return f"process {note['pid']} on {note['host']} (`{note['command']}`, since {note['since']})"
    except KeyError:
        return "another process"


def _read(holder: Path) -> dict[str, Any]:
    """A holder's note; empty if it is missing or invalid."""
    try:
        note = json.loads(read_text(holder))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) and isinstance(note.get("pid"), int) else {}


def _is_dead(note: dict[str, Any]) -> bool:
    return note.get("host") == socket.gethostname() and not is_running(note["pid"])
