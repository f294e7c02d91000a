"""One writer for each thing in a workspace; others wait for it, and are told for whom."""

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

# Seconds within which who claims or gives up an edit is done with it.
SOON = 30


class Busy(TavError):
    """Another process writes the same thing."""


# What `filelock` calls waiting for as long as it takes.
FOREVER = -1.0


@contextmanager
def locked(workspace: Workspace, name: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock `name` of the workspace; raises Busy, naming the holder, if it is not free in `wait` seconds.

    A signal ends the waiting at once. What was true before the lock is held may be so no more: look again inside.
    """
    workspace.locks.mkdir(exist_ok=True)
    path = workspace.locks / f"{name}.lock"
    # Taking the lock truncates the lock file, so who holds it stands in a file beside it.
    holder = path.with_suffix(".json")
    try:
        with filelock.FileLock(path, timeout=wait):
            remove_leftovers(workspace.locks)
            with suppress(OSError):  # a courtesy: on a full disk it is done without
                write_text(holder, json.dumps(_me()))
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)
    except filelock.Timeout:
        raise Busy(f"{name} is being written by {_who(holder)}", "try again when it is done") from None


def turn(workspace: Workspace, name: str, held: ExitStack, wait: bool) -> Iterator[str]:
    """Enter the lock `name` into `held`; if it is busy, yields once for whom it waits, or raises Busy (no `wait`)."""
    try:
        held.enter_context(locked(workspace, name))
    except Busy as busy:
        if not wait:
            raise
        yield f"waiting: {busy.message}"
        held.enter_context(locked(workspace, name, FOREVER))


def undisturbed(workspace: Workspace, name: str, folder: Path) -> bool:
    """Is nobody at what lies in `folder`, and nothing left of a killed one? Then no lock is needed to look at it."""
    return not (workspace.locks / f"{name}.json").exists() and not any(folder.glob(f"{TEMPORARY}*"))


def somebody_has(workspace: Workspace, name: str) -> bool:
    """Does a living process say that it holds this lock?"""
    it = _read(workspace.locks / f"{name}.json")
    return bool(it) and not _is_dead(it)


def _me() -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join(["tav", *sys.argv[1:]])[:200],
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _who(holder: Path) -> str:
    it = _read(holder)
    try:
        # Between the lock and its new holder's note there is still that of an old one which was killed.
        if _is_dead(it):
            return "another process"
        return f"process {it['pid']} on {it['host']} (`{it['command']}`, since {it['since']})"
    except KeyError:
        return "another process"


def _read(holder: Path) -> dict[str, Any]:
    """A holder's note; empty if it is none."""
    try:
        it = json.loads(read_text(holder))
    except (OSError, ValueError, RecursionError):
        return {}
    return it if isinstance(it, dict) and isinstance(it.get("pid"), int) else {}


def _is_dead(it: dict[str, Any]) -> bool:
    return it.get("host") == socket.gethostname() and not is_running(it["pid"])
