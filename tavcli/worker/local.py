"""A worker: does the jobs of one or several workspaces, one by one, and keeps in memory what the next one needs.

It is a generator of events, like the stages it runs. A job that fails, by lack of memory too, is told and left, and the
next one runs.
"""

import contextlib
import itertools
import os
import re
import socket
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import filelock

from tav.atomic import is_running, read_text
from tav.errors import DeviceMemoryError
from tavcli.config.files import Layer
from tavcli.config.home import cache_folder
from tavcli.events import Note, RunEvent
from tavcli.interrupts import Interrupted, interrupts
from tavcli.queue import workers
from tavcli.queue.events import JobEnded, JobStarted
from tavcli.queue.jobs import Job, State
from tavcli.queue.queue import Queue
from tavcli.queue.summary import summary
from tavcli.worker.consumer import Consumer, open_consumer
from tavcli.worker.execution import attended, failure, session_of, starts_whole
from tavcli.workspace.edits import Edit
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import Busy
from tavcli.workspace.model_cache import ModelCache
from tavcli.workspace.session import Session

# Seconds between two looks into an empty queue.
_IDLE = 0.5
# A worker that had nothing to do for so many seconds gives the device's memory, and its turn, to others.
_LINGER = 30
# So many prompts that wait are read together with the present one.
_AHEAD = 16


WorkEvent = RunEvent | Edit | JobStarted | JobEnded


@dataclass
class Worker:
    """Does the jobs of `workspaces` by the flags given. With `watch` it stays when there are no more."""

    workspaces: list[Workspace]
    flags: Layer
    watch: bool = False
    wait: bool = True
    models: ModelCache = field(default_factory=ModelCache)
    _sitting: bool = False
    _whole: bool = False  # does the job's time tell what its like will take?

    def run(self) -> Generator[WorkEvent, None, None]:
        """Work until the queues are empty or, watching, until the program is stopped."""
        with contextlib.ExitStack() as held, contextlib.ExitStack() as seat:
            places = [open_consumer(workspace, self.device, held) for workspace in self.workspaces]
            idle = time.monotonic()
            while True:
                if any(consumer.poller.waits() for consumer in places):
                    yield from self._sit(seat)
                    for consumer, job in self._taken(places):
                        yield from self._do(consumer, job)
                        idle = time.monotonic()
                elif self.watch and _is_watched():
                    self._idle(places)
                    unused = all(consumer.queue.paused for consumer in places) or time.monotonic() - idle > _LINGER
                    if self._sitting and unused:
                        self._leave(seat)
                else:
                    return

    @cached_property
    def device(self) -> str:
        """Where it computes."""
        from tav.compute.device import choose_device

        return choose_device(self.flags.get("device", "auto")).type

    def _taken(self, places: list[Consumer]) -> Iterator[tuple[Consumer, Job]]:
        """The next job, from the first queue that has one."""
        for consumer in places:
            if job := consumer.take():
                yield consumer, job
                return

    def _idle(self, places: list[Consumer]) -> None:
        for consumer in places:
            consumer.idle()
        time.sleep(_IDLE)

    def _sit(self, seat: contextlib.ExitStack) -> Iterator[Note]:
        """Have the device for oneself, as long as something of it is held."""
        if not self._sitting:
            yield from _turn_at(self.device, seat, self.wait)
            self._sitting = True

    def _leave(self, seat: contextlib.ExitStack) -> None:
        self.models.free()
        seat.close()
        self._sitting = False

    # One job ----------------------------------------------------------------------------------------------------------

    def _do(self, consumer: Consumer, job: Job) -> Iterator[WorkEvent]:
        yield JobStarted(job.workspace, job.name, summary(job).title)
        began, short = time.monotonic(), False
        told: dict[str, str] = {}
        consumer.begin(job)
        self._whole = False
        try:
            yield from self._watched(consumer, job)
            state: State = "done"
        except Interrupted:
            state = self._why(consumer, job)
        except Exception as error:  # of this job alone
            state, told, short = "failed", failure(error), isinstance(error, DeviceMemoryError)
        if short:  # only now: what is being handled holds what has to go
            self.models.free()
        yield consumer.end(job, state, time.monotonic() - began, self._whole, told)
        if interrupts.stopping:
            raise Interrupted("`tav work` goes on where it was")

    def _why(self, consumer: Consumer, job: Job) -> State:
        """The state of a job that was stopped."""
        interrupts.answered()
        states: dict[str, State] = {"cancel": "cancelled", "pause": "paused"}
        return states.get(consumer.queue.wished(job), "queued")

    def _watched(self, consumer: Consumer, job: Job) -> Iterator[WorkEvent]:
        session = session_of(job, self.flags, self.models)
        session.previews = True
        session.upcoming = _upcoming(session, consumer.queue) if job.edit else ()
        self._whole = starts_whole(session, job)
        for event in attended(session, job):
            consumer.report(event)
            yield event


def _upcoming(session: Session, queue: Queue) -> tuple[str, ...]:
    """The next prompts for the same base."""
    waiting = (row for row in queue.rows() if row.state == "queued" and row.kind == "edit")
    titles = (row.summary.title for row in waiting if row.summary.base == session.settings.base)
    return tuple(itertools.islice(titles, _AHEAD))


def _is_watched() -> bool:
    """A worker that a screen has started stays for as long as that lives."""
    watcher = os.environ.get(workers.WATCHER, "")
    return not watcher.isdecimal() or is_running(int(watcher))


def _turn_at(device: str, seat: contextlib.ExitStack, wait: bool) -> Iterator[Note]:
    """One worker at a device: the next one waits until it is free. Raises Busy if it may not `wait`."""
    path = _place_of(device)
    lock, note = filelock.FileLock(path), path.with_suffix(".txt")
    try:
        seat.enter_context(lock.acquire(timeout=0))
    except filelock.Timeout:
        held = f"another worker has the {device} ({_text(note)})"
        if not wait:
            raise Busy(held, "try again when it is done") from None
        yield Note(f"waiting: {held}")
        seat.enter_context(lock.acquire())
    with contextlib.suppress(OSError):
        note.write_text(f"process {os.getpid()}")


def _place_of(device: str) -> Path:
    visible = re.sub(r"\W+", "-", os.environ.get("CUDA_VISIBLE_DEVICES", "")) if device == "cuda" else ""
    place = cache_folder() / "workers"
    place.mkdir(parents=True, exist_ok=True)
    return place / f"{socket.gethostname()}-{device}{visible}.lock"


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, ValueError):
        return "of unknown number"
