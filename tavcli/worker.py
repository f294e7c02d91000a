"""A worker: does the jobs of one or several workspaces, one by one, and keeps in memory what the next one needs.

It is a generator of events, like the stages it runs. A job that fails, by lack of memory too, is told and left, and the
next one runs. What somebody wishes of the running job (cancel, pause) is looked for between its steps.
"""

import contextlib
import io
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import filelock

from tav.atomic import is_running, read_text
from tav.errors import DeviceMemoryError, TavError
from tav.events import InvertStep, SampleStep, TuneStep, VaeStep
from tavcli import presence
from tavcli.edits import Edit
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
from tavcli.warm import Warm
from tavcli.workspace import Workspace

# Seconds between two looks: into an empty queue, and for a wish while a job runs.
_IDLE, _HEED = 0.5, 0.2
# A worker that had nothing to do for so many seconds gives the device's memory, and its turn, to others.
_LINGER = 30
_MOST_LOSSES = 240


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
    _whole: bool = True  # does the job's time tell what its like will take?
    _said: float = 0.0
    _heeded: float = 0.0
    _since: tuple[float, int] = (0.0, 0)

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
                elif self.watch and _is_watched():
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
        status = Status(held.enter_context(presence.present(workspace)), device=self.device)
        presence.publish(workspace, status)
        return Desk(Queue(workspace), status)

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
        title = next((row.summary.title for row in desk.queue.rows() if row.id == job.id), job.name)
        yield Began(job.workspace, job.name, title)
        began, told, stop = time.monotonic(), {}, False
        self._begin(desk, job)
        self._whole = True
        try:
            yield from self._watched(desk, job)
            state: State = "done"
        except Interrupted:
            state, stop = self._why(desk, job)
        except TavError as error:
            state, told = "failed", {"error": error.message, "hint": error.hint}
        except OSError as error:
            state, told = "failed", {"error": f"{error.filename or 'a file'}: {error.strerror or error}"}
        except Exception as error:  # a bug, of this job alone
            state, told = "failed", {"error": f"bug: {type(error).__name__}: {error}", "hint": report()}
        seconds = time.monotonic() - began
        took = {"took": round(seconds, 2), "device": desk.status.device} if state == "done" and self._whole else {}
        desk.queue.finish(job, state, **told, **took)
        self._begin(desk, None)
        yield Ended(job.workspace, job.name, state, seconds, told.get("error", ""), told.get("hint", ""))
        if stop:
            raise Interrupted("`tav work` goes on where it was")

    def _begin(self, desk: Desk, job: Job | None) -> None:
        status = desk.status
        status.state, status.job = ("working", job.id) if job else ("idle", "")
        status.what, status.done, status.total, status.left, status.losses = "", 0, 0, None, []
        status.began = time.time()
        presence.publish(desk.queue.workspace, status)
        presence.preview_file(desk.queue.workspace, status.token).unlink(missing_ok=True)

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
        self._whole = _starts_whole(session, job)
        session.upcoming = tuple(row.summary.title for row in desk.queue.rows() if row.state == "queued" and job.edit)
        try:
            for event in perform(session, job):
                self._tell(desk, event)
                yield event
                self._heed(desk, job)
        except DeviceMemoryError as error:
            self.warm.free()
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
            status.done = event.frames if isinstance(event, VaeStep) else event.step
            since, before = self._since
            status.left = (now - since) / max(1, status.done - before) * (status.total - status.done)
            if isinstance(event, TuneStep):
                status.losses = _thinned([*status.losses, event.loss])
        if now - self._said >= presence.EVERY:
            self._said = now
            presence.publish(desk.queue.workspace, status)


def _starts_whole(session: Session, job: Job) -> bool:
    """Is there nothing to make first, and nothing of the job itself made yet?"""
    if job.edit is None:
        return session.tuned.state == "missing"
    ready = session.tuned.state == "fresh" and session.inverted(session.settings.invert.steps).state == "fresh"
    return ready and not job.edit.partial.is_file()


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
        forecaster = Forecaster(session)
        forecast = forecaster.next_stage(job.facts.kind if job.facts else "edit")
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
