"""A consumer of a queue: takes its jobs, and reports progress in a file that the screens read."""

import io
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property

from tav.errors import TavError
from tav.events import InvertStep, SampleStep, TuneStep, VaeStep
from tavcli.events import Begin, Preview, RunEvent, Step
from tavcli.queue import workers
from tavcli.queue.events import JobEnded
from tavcli.queue.jobs import Job, State
from tavcli.queue.polling import QueuePoller
from tavcli.queue.queue import Queue
from tavcli.queue.workers import Status
from tavcli.workspace.edits import Edit
from tavcli.workspace.folder import Workspace

_MOST_LOSSES = 240


@dataclass
class Consumer:
    """Takes the jobs of one queue, and keeps the worker's status file in its workspace up to date."""

    queue: Queue
    status: Status
    _stepped: bool = False  # has the network run for the job?
    _said: float = 0.0
    _since: tuple[float, int] = (0.0, 0)

    @cached_property
    def poller(self) -> QueuePoller:
        """Tells whether jobs wait, without reading files each time."""
        return QueuePoller(self.queue)

    def take(self) -> Job | None:
        """The next job of the queue, claimed, or None."""
        self.poller.forget()
        return self.queue.claim(self.status.token)

    def idle(self) -> None:
        """Report that no job waits."""
        state = "paused" if self.queue.paused else "idle"
        if self.status.state != state or time.time() - self.status.updated > workers.ALIVE_EVERY:
            self.status.state = state
            workers.publish(self.queue.workspace, self.status)

    def begin(self, job: Job) -> None:
        """Report that this job is being done."""
        self._turn_to("working", job.id)

    def report(self, event: RunEvent | Edit) -> None:
        """Report how far the job is."""
        status, now = self.status, time.monotonic()
        if isinstance(event, Begin):
            status.what, status.done, status.total, status.left = event.what, event.done, event.total, None
            self._since, self._said = (now, event.done), 0.0
        elif isinstance(event, Preview):
            self._publish_preview(event)
        elif isinstance(event, TuneStep | InvertStep | SampleStep | VaeStep | Step):
            self._stepped |= not isinstance(event, VaeStep)
            status.done = event.frames if isinstance(event, VaeStep) else event.step
            since, before = self._since
            status.left = (now - since) / max(1, status.done - before) * (status.total - status.done)
            if isinstance(event, TuneStep):
                status.losses = _thinned([*status.losses, event.loss])
        if now - self._said >= workers.EVERY:
            self._said = now
            workers.publish(self.queue.workspace, status)

    def end(self, job: Job, state: State, seconds: float, whole: bool, told: dict[str, str]) -> JobEnded:
        """Write down how the job ended: done, failed with the error and hint in `told`, or another state.

        `whole`: do its seconds tell how long like jobs will take?
        """
        measured = state == "done" and whole and self._stepped
        took = {"took": round(seconds, 2), "device": self.status.device} if measured else {}
        self.queue.finish(job, state, **told, **took)
        self._turn_to("idle", "")
        return JobEnded(job.workspace, job.name, job.state, seconds, told.get("error", ""), told.get("hint", ""))

    def requeue(self) -> None:
        """Queue the job again that was begun and did not end. If that cannot be written, it counts as interrupted."""
        with suppress(OSError, TavError):
            self.queue.requeue(self.status.token)

    def _turn_to(self, state: str, job: str) -> None:
        status = self.status
        status.state, status.job, status.began = state, job, time.time()
        self._stepped = False
        status.what, status.done, status.total, status.left, status.losses = "", 0, 0, None, []
        workers.publish(self.queue.workspace, status)
        workers.preview_file(self.queue.workspace, status.token).unlink(missing_ok=True)

    def _publish_preview(self, event: Preview) -> None:
        import numpy as np

        written = io.BytesIO()
        np.save(written, event.frames)
        workers.replace_content(workers.preview_file(self.queue.workspace, self.status.token), written.getvalue())


def open_consumer(workspace: Workspace, device: str, held: ExitStack) -> Consumer:
    """A consumer of the workspace's queue, registered until `held` is closed or the process dies."""
    consumer = Consumer(Queue(workspace), Status(held.enter_context(workers.registered(workspace)), device=device))
    held.callback(consumer.requeue)
    consumer.idle()
    return consumer


def _thinned(losses: list[float]) -> list[float]:
    """The losses; once they are too many to draw, the means of neighbours."""
    if len(losses) <= _MOST_LOSSES:
        return losses
    return [(a + b) / 2 for a, b in zip(losses[::2], losses[1::2], strict=False)]
