"""What happens in a workspace, read from its files: its jobs, its workers, the preview of a render."""

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
    """A workspace at one moment: every job, the workers, and when the open jobs will be done."""

    rows: tuple[Row, ...] = ()
    workers: tuple[Status, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    paused: bool = False

    @property
    def working(self) -> Status | None:
        """The first worker that has a job, or None."""
        return next((status for status in self.workers if status.job), None)

    @property
    def left(self) -> float | None:
        """Seconds until the queue is empty; None if unknown."""
        ends = [one.left for one in self.waiting if one.row.state != "paused"]
        return None if not ends or None in ends else ends[-1]


class Watcher:
    """Reads one workspace again and again; a reading that finds nothing new costs next to nothing."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._poller = QueuePoller(Queue(workspace))
        self._pictures: dict[Path, int] = {}

    def look(self) -> Snapshot:
        """The workspace now. Reads files, so not for the event loop. Raises TavError where the queue cannot be read."""
        rows, workers = self._poller.rows(), tuple(living_workers(self.workspace))
        waiting = tuple(estimates.waiting(list(rows), workers, time.time()))
        return Snapshot(rows, workers, waiting, self._poller.queue.paused)

    def look_anew(self) -> Snapshot:
        """The workspace now, read again even where no file's time has changed: for use after a change."""
        self._poller.forget()
        return self.look()

    def picture(self, status: Status) -> Frame | None:
        """Frames (f h w 3) of what this worker renders; None if there are no new ones since the last call."""
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
