"""What a listing shows of a job, read from its folder once and kept in the index."""

from dataclasses import dataclass
from typing import Any

from tav.errors import SettingsError, TavError
from tavcli.config.files import read_json
from tavcli.queue.jobs import Job, JobRecord, JobRequest
from tavcli.workspace.annotations import read_marks
from tavcli.workspace.edits import MADE
from tavcli.workspace.scores import read_scores


@dataclass(frozen=True)
class Summary:
    """One job in a line or two. `passes`: how often its edit calls the network; `date`: when it was made or queued."""

    title: str
    date: str = ""
    base: str = ""
    seed: int | None = None
    guidance: float | None = None
    steps: int | None = None
    vary: float | None = None
    inversion: bool = True
    negative: str = ""
    carried: bool = False
    passes: int = 0
    size: str = ""
    device: str = ""
    request: str = ""
    seconds: float | None = None
    took: float | None = None
    error: str = ""
    hint: str = ""
    starred: bool = False
    tags: tuple[str, ...] = ()
    scores: dict[str, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """Without what is as usual."""
        return {name: value for name, value in vars(self).items() if value != getattr(Summary, name, _NONE)}

    @staticmethod
    def of_request(request: JobRequest) -> "Summary":
        """Of a job to be."""
        record = JobRecord(kind=request.kind, state="queued", settings=request.settings)
        recipe = _of_recipe(request.recipe) if request.recipe else {"title": _title(record)}
        return Summary(**{**recipe, **_of_record(record)})

    @staticmethod
    def of(values: dict[str, Any]) -> "Summary":
        """The inverse of `as_json`."""
        return Summary(**values | {"tags": tuple(values.get("tags", ()))})


_NONE = object()


def summary(job: Job) -> Summary:
    """Read it from the job's folder; what cannot be read is left out and said."""
    record = job.record
    told = _of_record(record) if record else {}
    if job.edit is None:
        return Summary(**{"title": _title(record), "base": _base(record), **told})
    try:
        recipe = job.edit.recipe
        marks = read_marks(job.folder)
        marked = {"starred": marks.starred, "tags": marks.tags, "scores": read_scores(job.folder) or None}
        return Summary(**{**_of_recipe(recipe), **told, **_made(job), **marked})
    except TavError as error:
        return Summary(**{"title": job.folder.name, **told, "error": f"unreadable recipe: {error.message}"})


def _of_record(record: JobRecord) -> dict[str, Any]:
    clip = record.settings.get("clip", {})
    return {
        "date": record.queued,
        "seconds": record.seconds,
        "took": record.took,
        "device": record.device,
        "request": record.request,
        "error": record.error,
        "hint": record.hint,
        "size": f"{clip.get('frames')} {clip.get('size')}" if isinstance(clip, dict) else "",
    }


def _of_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    guidance, steps, base, tuned = recipe["guidance_scale"], recipe["steps"], recipe.get("base"), recipe.get("tuned")
    return {
        "title": str(recipe["prompt"]),
        "base": str(base.get("name", "")) if isinstance(base, dict) else "",
        "seed": int(recipe["seed"]),
        "guidance": float(guidance),
        "steps": int(steps),
        "vary": float(recipe["vary"]),
        "inversion": bool(recipe["inversion"]),
        "negative": str(recipe["negative_prompt"]),
        "carried": isinstance(tuned, dict) and "carried" in tuned,
        "passes": int(steps) * (1 if guidance == 1 else 2),
    }


def _made(job: Job) -> dict[str, Any]:
    try:
        made = read_json(job.folder / MADE)
    except SettingsError:
        return {}
    return {"date": str(made["date"])} if "date" in made else {}


def _title(record: JobRecord | None) -> str:
    if record is None:
        return "a job whose job.json cannot be read"
    caption = str(record.settings.get("caption", ""))
    return f"{'tune' if record.kind == 'tune' else 'invert'}: {caption}"


def _base(record: JobRecord | None) -> str:
    return str(record.settings.get("base", "")) if record else ""
