"""Doing what a job asks for, by the settings it was queued with."""

from collections.abc import Callable, Iterator

from tav.errors import SettingsError
from tavcli import rendering, runner
from tavcli.edits import Edit
from tavcli.given import refuse_lost
from tavcli.jobs import Job, Kind
from tavcli.session import RunEvent, Session
from tavcli.settings import Layer
from tavcli.warm import Warm

Events = Iterator[RunEvent | Edit]


def session_of(job: Job, flags: Layer, warm: Warm) -> Session:
    """The session of a job: its own settings, or tav.toml's for an edit that was never queued."""
    facts, one = job.facts, job.edit
    if facts is not None and facts.settings:
        return Session(job.workspace, flags, values=facts.settings, warm=warm)
    if one is None:
        raise SettingsError(f"{job.id}: job.json does not say what to do", "cancel it, and queue it again")
    recipe = one.recipe
    sample = {name: recipe[name] for name in ("guidance_scale", "negative_prompt", "vary", "seed", "inversion")}
    own = {"sample": sample, "invert": {"steps": recipe["steps"]}, "precision": recipe["precision"]}
    return Session(job.workspace, own | flags, warm=warm)


def perform(session: Session, job: Job) -> Events:
    """Do the job; what it builds on is made first. Yields what its stages yield."""
    yield from KINDS[job.kind](session, job)


def _tune(session: Session, _: Job) -> Events:
    refuse_lost(session.tuned)
    if session.tuned.state != "fresh":
        yield from runner.tune(session)


def _invert(session: Session, job: Job) -> Events:
    yield from _tune(session, job)
    yield from runner.invert(session, session.settings.invert.steps, session.settings.invert.check)


def _edit(session: Session, job: Job) -> Events:
    settings, steps = session.settings.sample, session.settings.invert.steps
    yield from _tune(session, job)
    if settings.inversion and session.inverted(steps).state != "fresh":
        yield from _invert(session, job)
    yield from rendering.make(session, Edit(job.folder), settings, steps)


KINDS: dict[Kind, Callable[[Session, Job], Events]] = {"tune": _tune, "invert": _invert, "edit": _edit}
