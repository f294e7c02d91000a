"""Worker processes that the application starts. They are separate processes, so they can go on after it has ended."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tavcli.queue import workers
from tavcli.queue.queue import Queue
from tavcli.text import printable
from tavcli.workspace.folder import Workspace

LOG = "worker.log"
# A worker that died this often without finishing a job is started again only when the user asks.
_TRIES = 3


@dataclass
class WorkerProcesses:
    """The workers that this process has started, one for each workspace."""

    flags: tuple[str, ...] = ()
    _started: dict[Path, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _tries: dict[Path, int] = field(default_factory=dict)
    _known: set[Path] = field(default_factory=set)
    _resting: set[Path] = field(default_factory=set)

    def know(self, workspace: Workspace) -> None:
        """Add a workspace that a screen shows to `places`."""
        self._known.add(workspace.folder)

    @property
    def places(self) -> list[Workspace]:
        """The workspaces that screens have shown: a worker may run in each of them."""
        return [Workspace(folder) for folder in self._known]

    @property
    def children(self) -> list["subprocess.Popen[bytes]"]:
        """The processes that were started last, one for each workspace."""
        return list(self._started.values())

    def ensure(self, workspace: Workspace, done: int) -> bool:
        """Start a worker, unless one runs, is starting, or was stopped by the user. Returns False if it died too often.

        `done` is the number of finished jobs: as long as it grows, the workers that died have achieved something.
        """
        if workspace.folder in self._resting or self._child(workspace) or workers.living_workers(workspace):
            return True
        if workspace.folder in self._started:
            key = workspace.folder / str(done)
            self._tries[key] = self._tries.get(key, 0) + 1
            if self._tries[key] >= _TRIES:
                return False
        self._start(workspace)
        return True

    def _start(self, workspace: Workspace) -> None:
        place = workers.queue_folder(workspace)
        place.mkdir(exist_ok=True)
        command = [sys.executable, "-P", "-m", "tavcli"]
        with (place / LOG).open("ab") as log:
            self._started[workspace.folder] = subprocess.Popen(
                [*command, "-C", str(workspace.folder), *self.flags, "work", "--watch"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=workspace.folder,
                # The worker stays while this process lives, and then until the queue is empty.
                env={**os.environ, workers.WATCHER: str(os.getpid())},
                start_new_session=True,
            )

    def _child(self, workspace: Workspace) -> "subprocess.Popen[bytes] | None":
        """The worker that this process has started, if it lives; it may not have registered yet."""
        child = self._started.get(workspace.folder)
        return child if child is not None and child.poll() is None else None

    def wake(self, workspace: Workspace) -> None:
        """Allow a worker again, whatever happened before: the user asks for work."""
        self._resting.discard(workspace.folder)
        self._tries = {key: tries for key, tries in self._tries.items() if key.parent != workspace.folder}

    def rests(self, workspace: Workspace) -> bool:
        """Was the worker stopped by the user?"""
        return workspace.folder in self._resting

    def send_away(self, workspace: Workspace) -> None:
        """Ask the workspace's workers on this machine to save and end; `ensure` starts none until `wake`."""
        self._resting.add(workspace.folder)
        child, here = self._child(workspace), socket.gethostname()
        found = {status.pid for status in workers.living_workers(workspace) if status.host == here}
        for pid in found | ({child.pid} if child else set()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)

    def work_in(self, workspace: Workspace) -> str:
        """The running or next job of a workspace, in words; empty if no worker is there. Reads files."""
        queue = Queue(workspace)
        rows = [row for row in queue.rows() if row.state == "running" or (row.state == "queued" and not queue.paused)]
        if not rows or not (self._child(workspace) or workers.living_workers(workspace)):
            return ""
        first, others = rows[0], len(rows) - 1
        more = f", and {others} more job{'s' * (others != 1)}" if others else ""
        return f"{workspace.folder.name}: {first.name} {printable(first.summary.title)}{more}"
