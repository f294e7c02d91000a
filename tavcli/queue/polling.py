"""Jobs of a queue for callers that ask often: re-read when files changed."""

import time
from dataclasses import dataclass
from pathlib import Path

from tavcli.queue.queue import INDEX, Queue, Row

# Seconds after which the rows are read again in any case: the dead leave no message.
_LOOK_AGAIN = 3.0
# What was changed twice so quickly may have the same time: such times are not relied upon.
_TICK = 0.1


@dataclass
class QueuePoller:
    """Polls one queue; a call costs next to nothing while no file of it changes."""

    queue: Queue
    _times: tuple[float, ...] = ()
    _looked: float = 0.0
    _rows: tuple[Row, ...] = ()

    def rows(self) -> tuple[Row, ...]:
        """All jobs; the same objects as before where no file changed. Reads files."""
        now, times = time.monotonic(), tuple(map(_changed, self._places))
        if times != self._times or now - self._looked > _LOOK_AGAIN:
            relied_upon = time.time() - max(times) > _TICK
            self._rows, self._looked = tuple(self.queue.rows()), now
            self._times = times if relied_upon else ()
        return self._rows

    def waits(self) -> bool:
        """Does a job wait, in a queue that is not paused?"""
        return not self.queue.paused and any(row.state == "queued" for row in self.rows())

    def forget(self) -> None:
        """Re-read at the next call, whatever the files' times say: for callers that have changed a job."""
        self._times = ()

    @property
    def _places(self) -> tuple[Path, ...]:
        workspace = self.queue.workspace
        return workspace.folder / INDEX, workspace.edits, workspace.jobs


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
