"""A worker: it does the jobs of one or several workspaces, one by one, and keeps in memory what the next job needs.

It is a generator of events, like the stages it runs. A failed job, for lack of memory too, does not stop the next one.
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
# Seconds without a job after which a worker frees the device's memory and lets another worker have the device.
_LINGER = 30
# How many waiting prompts are encoded together with the present one.
_AHEAD = 16


WorkEvent = RunEvent | Edit | JobStarted | JobEnded


@dataclass
class Worker:
    """Does the jobs of `workspaces`, with its command's `flags`. With `watch` it stays when the queues are empty."""

    workspaces: list[Workspace]
    flags: Layer
    watch: bool = False
    wait: bool = True
    models: ModelCache = field(default_factory=ModelCache)
    _has_device: bool = False
    _whole: bool = False  # does the job's time tell how long like jobs will take?

    def run(self) -> Generator[WorkEvent, None, None]:
        """Work until the queues are empty or, watching, until the program is stopped."""
        with contextlib.ExitStack() as held, contextlib.ExitStack() as device_lock:
            consumers = [open_consumer(workspace, self.device, held) for workspace in self.workspaces]
            idle = time.monotonic()
            while True:
                if any(consumer.poller.waits() for consumer in consumers):
                    yield from self._take_device(device_lock)
                    for consumer, job in self._taken(consumers):
                        yield from self._do(consumer, job)
                        idle = time.monotonic()
                elif self.watch and _is_watched():
                    self._idle(consumers)
                    unused = all(consumer.queue.paused for consumer in consumers) or time.monotonic() - idle > _LINGER
                    if self._has_device and unused:
                        self._release_device(device_lock)
                else:
                    return

    @cached_property
    def device(self) -> str:
        """The kind of device it computes on: cpu, cuda or mps."""
        from tav.compute.device import choose_device

        return choose_device(self.flags.get("device", "auto")).type

    def _taken(self, consumers: list[Consumer]) -> Iterator[tuple[Consumer, Job]]:
        """The next job, from the first queue that has one, with its consumer."""
        for consumer in consumers:
            if job := consumer.take():
                yield consumer, job
                return

    def _idle(self, consumers: list[Consumer]) -> None:
        for consumer in consumers:
            consumer.idle()
        time.sleep(_IDLE)

    def _take_device(self, device_lock: contextlib.ExitStack) -> Iterator[Note]:
        """Take the device for this worker alone, until `_release_device`."""
        if not self._has_device:
            yield from _lock_device(self.device, device_lock, self.wait)
            self._has_device = True

    def _release_device(self, device_lock: contextlib.ExitStack) -> None:
        self.models.free()
        device_lock.close()
        self._has_device = False

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
        except Exception as error:  # of this job alone: the next one runs
            state, told, short = "failed", failure(error), isinstance(error, DeviceMemoryError)
        if short:  # only now: an exception being handled keeps the models alive
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
    """The next queued prompts for the same base."""
    waiting = (row for row in queue.rows() if row.state == "queued" and row.kind == "edit")
    titles = (row.summary.title for row in waiting if row.summary.base == session.settings.base)
    return tuple(itertools.islice(titles, _AHEAD))


def _is_watched() -> bool:
    """Does a screen that started this worker still live? True also if no screen has started it."""
    watcher = os.environ.get(workers.WATCHER, "")
    return not watcher.isdecimal() or is_running(int(watcher))


def _lock_device(device: str, device_lock: contextlib.ExitStack, wait: bool) -> Iterator[Note]:
    """Hold the device's lock in `device_lock`, after waiting for another worker; without `wait`, raises Busy."""
    path = _lock_file(device)
    lock, note = filelock.FileLock(path), path.with_suffix(".txt")
    try:
        device_lock.enter_context(lock.acquire(timeout=0))
    except filelock.Timeout:
        held = f"another worker has the {device} ({_text(note)})"
        if not wait:
            raise Busy(held, "try again when it is done") from None
        yield Note(f"waiting: {held}")
        device_lock.enter_context(lock.acquire())
    with contextlib.suppress(OSError):
        note.write_text(f"process {os.getpid()}")


def _lock_file(device: str) -> Path:
    visible = re.sub(r"\W+", "-", os.environ.get("CUDA_VISIBLE_DEVICES", "")) if device == "cuda" else ""
    place = cache_folder() / "workers"
    place.mkdir(parents=True, exist_ok=True)
    return place / f"{socket.gethostname()}-{device}{visible}.lock"


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except (OSError, ValueError):
        return "of unknown number"
