"""A worker: does the jobs of one or several workspaces, one by one, and keeps in memory what the next one needs.

It is a generator of events, like the stages it runs. A job that fails, by lack of memory too, is told and left, and the
next one runs.
"""

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import filelock

from tav.atomic import read_text
from tavcli import presence
from tavcli.desks import Desk
from tavcli.edits import Edit
from tavcli.home import cache_folder
from tavcli.interrupts import Interrupted, interrupts
from tavcli.jobs import Began, Ended, Job, State
from tavcli.locks import Busy
from tavcli.performing import attended, failure, session_of, starts_whole
from tavcli.presence import Status
from tavcli.queue import Queue
from tavcli.session import Note, RunEvent
from tavcli.settings import Layer
from tavcli.warm import Warm
from tavcli.workspace import Workspace

# Seconds between two looks into an empty queue.
_IDLE = 0.5
# A worker that had nothing to do for so many seconds gives the device's memory, and its turn, to others.
_LINGER = 30


WorkEvent = RunEvent | Edit | Began | Ended


@dataclass
class Worker:
    """Does the jobs of `workspaces` by the flags given. With `watch` it stays when there are no more."""

    workspaces: list[Workspace]
    flags: Layer
    watch: bool = False
    wait: bool = True
    warm: Warm = field(default_factory=Warm)
    _sitting: bool = False
    _whole: bool = True  # does the job's time tell what its like will take?

    def run(self) -> Iterator[WorkEvent]:
        """Work until the queues are empty or, watching, until the program is stopped."""
        with contextlib.ExitStack() as held, contextlib.ExitStack() as seat:
            desks = [self._desk(workspace, held) for workspace in self.workspaces]
            idle = time.monotonic()
            while True:
                if any(desk.queue.waits() for desk in desks):
                    yield from self._sit(seat)
                    for desk, job in self._taken(desks):
                        yield from self._do(desk, job)
                        idle = time.monotonic()
                elif self.watch:
                    self._idle(desks)
                    if all(desk.queue.paused for desk in desks) or time.monotonic() - idle > _LINGER:
                        self._leave(seat)
                else:
                    return

    @cached_property
    def device(self) -> str:
        """Where it computes."""
        from tav.device import choose_device

        return choose_device(self.flags.get("device", "auto")).type

    def _desk(self, workspace: Workspace, held: contextlib.ExitStack) -> Desk:
        desk = Desk(Queue(workspace), Status(held.enter_context(presence.present(workspace)), device=self.device))
        desk.rest()
        return desk

    def _taken(self, desks: list[Desk]) -> Iterator[tuple[Desk, Job]]:
        """The next job, from the first queue that has one."""
        for desk in desks:
            if job := desk.take():
                yield desk, job
                return

    def _idle(self, desks: list[Desk]) -> None:
        for desk in desks:
            desk.rest()
        time.sleep(_IDLE)

    def _sit(self, seat: contextlib.ExitStack) -> Iterator[Note]:
        """Have the device for oneself, as long as something of it is held."""
        if not self._sitting:
            yield from _turn_at(self.device, seat, self.wait)
            self._sitting = True

    def _leave(self, seat: contextlib.ExitStack) -> None:
        self.warm.free()
        seat.close()
        self._sitting = False

    # One job ----------------------------------------------------------------------------------------------------------

    def _do(self, desk: Desk, job: Job) -> Iterator[WorkEvent]:
        yield Began(job.workspace, job.name, desk.title(job))
        began, told, stop = time.monotonic(), {}, False
        desk.begin(job)
        self._whole = True
        try:
            yield from self._watched(desk, job)
            state: State = "done"
        except Interrupted:
            state, stop = self._why(desk, job)
        except Exception as error:
            state, told = "failed", failure(error)
        yield desk.end(job, state, time.monotonic() - began, self._whole, told)
        if stop:
            raise Interrupted("`tav work` goes on where it was")

    def _why(self, desk: Desk, job: Job) -> tuple[State, bool]:
        """The state of a job that was stopped, and whether the worker was meant."""
        wish = desk.queue.wished(job)
        interrupts.answered()
        if wish == "cancel":
            return "cancelled", False
        return ("paused", False) if wish == "pause" else ("queued", True)

    def _watched(self, desk: Desk, job: Job) -> Iterator[WorkEvent]:
        session = session_of(job, self.flags, self.warm)
        session.previews = True
        self._whole = starts_whole(session, job)
        session.upcoming = tuple(row.summary.title for row in desk.queue.rows() if row.state == "queued" and job.edit)
        for event in attended(session, job):
            desk.tell(event)
            yield event


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
