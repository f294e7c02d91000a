"""The workers of a workspace: each holds a lock for as long as it lives, and says in a file what it is doing.

The lock tells the truth even after `kill -9`; the file is for whoever watches, and watching costs the worker nothing.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import filelock
from pydantic import TypeAdapter, ValidationError

from tav.errors import SettingsError
from tavcli.config.files import read_json
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import SOON, locked

# A status says no more often than this how far it is (seconds).
EVERY = 0.25
# And at least so often that it is there.
ALIVE_EVERY = 10.0
_HELD = "lock"
_A_MOMENT = 0.006
# In a worker's environment: the process for which it watches the queue.
WATCHER = "TAV_WATCHER"


@dataclass
class Status:
    """What a worker says of itself. `done` of `total` steps of `what`, `left` seconds of it; losses of a tuning."""

    token: str
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    device: str = ""
    state: str = "idle"  # idle, working, paused
    job: str = ""
    what: str = ""
    done: int = 0
    total: int = 0
    left: float | None = None
    began: float = 0.0  # of the job, seconds since 1970
    losses: list[float] = field(default_factory=list)
    updated: float = 0.0


_STATUS = TypeAdapter(Status)


def queue_folder(workspace: Workspace) -> Path:
    """Where workers of this workspace keep their locks and files."""
    return workspace.folder / ".queue"


def preview_file(workspace: Workspace, token: str) -> Path:
    """The frames (f h w 3) uint8, as .npy, of what the worker is rendering."""
    return queue_folder(workspace) / f"{token}.npy"


@contextmanager
def registered(workspace: Workspace) -> Iterator[str]:
    """Be a worker of this workspace; yields its token. What dead ones left is removed."""
    place, token = queue_folder(workspace), uuid.uuid4().hex[:12]
    place.mkdir(exist_ok=True)
    held = filelock.FileLock(place / f"{token}.{_HELD}")
    # One at a time, or one that has its file and not yet its lock would be taken for dead.
    with locked(workspace, "workers", SOON):
        _reap(workspace)
        held.acquire()
    try:
        yield token
    finally:
        _remove(place, token)
        held.release()


def is_alive(workspace: Workspace, token: str) -> bool:
    """Does the worker live? Its lock is free as soon as it does not, however it died."""
    path = queue_folder(workspace) / f"{token}.{_HELD}"
    if not token or not path.exists():
        return False
    try:
        # Not at once: somebody else may have it just to ask the same.
        with filelock.FileLock(path).acquire(_A_MOMENT, poll_interval=_A_MOMENT / 3):
            return False
    except filelock.Timeout:
        return True
    except OSError:  # a folder that may only be read: nobody works there
        return False


def living_workers(workspace: Workspace) -> list[Status]:
    """What the living workers of this workspace say."""
    living = (path for path in sorted(queue_folder(workspace).glob("*.json")) if is_alive(workspace, path.stem))
    return [status for path in living if (status := read_status(path)) is not None]


def read_status(path: Path) -> Status | None:
    """A status, if that is what the file has."""
    try:
        return _STATUS.validate_python(read_json(path) | {"token": path.stem})
    except (SettingsError, ValidationError):
        return None


def publish(workspace: Workspace, status: Status) -> None:
    """Let others see. Not synced to disk, since nothing depends on it; on a full disk it is done without."""
    status.updated = time.time()
    replace_content(queue_folder(workspace) / f"{status.token}.json", json.dumps(status.__dict__).encode())


def replace_content(path: Path, content: bytes) -> None:
    """Put `content` in the file's place at once, or leave it as it is."""
    writing = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        writing.write_bytes(content)
        writing.replace(path)


def _reap(workspace: Workspace) -> None:
    for path in queue_folder(workspace).glob(f"*.{_HELD}"):
        if not is_alive(workspace, path.stem):
            _remove(path.parent, path.stem)


def _remove(place: Path, token: str) -> None:
    for path in place.glob(f"{token}.*"):
        with suppress(OSError):
            path.unlink()
