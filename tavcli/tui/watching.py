"""What happens in a workspace, seen from outside: its jobs, its workers, the picture of what is rendered."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tavcli import estimates, presence
from tavcli.estimates import Waiting
from tavcli.footage import Frame
from tavcli.presence import Status
from tavcli.queue import INDEX, Queue, Row
from tavcli.workspace import Workspace

# Seconds after which the jobs are read again even if no file says that they changed: the dead leave no message.
_LOOK_AGAIN = 3.0


@dataclass(frozen=True)
class Sight:
    """One look: every job, who works, and when the open jobs will be done."""

    rows: tuple[Row, ...] = ()
    workers: tuple[Status, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    paused: bool = False

    @property
    def working(self) -> Status | None:
        """The worker that has a job, if one has."""
        return next((status for status in self.workers if status.job), None)

    @property
    def left(self) -> float | None:
        """Seconds until the queue is empty, if that can be said."""
        ends = [one.left for one in self.waiting if one.row.state != "paused"]
        return None if not ends or None in ends else ends[-1]


@dataclass
class Watcher:
    """Looks at one workspace again and again; a look that finds nothing new costs next to nothing."""

    workspace: Workspace
    _signature: tuple[int, ...] = ()
    _looked: float = 0.0
    _rows: tuple[Row, ...] = ()
    _pictures: dict[Path, int] = field(default_factory=dict)

    def look(self) -> Sight:
        """Reads files: not on the event loop. Raises TavError where the queue cannot be read."""
        queue, now = Queue(self.workspace), time.monotonic()
        signature = tuple(map(_changed, self._places))
        if signature != self._signature or now - self._looked > _LOOK_AGAIN:
            self._rows, self._signature, self._looked = tuple(queue.rows()), signature, now
        workers = tuple(presence.workers(self.workspace))
        waiting = tuple(estimates.waiting(list(self._rows), workers, time.time()))
        return Sight(self._rows, workers, waiting, queue.paused)

    def look_anew(self) -> Sight:
        """The same, whatever the files' times say: for who has changed something."""
        self._signature = ()
        return self.look()

    def picture(self, status: Status) -> Frame | None:
        """Frames (f h w 3) of what this worker renders, if there are new ones since the last call."""
        path = presence.preview_file(self.workspace, status.token)
        changed = _changed(path)
        if not changed or self._pictures.get(path) == changed:
            return None
        self._pictures = {path: changed}
        try:
            frames: Frame = np.load(path)
        except (OSError, ValueError, EOFError):
            return None
        return frames if frames.ndim == 4 and frames.dtype == np.uint8 and frames.size else None

    @property
    def _places(self) -> tuple[Path, ...]:
        folder = self.workspace.folder
        return (folder / INDEX, self.workspace.edits, self.workspace.jobs, presence.folder(self.workspace))


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
