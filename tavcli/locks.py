"""One writer for each thing in a workspace; the loser is told who the winner is."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from tav.atomic import remove_leftovers, write_text
from tav.errors import TavError
from tavcli.workspace import Workspace


class Busy(TavError):
    """Another process writes the same thing."""


@contextmanager
def locked(workspace: Workspace, name: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock `name` of the workspace; raises Busy, naming the holder, if it is not free in `wait` seconds."""
    workspace.locks.mkdir(exist_ok=True)
    path = workspace.locks / f"{name}.lock"
    # Taking the lock truncates the lock file, so who holds it stands in a file beside it.
    holder = path.with_suffix(".json")
    try:
        with filelock.FileLock(path, timeout=wait):
            remove_leftovers(workspace.locks)
            write_text(holder, json.dumps(_me()))
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)
    except filelock.Timeout:
        raise Busy(f"{name} is being written by {_who(holder)}", "wait until it is done, or stop it") from None


def _me() -> dict[str, str | int]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join(["tav", *sys.argv[1:]])[:200],
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _who(holder: Path) -> str:
    try:
        me = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {me['pid']} on {me['host']} (`{me['command']}`, since {me['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
