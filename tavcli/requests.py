"""From the settings in force to jobs: what is queued keeps all of them, so that later changes do not touch it."""

from typing import Any

from tav.settings import SampleSettings
from tavcli.jobs import Kind, Request
from tavcli.recipes import acting
from tavcli.session import Session


def edit(session: Session, prompt: str, sampling: SampleSettings, seconds: float | None = None) -> Request:
    """An edit, its recipe as far as it is known before it is begun."""
    sampling, settings = acting(sampling), session.settings
    recipe = {
        "prompt": prompt,
        **sampling.model_dump(mode="json"),
        "steps": settings.invert.steps,
        "caption": settings.caption,
        "precision": settings.precision,
        "frame_attention": settings.frame_attention,
        "base": {"name": settings.base},
    }
    return Request("edit", _kept(session) | {"sample": sampling.model_dump(mode="json")}, recipe, seconds)


def stage(session: Session, kind: Kind, seconds: float | None = None) -> Request:
    """A tuning or an inversion."""
    return Request(kind, _kept(session), None, seconds)


def _kept(session: Session) -> dict[str, Any]:
    # The preset's values are in it; where to compute is for the worker to say.
    return session.settings.model_dump(mode="json", exclude={"preset", "device"}, exclude_none=True)
