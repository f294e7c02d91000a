"""The settings that a user can change: types, bounds and defaults."""

import difflib
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tav.errors import SettingsError

FrameAttention = Literal["sparse-causal", "first", "per-frame", "full", "causal"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Device = Literal["auto", "cuda", "mps", "cpu"]
Rung = Literal["auto", "none", "feed-forward", "blocks", "all"]
# Older files hold true or false.
Recompute = Annotated[
    Rung, BeforeValidator(lambda value: ("all" if value else "none") if isinstance(value, bool) else value)
]
Side = Annotated[int, Field(ge=8, le=8192)]
# TOML and JSON have lists, not tuples.
Size = Annotated[tuple[Side, Side], BeforeValidator(lambda value: _pair(value))]


def _pair(value: Any) -> Any:
    if isinstance(value, list | tuple) and len(value) != 2:
        raise ValueError("must be a pair such as [512, 512]")
    return tuple(value) if isinstance(value, list) else value


class Settings(BaseModel):
    """Base of all settings: frozen, strict about names and types; a misspelt setting is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ClipSettings(Settings):
    """The choice of the clip's frames, and how they are fitted to the network's size."""

    start: float = Field(default=0.0, ge=0, description="seconds into the clip where the first frame is taken")
    frames: int | None = Field(default=None, ge=1, le=4096, description="how many frames (none: up to 24)")
    stride: int | Literal["uniform"] | None = Field(
        default=None, description="every K-th frame, or `uniform`: the stride that spreads them over the clip"
    )
    fps: float | None = Field(default=None, ge=0.01, le=1000, description="frames a second, instead of a stride")
    size: Size | None = Field(default=None, description="width and height of the network's pictures, in pixels")
    fit: Literal["crop", "letterbox"] = Field(
        default="crop", description="cut off what does not fit, or add bars; never squash"
    )

    @model_validator(mode="after")
    def _one_rate(self) -> "ClipSettings":
        if self.stride is not None and self.fps is not None:
            raise ValueError("stride and fps exclude each other")
        if isinstance(self.stride, int) and self.stride < 1:
            raise ValueError("stride must be at least 1")
        return self


class TuneSettings(Settings):
    """One-shot tuning (Tune-A-Video, arXiv 2212.11565, section 4): AdamW on queries and temporal attention."""

    steps: int = Field(default=500, ge=1, le=1_000_000, description="optimiser steps")
    learning_rate: float = Field(default=3e-5, gt=0, le=1, description="AdamW learning rate, constant")
    scope: Literal["all", "mid_up"] = Field(
        default="all", description="which blocks learn; `mid_up` is what the official code does"
    )
    weight_decay: float = Field(default=1e-2, ge=0, le=1, description="AdamW weight decay")
    max_grad_norm: float = Field(default=1.0, gt=0, description="gradients are clipped to this norm")
    seed: int = Field(default=33, ge=0, lt=2**63, description="seed of noise, timesteps and the temporal layers' start")
    recompute: Recompute = Field(
        default="auto",
        description="what the backward pass computes again instead of keeping it: less memory, slower, same result;"
        " auto goes by the free memory",
    )


class InvertSettings(Settings):
    """DDIM inversion. Sampling uses the same number of steps, since it starts on the inversion's last level."""

    steps: int = Field(default=50, ge=1, le=500, description="DDIM steps of inversion and sampling")


class SampleSettings(Settings):
    """Guided DDIM sampling from the inverted latents."""

    guidance_scale: float = Field(default=12.5, ge=0, le=100, description="classifier-free guidance; 1 turns it off")
    negative_prompt: str = Field(default="", description="what the video should not show")
    vary: float = Field(default=0.0, ge=0, le=1, description="share of fresh noise in the start latents, 0 to 1")
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of that noise")
    inversion: bool = Field(default=True, description="start from the inverted latents, or (false) from noise alone")


class BaseRecommendation(Settings):
    """The settings that a base recommends in its `tav.json`; all are optional."""

    size: Size | None = Field(default=None, description="its area is that of new workspaces' pictures, in pixels")
    guidance_scale: float | None = Field(default=None, ge=0, le=100, description="sample.guidance_scale")
    learning_rate: float | None = Field(default=None, gt=0, le=1, description="tune.learning_rate")
    steps: int | None = Field(default=None, ge=1, le=1_000_000, description="tune.steps")
    ddim_steps: int | None = Field(default=None, ge=1, le=500, description="invert.steps")


S = TypeVar("S", bound=Settings)


# Plain messages for pydantic's error types.
_PLAIN = {
    "missing": "must be given",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text in quotes",
    "bool_type": "must be true or false",
    "tuple_type": "must be a pair such as [512, 512]",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must not be empty",
    "model_type": "must be a table of settings",
}


def parse(kind: type[S], values: dict[str, Any], where: str) -> S:
    """`values` as a `kind`. Raises SettingsError that names `where`, the setting and the nearest known name."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise _explained(kind, first, where) from None


def _explained(kind: type[Settings], problem: Any, where: str) -> SettingsError:
    # Numbers in the path are places in a list, lower-case type tags are branches of a union: neither is a name.
    path = [str(part) for part in problem["loc"] if isinstance(part, str)]
    names = _setting_names(kind, path)
    name = ".".join(names)
    if problem["type"] == "extra_forbidden":
        siblings = list(_fields_at(kind, names[:-1]))
        near = difflib.get_close_matches(names[-1], siblings, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known settings: {', '.join(siblings)}"
        return SettingsError(f"{where}: unknown setting `{name}`", hint)
    message = _PLAIN.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    given = "" if problem["type"] in ("missing", "value_error") else f", not {problem['input']!r:.80}"
    return SettingsError(
        f"{where}: {name + ': ' if name else ''}{message}{given}",
        "`tav show` prints the settings in force; docs/settings.md explains them",
    )


def _setting_names(kind: type[Settings], path: list[str]) -> list[str]:
    """The leading part of `path` that names settings (the first unknown name included), without union branches."""
    names: list[str] = []
    fields = _fields_at(kind, [])
    for part in path:
        names.append(part)
        if part not in fields:
            break
        fields = _fields_at(kind, names)
        if not fields:
            break
    return names


def _fields_at(kind: type[Settings], names: list[str]) -> dict[str, Any]:
    current: Any = kind
    for name in names:
        current = current.model_fields[name].annotation
        if not (isinstance(current, type) and issubclass(current, Settings)):
            return {}
    return dict(current.model_fields)
