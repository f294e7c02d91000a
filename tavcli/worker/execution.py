"""One job, done with the settings it was queued with.

Between its steps the worker checks whether the user wants the job cancelled or paused.
"""

import time
from collections.abc import Callable, Iterator

from tav.errors import DeviceMemoryError, SettingsError, TavError
from tavcli.config.bug_report import report
from tavcli.config.files import Layer
from tavcli.events import RunEvent
from tavcli.interrupts import interrupts
from tavcli.methods.edit import make_queued_edit
from tavcli.methods.forecast import Forecast, Forecaster
from tavcli.methods.invert import inverted_stage, make_inverted
from tavcli.methods.loading import memory_guard
from tavcli.methods.tune import make_tuned, tuned_stage
from tavcli.queue.jobs import Job, Kind
from tavcli.queue.queue import Queue
from tavcli.workspace.edits import PARTIAL, Edit
from tavcli.workspace.external import refuse_lost
from tavcli.workspace.model_cache import ModelCache
from tavcli.workspace.session import Session
from tavcli.workspace.stages import STATE

Events = Iterator[RunEvent | Edit]
# Seconds between two checks for the user's wish to cancel or pause.
_HEED = 0.2


def session_of(job: Job, flags: Layer, models: ModelCache) -> Session:
    """The session of a job: its own settings, or tav.toml's for an edit that was never queued."""
    record, one = job.record, job.edit
    if record is not None and record.settings:
        return Session(job.workspace, flags, values=record.settings, models=models)
    if one is None:
        raise SettingsError(f"{job.id}: job.json does not say what to do", "cancel it, and queue it again")
    recipe = one.recipe
    sample = {name: recipe[name] for name in ("guidance_scale", "negative_prompt", "vary", "seed", "inversion")}
    own = {"sample": sample, "invert": {"steps": recipe["steps"]}, "precision": recipe["precision"]}
    return Session(job.workspace, own | flags, models=models)


def perform(session: Session, job: Job) -> Events:
    """Do the job, after the stages that it builds on. Yields the events of all of them."""
    yield from KINDS[job.kind](session, job)


def attended(session: Session, job: Job) -> Events:
    """Do the job as `perform` does. Stops when the user cancels or pauses it; errors of memory get the forecast."""
    queue, checked = Queue(job.workspace), 0.0
    try:
        with memory_guard(session):
            for event in perform(session, job):
                yield event
                if time.monotonic() - checked > _HEED:
                    checked = time.monotonic()
                    if queue.wished(job):
                        interrupts.ask()
    except DeviceMemoryError as error:
        raise _with_forecast(session, job, error) from None


def starts_whole(session: Session, job: Job) -> bool:
    """Is all that the job builds on there, and nothing of the job itself? Then its time tells that of like jobs."""
    tuned, inverted = tuned_stage(session), inverted_stage(session, session.settings.invert.steps)
    if job.kind == "tune":
        return tuned.state != "fresh" and not (tuned.folder / STATE).is_file()
    if job.kind == "invert":
        return tuned.state == "fresh" and inverted.state != "fresh" and not (inverted.folder / PARTIAL).is_file()
    ready = tuned.state == "fresh" and inverted.state == "fresh"
    return ready and not (job.folder / PARTIAL).is_file()


def failure(error: Exception) -> dict[str, str]:
    """The `error` and `hint` that are kept of a failed job. Call it while the exception is being handled."""
    if isinstance(error, TavError):
        return {"error": error.message, "hint": error.hint}
    if isinstance(error, OSError):
        where = error.filename2 or error.filename or "input or output"
        return {"error": f"{where}: {error.strerror or error}", "hint": "check the path and the free space"}
    if isinstance(error, MemoryError):  # outside the stages, whose lack of memory is a DeviceMemoryError
        return {"error": "out of memory", "hint": "close other programs, or raise the limit this process runs under"}
    return {"error": f"bug: {type(error).__name__}: {error}", "hint": report()}


def _with_forecast(session: Session, job: Job, error: DeviceMemoryError) -> DeviceMemoryError:
    """The error with the forecast in it, and as its hint the nearest setting that may fit."""
    try:
        with memory_guard(session):
            forecaster = Forecaster(session)
            forecast = _next_stage(forecaster, job.kind)
            return DeviceMemoryError(f"{error.message}; the forecast: {forecast}", forecaster.smaller(forecast))
    except (TavError, MemoryError):
        return error


def _next_stage(forecaster: Forecaster, kind: str) -> Forecast:
    """The forecast of the first stage that a job of this kind (tune, invert, edit) has still to do."""
    session, steps = forecaster.session, forecaster.session.settings.invert.steps
    settings = session.settings.sample
    if kind == "tune" or tuned_stage(session).state != "fresh":
        return forecaster.tune(session.settings.tune.steps)
    if kind == "invert" or (settings.inversion and inverted_stage(session, steps).state != "fresh"):
        return forecaster.invert(steps, session.settings.invert.check, steps)
    return forecaster.edit(steps, 1, settings.guidance_scale != 1)


def _tune(session: Session, _: Job) -> Events:
    refuse_lost(tuned_stage(session))
    if tuned_stage(session).state != "fresh":
        yield from make_tuned(session)


def _invert(session: Session, job: Job) -> Events:
    yield from _tune(session, job)
    yield from make_inverted(session, session.settings.invert.steps, session.settings.invert.check)


def _edit(session: Session, job: Job) -> Events:
    settings, steps = session.settings.sample, session.settings.invert.steps
    yield from _tune(session, job)
    if settings.inversion and inverted_stage(session, steps).state != "fresh":
        yield from _invert(session, job)
    yield from make_queued_edit(session, Edit(job.folder), settings, steps)


KINDS: dict[Kind, Callable[[Session, Job], Events]] = {"tune": _tune, "invert": _invert, "edit": _edit}
