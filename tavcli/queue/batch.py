"""A batch: prompts and settings as they are typed, on the command line or in a form, and the jobs it expands to."""

from dataclasses import dataclass, field
from typing import Any

from tav.errors import SettingsError
from tav.settings import SampleSettings
from tavcli.config.files import Layer
from tavcli.config.settings import without_none
from tavcli.queue import grid
from tavcli.queue.jobs import JobRequest, Kind
from tavcli.queue.summary import Summary
from tavcli.workspace.folder import Workspace
from tavcli.workspace.recipes import normalized
from tavcli.workspace.session import Session

# The share of fresh noise with which a variation begins.
_VARIED = 0.3


@dataclass(frozen=True)
class Batch:
    """Prompts with `{a,b}` alternatives; lists of values as typed, empty where the workspace's own is meant."""

    prompts: tuple[str, ...]
    negative: str | None = None
    guidance: str = ""
    steps: int | None = None
    vary: str = ""
    seed: str = ""
    inversion: bool | None = None
    preset: str = ""
    base: str = ""
    flags: Layer = field(default_factory=dict)


def session_for(workspace: Workspace, batch: Batch) -> Session:
    """The workspace with the batch's settings in force."""
    sample = without_none({"negative_prompt": batch.negative, "inversion": batch.inversion})
    flags: Layer = {"sample": sample, "invert": without_none({"steps": batch.steps}), **batch.flags}
    return Session(workspace, flags, values=_values(workspace, batch))


def _values(workspace: Workspace, batch: Batch) -> dict[str, Any]:
    """tav.toml's, but for what the batch chooses instead."""
    values = workspace.read()
    if batch.preset:
        values["preset"] = batch.preset
    if batch.base and batch.base != values.get("base"):
        # What was tuned elsewhere, or for the other base, is not this one's.
        values = {name: value for name, value in values.items() if name not in ("imported", "carried")}
        values["base"] = batch.base
    return values


def made_into_requests(session: Session, batch: Batch) -> list[JobRequest]:
    """One request for each prompt and each combination of values. Raises SettingsError for what makes no sense."""
    prompts = grid.prompts(batch.prompts)
    if not prompts:
        raise SettingsError("no prompt", "say what the new videos show, one prompt a line")
    samplings = grid.samplings(
        session.settings.sample,
        grid.whole_numbers(batch.seed, "seed") if batch.seed.strip() else None,
        grid.numbers(batch.guidance, "guidance") if batch.guidance.strip() else None,
        grid.numbers(batch.vary, "vary") if batch.vary.strip() else None,
    )
    if len(prompts) * len(samplings) > grid.MOST:
        raise SettingsError(f"a grid of {len(prompts) * len(samplings)} edits", f"at most {grid.MOST} at once")
    return [edit_request(session, prompt, sampling) for prompt in prompts for sampling in samplings]


def varied(known: Summary) -> Batch:
    """The batch for an edit like one that is `known`, but with other noise, ready to be changed."""
    return Batch(
        (known.title.replace("{", "{{").replace("}", "}}"),),
        known.negative or None,
        f"{known.guidance:g}",
        known.steps,
        f"{known.vary or _VARIED:g}" if known.inversion else "",
        f"{(known.seed or 0) + 1}",
        known.inversion,
        base=known.base,
    )


def edit_request(session: Session, prompt: str, sampling: SampleSettings, seconds: float | None = None) -> JobRequest:
    """An edit, its recipe as far as it is known before it is begun."""
    sampling, settings = normalized(sampling), session.settings
    recipe = {
        "prompt": prompt,
        **sampling.model_dump(mode="json"),
        "steps": settings.invert.steps,
        "caption": settings.caption,
        "precision": settings.precision,
        "frame_attention": settings.frame_attention,
        "base": {"name": settings.base},
    }
    return JobRequest("edit", _kept(session) | {"sample": sampling.model_dump(mode="json")}, recipe, seconds)


def stage_request(session: Session, kind: Kind, seconds: float | None = None) -> JobRequest:
    """A tuning or an inversion."""
    return JobRequest(kind, _kept(session), None, seconds)


def _kept(session: Session) -> dict[str, Any]:
    # The preset's values are in it; where to compute is for the worker to say.
    return session.settings.model_dump(mode="json", exclude={"preset", "device"}, exclude_none=True)
