"""What happens in a workspace, seen from outside: its jobs, its workers, the picture of what is rendered."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tavcli.queue import estimates
from tavcli.queue.estimates import Waiting
from tavcli.queue.polling import QueuePoller
from tavcli.queue.queue import Queue, Row
from tavcli.queue.workers import Status, living_workers, preview_file
from tavcli.tui.playback.footage import Frame
from tavcli.workspace.folder import Workspace


@dataclass(frozen=True)
class Snapshot:
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


class Watcher:
    """Looks at one workspace again and again; a look that finds nothing new costs next to nothing."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._poller = QueuePoller(Queue(workspace))
        self._pictures: dict[Path, int] = {}

    def look(self) -> Snapshot:
        """Reads files: not on the event loop. Raises TavError where the queue cannot be read."""
        rows, workers = self._poller.rows(), tuple(living_workers(self.workspace))
        waiting = tuple(estimates.waiting(list(rows), workers, time.time()))
        return Snapshot(rows, workers, waiting, self._poller.queue.paused)

    def look_anew(self) -> Snapshot:
        """The same, whatever the files' times say: for who has changed something."""
        self._poller.forget()
        return self.look()

    def picture(self, status: Status) -> Frame | None:
        """Frames (f h w 3) of what this worker renders, if there are new ones since the last call."""
        path = preview_file(self.workspace, status.token)
        changed = _changed(path)
        if not changed or self._pictures.get(path) == changed:
            return None
        self._pictures = {path: changed}
        try:
            frames: Frame = np.load(path)
        except (OSError, ValueError, EOFError):
            return None
        return frames if frames.ndim == 4 and frames.dtype == np.uint8 and frames.size else None


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
