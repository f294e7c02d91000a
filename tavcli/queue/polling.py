"""The rows of a queue for who asks again and again: read only when a file's time says that they may be others."""

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
    """Follows one queue; asking costs next to nothing while nothing happens there."""

    queue: Queue
    _times: tuple[float, ...] = ()
    _looked: float = 0.0
    _rows: tuple[Row, ...] = ()

    def rows(self) -> tuple[Row, ...]:
        """As the queue's own, the same objects as before where nothing has changed. Reads files."""
        now, times = time.monotonic(), tuple(map(_changed, self._places))
        if times != self._times or now - self._looked > _LOOK_AGAIN:
            relied_upon = time.time() - max(times) > _TICK
            self._rows, self._looked = tuple(self.queue.rows()), now
            self._times = times if relied_upon else ()
        return self._rows

    def waits(self) -> bool:
        """Is there something to do?"""
        return not self.queue.paused and any(row.state == "queued" for row in self.rows())

    def forget(self) -> None:
        """Read anew the next time, whatever the files' times say: for who has changed something."""
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
