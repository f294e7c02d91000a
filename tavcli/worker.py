"""A worker: does the jobs of one or several workspaces, one by one, and keeps in memory what the next one needs.

It is a generator of events, like the stages it runs. A job that fails, by lack of memory too, is told and left, and the
next one runs. What somebody wishes of the running job (cancel, pause) is looked for between its steps.
"""

import contextlib
import io
import itertools
import os
import re
import socket
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import filelock

from tav.atomic import is_running, read_text
from tav.errors import DeviceMemoryError, TavError
from tav.events import InvertStep, SampleStep, TuneStep, VaeStep
from tavcli import presence
from tavcli.edits import PARTIAL, Edit
from tavcli.forecasts import Forecaster
from tavcli.home import cache_folder
from tavcli.interrupts import Interrupted, interrupts
from tavcli.jobs import Began, Ended, Job, State
from tavcli.locks import Busy
from tavcli.performing import perform, session_of
from tavcli.presence import Status
from tavcli.queue import Queue
from tavcli.reports import report
from tavcli.session import Begin, Note, Preview, RunEvent, Session
from tavcli.settings import Layer
from tavcli.stages import STATE
from tavcli.summaries import summary
from tavcli.warm import Warm
from tavcli.workspace import Workspace

# Seconds between two looks: into an empty queue, and for a wish while a job runs.
_IDLE, _HEED = 0.5, 0.2
# A worker that had nothing to do for so many seconds gives the device's memory, and its turn, to others.
_LINGER = 30
_MOST_LOSSES = 240
# So many prompts that wait are read together with the present one.
_AHEAD = 16


WorkEvent = RunEvent | Edit | Began | Ended


@dataclass
class Desk:
    """A queue, and what this worker says of itself in its workspace."""

    queue: Queue
    status: Status


@dataclass
class Worker:
    """Does the jobs of `workspaces` by the flags given. With `watch` it stays when there are no more."""

    workspaces: list[Workspace]
    flags: Layer
    watch: bool = False
    wait: bool = True
    warm: Warm = field(default_factory=Warm)
    _sitting: bool = False
    _whole: bool = False  # does the job's time tell what its like will take?
    _stepped: bool = False  # has the network been at it?
    _said: float = 0.0
    _heeded: float = 0.0
    _since: tuple[float, int] = (0.0, 0)

    def run(self) -> Generator[WorkEvent, None, None]:
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
                elif self.watch and _is_watched():
                    self._idle(desks)
                    unused = all(desk.queue.paused for desk in desks) or time.monotonic() - idle > _LINGER
                    if self._sitting and unused:
                        self._leave(seat)
                else:
                    return

    @cached_property
    def device(self) -> str:
        """Where it computes."""
        from tav.device import choose_device

        return choose_device(self.flags.get("device", "auto")).type

    def _desk(self, workspace: Workspace, held: contextlib.ExitStack) -> Desk:
        status = Status(held.enter_context(presence.present(workspace)), device=self.device)
        presence.publish(workspace, status)
        desk = Desk(Queue(workspace), status)
        held.callback(_give_back, desk)
        return desk

    def _taken(self, desks: list[Desk]) -> Iterator[tuple[Desk, Job]]:
        """The next job, from the first queue that has one."""
        for desk in desks:
            if job := desk.queue.claim(desk.status.token):
                yield desk, job
                return

    def _idle(self, desks: list[Desk]) -> None:
        for desk in desks:
            state = "paused" if desk.queue.paused else "idle"
            if desk.status.state != state or time.time() - desk.status.updated > presence.ALIVE_EVERY:
                desk.status.state = state
                presence.publish(desk.queue.workspace, desk.status)
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
        yield Began(job.workspace, job.name, summary(job).title)
        began, short = time.monotonic(), False
        told: dict[str, Any] = {}
        self._begin(desk, job)
        try:
            yield from self._watched(desk, job)
            state: State = "done"
        except Interrupted:
            state = self._why(desk, job)
        except Exception as error:  # of this job alone
            state, told, short = "failed", _told(error), isinstance(error, DeviceMemoryError)
        if short:  # only now: what is being handled holds what has to go
            self.warm.free()
        seconds = time.monotonic() - began
        if state == "done" and self._whole and self._stepped:
            told |= {"took": round(seconds, 2), "device": desk.status.device}
        desk.queue.finish(job, state, **told)
        self._begin(desk, None)
        yield Ended(job.workspace, job.name, job.state, seconds, told.get("error", ""), told.get("hint", ""))
        if interrupts.stopping:
            raise Interrupted("`tav work` goes on where it was")

    def _begin(self, desk: Desk, job: Job | None) -> None:
        status = desk.status
        status.state, status.job = ("working", job.id) if job else ("idle", "")
        status.what, status.done, status.total, status.left, status.losses = "", 0, 0, None, []
        status.began = time.time()
        self._whole = self._stepped = False
        presence.publish(desk.queue.workspace, status)
        presence.preview_file(desk.queue.workspace, status.token).unlink(missing_ok=True)

    def _why(self, desk: Desk, job: Job) -> State:
        """The state of a job that was stopped."""
        interrupts.answered()
        states: dict[str, State] = {"cancel": "cancelled", "pause": "paused"}
        return states.get(desk.queue.wished(job), "queued")

    def _watched(self, desk: Desk, job: Job) -> Iterator[WorkEvent]:
        session = session_of(job, self.flags, self.warm)
        session.previews = True
        session.upcoming = _upcoming(session, desk.queue) if job.edit else ()
        self._whole = _starts_whole(session, job)
        try:
            with session.memory():
                for event in perform(session, job):
                    self._tell(desk, event)
                    yield event
                    self._heed(desk, job)
        except DeviceMemoryError as error:
            raise _with_forecast(session, job, error) from None

    def _heed(self, desk: Desk, job: Job) -> None:
        if time.monotonic() - self._heeded > _HEED:
            self._heeded = time.monotonic()
            if desk.queue.wished(job):
                interrupts.ask()

    # What others see --------------------------------------------------------------------------------------------------

    def _tell(self, desk: Desk, event: WorkEvent) -> None:
        status, now = desk.status, time.monotonic()
        if isinstance(event, Begin):
            status.what, status.done, status.total, status.left = event.what, event.done, event.total, None
            self._since, self._said = (now, event.done), 0.0
        elif isinstance(event, Preview):
            _publish_preview(desk, event)
        elif isinstance(event, TuneStep | InvertStep | SampleStep | VaeStep):
            self._stepped |= not isinstance(event, VaeStep)
            status.done = event.frames if isinstance(event, VaeStep) else event.step
            since, before = self._since
            status.left = (now - since) / max(1, status.done - before) * (status.total - status.done)
            if isinstance(event, TuneStep):
                status.losses = _thinned([*status.losses, event.loss])
        if now - self._said >= presence.EVERY:
            self._said = now
            presence.publish(desk.queue.workspace, status)


def _give_back(desk: Desk) -> None:
    """For who was stopped between two jobs, or by a fault. If it cannot be written, it is called interrupted."""
    with contextlib.suppress(OSError, TavError):
        desk.queue.give_back(desk.status.token)


def _upcoming(session: Session, queue: Queue) -> tuple[str, ...]:
    """The next prompts for the same base."""
    waiting = (row for row in queue.rows() if row.state == "queued" and row.kind == "edit")
    titles = (row.summary.title for row in waiting if row.summary.base == session.settings.base)
    return tuple(itertools.islice(titles, _AHEAD))


def _starts_whole(session: Session, job: Job) -> bool:
    """Is there nothing to make first, and nothing of the job itself made yet?"""
    tuned, inverted = session.tuned, session.inverted(session.settings.invert.steps)
    if job.kind == "tune":
        return tuned.state != "fresh" and not (tuned.folder / STATE).is_file()
    if job.kind == "invert":
        return tuned.state == "fresh" and inverted.state != "fresh" and not (inverted.folder / PARTIAL).is_file()
    ready = tuned.state == "fresh" and inverted.state == "fresh"
    return ready and not (job.folder / PARTIAL).is_file()


def _told(error: Exception) -> dict[str, Any]:
    """What is kept of a failure."""
    if isinstance(error, TavError):
        return {"error": error.message, "hint": error.hint}
    if isinstance(error, OSError):
        where = error.filename2 or error.filename or "input or output"
        return {"error": f"{where}: {error.strerror or error}", "hint": "check the path and the free space"}
    if isinstance(error, MemoryError):  # before there was anything to take less of
        return {"error": "out of memory", "hint": "close other programs, or raise the limit this process runs under"}
    return {"error": f"bug: {type(error).__name__}: {error}", "hint": report()}


def _publish_preview(desk: Desk, event: Preview) -> None:
    import numpy as np

    written = io.BytesIO()
    np.save(written, event.frames)
    presence.replace(presence.preview_file(desk.queue.workspace, desk.status.token), written.getvalue())


def _thinned(losses: list[float]) -> list[float]:
    """Neighbours averaged, once there are too many to draw."""
    if len(losses) <= _MOST_LOSSES:
        return losses
    return [(a + b) / 2 for a, b in zip(losses[::2], losses[1::2], strict=False)]


def _with_forecast(session: Session, job: Job, error: DeviceMemoryError) -> DeviceMemoryError:
    """The same, with what was forecast and the nearest setting that may fit."""
    try:
        with session.memory():
            forecaster = Forecaster(session)
            forecast = forecaster.next_stage(job.kind)
            return DeviceMemoryError(f"{error.message}; the forecast: {forecast}", forecaster.smaller(forecast))
    except (TavError, MemoryError):
        return error


def _is_watched() -> bool:
    """A worker that a screen has started stays for as long as that lives."""
    watcher = os.environ.get(presence.WATCHER, "")
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
