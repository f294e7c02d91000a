"""Worker processes of the screen: started as children, never part of it, so that it can go while they stay."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tavcli import presence
from tavcli.presence import Status
from tavcli.workspace import Workspace

LOG = "worker.log"
# A worker that died so often without finishing a job is not started again by itself.
_TRIES = 3


@dataclass
class Crew:
    """The workers that this process has started, one for each workspace."""

    flags: tuple[str, ...] = ()
    _started: dict[Path, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _tries: dict[Path, int] = field(default_factory=dict)
    _known: set[Path] = field(default_factory=set)

    def know(self, workspace: Workspace) -> None:
        """Somebody looks at this workspace."""
        self._known.add(workspace.folder)

    @property
    def places(self) -> list[Workspace]:
        """Where somebody may work by our doing, or was found working."""
        return [Workspace(folder) for folder in self._known]

    def ensure(self, workspace: Workspace, done: int) -> bool:
        """Start a worker unless one is there, or is starting; `done` jobs tell whether earlier ones got anywhere.

        Returns False where it has died too often.
        """
        child = self._started.get(workspace.folder)
        if (child is not None and child.poll() is None) or presence.workers(workspace):
            return True
        if child is not None:
            key = workspace.folder / str(done)
            self._tries[key] = self._tries.get(key, 0) + 1
            if self._tries[key] >= _TRIES:
                return False
        self._start(workspace)
        return True

    def _start(self, workspace: Workspace) -> None:
        place = presence.folder(workspace)
        place.mkdir(exist_ok=True)
        command = [sys.executable, "-P", "-c", "from tavcli.start import main; main()"]
        with (place / LOG).open("ab") as log:
            self._started[workspace.folder] = subprocess.Popen(
                [*command, "-C", str(workspace.folder), *self.flags, "work", "--watch"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=workspace.folder,
                # It stays as long as this process lives, and then until the queue is empty.
                env={**os.environ, presence.WATCHER: str(os.getpid())},
                start_new_session=True,
            )

    def forget_failures(self, workspace: Workspace) -> None:
        """A person asks for work again."""
        self._tries = {key: tries for key, tries in self._tries.items() if key.parent != workspace.folder}


def stop(workers: list[Status]) -> None:
    """Ask these to save and end; those on other hosts cannot be asked from here."""
    # Once each: a second signal would not wait for the saving. A cluster's jobs have one process.
    for pid in {status.pid for status in workers if status.host == socket.gethostname()}:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
