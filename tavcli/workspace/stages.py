"""The two stages that edits build on, tuned and inverted: their keys, places, and whether they are fresh."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tav.atomic import write_text
from tav.errors import CheckpointError, SettingsError
from tav.formats import FORMAT, refuse_newer
from tavcli.config.files import read_json
from tavcli.config.settings import WorkspaceSettings
from tavcli.workspace.fingerprint import key

State = Literal["fresh", "stale", "missing"]
# How weights from outside came, by the setting that names them.
GIVEN = {"imported": "imported", "carried": "carried over"}
INPUTS = "inputs.json"
TUNED, STATE, LOG = "attention.safetensors", "state.safetensors", "steps.jsonl"
INVERTED, CHECK = "latents.safetensors", "check.json"


@dataclass(frozen=True)
class Stage:
    """A result of a stage, `<parent>/<key>/<result_name>` once it is done. `inputs` is all that it depends on."""

    name: str
    parent: Path
    result_name: str
    inputs: dict[str, Any]

    @property
    def key(self) -> str:
        return key(self.name, self.inputs)

    @property
    def folder(self) -> Path:
        return self.parent / self.key

    @property
    def result(self) -> Path:
        return self.folder / self.result_name

    @property
    def state(self) -> State:
        """Fresh if it is there, stale if only results for other inputs are, missing if there is none."""
        if self.result.is_file():
            return "fresh"
        return "stale" if any(self.parent.glob(f"*/{self.result_name}")) else "missing"

    def open(self) -> None:
        """Make the folder and write down what its key stands for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / INPUTS, json.dumps({"format": FORMAT, **self.inputs}, indent=1, sort_keys=True))

    @property
    def score(self) -> dict[str, Any]:
        """The scores that the check wrote; empty if there was no check or the file is invalid."""
        try:
            score = read_json(self.folder / CHECK)
        except SettingsError:
            return {}
        return score if all(isinstance(score.get(name), int | float) for name in ("psnr", "vae_psnr")) else {}

    def discard(self) -> None:
        """Remove the stage's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def why_stale(self) -> str:
        """What differs from the newest other result, in words."""
        others = sorted(self.parent.glob(f"*/{self.result_name}"), key=lambda path: path.stat().st_mtime)
        if not others:
            return ""
        was = read_inputs(others[-1].parent)
        for way, words in GIVEN.items():
            if way in was:
                return f"what is there was {words}"
        return ", ".join(f"{name} {old} -> {new}" for name, old, new in differences(was, self.inputs))


def refuse_other(stage: Stage, provenance: dict[str, Any], hint: str) -> None:
    """Raise CheckpointError if the stage's result was, by its `provenance`, made from other inputs than the stage's."""
    if others := [name for name, value in stage.inputs.items() if provenance.get(name) != value]:
        raise CheckpointError(f"{stage.result_name} was made from something else: other {', '.join(others)}", hint)


def read_inputs(folder: Path) -> dict[str, Any]:
    """The inputs that a stage's folder was made from; empty if they cannot be read. Raises NewerFormatError."""
    try:
        values = read_json(folder / INPUTS)
    except SettingsError:
        return {}
    refuse_newer(values.pop("format", None), str(folder))
    return values


def in_any_precision(stage: Stage) -> list[Path]:
    """Folders made from the inputs of `stage`, in any precision: other machines have other ones."""
    wanted = _but_precision(stage.inputs)
    return [folder for folder in sorted(stage.parent.glob("*/")) if _but_precision(read_inputs(folder)) == wanted]


def _but_precision(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if name != "precision"}


def differences(was: dict[str, Any], now: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(name, old, new) for each leaf that differs; digests are shortened."""
    for name in sorted(was.keys() | now.keys()):
        old, new = was.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield prefix + name, _short(old), _short(new)


def _short(value: Any) -> Any:
    return f"{value[:8]}..." if isinstance(value, str) and len(value) == 64 else value


def clip_inputs(settings: WorkspaceSettings, source_digest: str, area: tuple[int, int]) -> dict[str, Any]:
    """The inputs that decide the clip's frames; without a set size, the base's own `area` (width, height) is one."""
    chosen = settings.clip.model_dump(mode="json", exclude={"source"})
    return {"source": source_digest, **chosen, "size": chosen["size"] or "auto {}x{}".format(*area)}


def tuned_in(
    parent: Path, settings: WorkspaceSettings, clip: dict[str, Any], base_digest: str, precision: str
) -> Stage:
    """The tuned stage. Recomputing activations changes no tuned parameter, so it is no input."""
    inputs = {
        "caption": settings.caption,
        "clip": clip,
        "base": base_digest,
        "precision": precision,
        "frame_attention": settings.frame_attention,
        "tune": settings.tune.model_dump(mode="json", exclude={"recompute"}),
    }
    return Stage("tuned", parent, TUNED, inputs)


def inverted_in(parent: Path, network: dict[str, Any], tuned_digest: str, steps: int) -> Stage:
    """The inverted stage. Its latents depend on `network` (clip, base, precision, frame attention) and on the tuned
    weights as saved, whatever run made them.
    """
    return Stage("inverted", parent, INVERTED, {**network, "tuned": tuned_digest, "steps": steps})


def same_run(stage: Stage) -> list[Path]:
    """Folders of tuning runs that differ from `stage` only in having fewer steps, most steps first."""
    wanted = stage.inputs["tune"]["steps"]
    found = []
    for path in stage.parent.glob(f"*/{INPUTS}"):
        inputs = read_inputs(path.parent)
        tune = inputs.get("tune")
        if not isinstance(tune, dict) or not isinstance(tune.get("steps"), int) or tune["steps"] >= wanted:
            continue
        if {**inputs, "tune": {**tune, "steps": wanted}} == stage.inputs:
            found.append((tune["steps"], path.parent))
    return [folder for _, folder in sorted(found, reverse=True)]
