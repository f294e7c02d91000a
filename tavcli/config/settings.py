"""The settings of a workspace. Later sources win: the base's recommendation < preset < tav.toml < flags."""

import difflib

from pydantic import Field

from tav.errors import SettingsError
from tav.formats import FORMAT
from tav.settings import (
    BaseRecommendation,
    ClipSettings,
    Device,
    FrameAttention,
    InvertSettings,
    Precision,
    SampleSettings,
    Settings,
    TuneSettings,
    parse,
)
from tavcli.config.files import Layer, read_toml
from tavcli.config.templates import presets


class SourceClip(ClipSettings):
    """The clip's file in the workspace, and which frames of it are taken."""

    source: str = Field(min_length=1, pattern=r"^[^\x00]*$", description="the clip's file name in the workspace")


class Inversion(InvertSettings):
    """Inversion, and whether it is checked."""

    check: bool = Field(default=True, description="sample the clip back and score it, before edits are paid for")


class Preset(Settings):
    """The part of the settings that a preset may set."""

    clip: ClipSettings = ClipSettings()
    tune: TuneSettings = TuneSettings()
    invert: Inversion = Inversion()
    sample: SampleSettings = SampleSettings()
    frame_attention: FrameAttention = Field(default="sparse-causal", description="which frames a frame looks at")


class DeviceSettings(Settings):
    """Where to compute, and how precisely."""

    device: Device = Field(default="auto", description="where to compute")
    precision: Precision = Field(
        default="auto", description="precision of the frozen weights; auto: half where the device has it"
    )


class WorkspaceSettings(Preset, DeviceSettings):
    """All settings in force in a workspace."""

    format: int = Field(default=FORMAT, ge=1, le=FORMAT, description="how the workspace is written down; tav sets it")
    caption: str = Field(pattern=r"\S", description="what the clip shows")
    base: str = Field(
        min_length=1, description="the text-to-image model: storybook, a name of `tav bases list`, or a folder"
    )
    preset: str | None = Field(default=None, description="one of the presets")
    imported: str | None = Field(
        default=None,
        min_length=1,
        description="digest of weights tuned elsewhere, written by `tav import`; they are used and nothing is tuned",
    )
    carried: str | None = Field(
        default=None,
        min_length=1,
        description="digest of weights tuned on another base, written by `tav bases use --carry-over`; what tuning "
        "changed there is used here, and nothing is tuned",
    )
    clip: SourceClip


def preset_layer(name: str | None) -> Layer:
    """The values a preset sets. Raises SettingsError with the nearest name for one that does not exist."""
    if name is None:
        return {}
    known = presets()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean `{near[0]}`?" if near else f"presets: {', '.join(known)}"
        raise SettingsError(f"there is no preset `{name}`", hint)
    values = read_toml(known[name])
    parse(Preset, values, f"preset {name}")
    return values


def recommendation_layer(recommendation: BaseRecommendation) -> Layer:
    """What the base's own `tav.json` recommends, as settings."""
    tune = {"learning_rate": recommendation.learning_rate, "steps": recommendation.steps}
    invert = {"steps": recommendation.ddim_steps}
    sample = {"guidance_scale": recommendation.guidance_scale}
    return {"tune": without_none(tune), "invert": without_none(invert), "sample": without_none(sample)}


def merge(*layers: Layer) -> Layer:
    """The layers as one; later layers win, setting by setting. `stride` and `fps` replace each other."""
    merged: Layer = {}
    for layer in layers:
        for name, value in layer.items():
            if not isinstance(value, dict):
                merged[name] = value
                continue
            below = dict(merged.get(name, {}))
            if name == "clip" and {"stride", "fps"} & value.keys():
                below.pop("stride", None)
                below.pop("fps", None)
            merged[name] = below | value
    return merged


def without_none(values: Layer) -> Layer:
    """The values that are set."""
    return {name: value for name, value in values.items() if value is not None}


def in_force(toml: Layer, flags: Layer, recommendation: BaseRecommendation) -> WorkspaceSettings:
    """The settings of a workspace with all layers applied; each layer is checked under its own name first."""
    written = parse(WorkspaceSettings, toml, "tav.toml")
    with_flags = merge(toml, flags)
    parse(WorkspaceSettings, with_flags, "command line")
    layers = merge(recommendation_layer(recommendation), preset_layer(written.preset), with_flags)
    return parse(WorkspaceSettings, layers, "tav.toml")
