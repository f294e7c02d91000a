"""A stage's key depends on all that decides its result, and on nothing else."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tav.errors import CheckpointError
from tav.settings import BaseRecommendation, TuneSettings
from tavcli.config.settings import WorkspaceSettings, in_force
from tavcli.workspace.stages import (
    Stage,
    clip_inputs,
    differences,
    inverted_in,
    read_inputs,
    refuse_other,
    same_run,
    tuned_in,
)

BASE, SOURCE = "b" * 64, "s" * 64


def settings(**values: Any) -> WorkspaceSettings:
    toml = {"caption": "x", "base": "somewhere", "clip": {"source": "s.mp4"}}
    return in_force(toml | values, {}, BaseRecommendation())


def tuned(parent: Path, base: str = BASE, source: str = SOURCE, precision: str = "fp32", **values: Any) -> Stage:
    chosen = settings(**values)
    return tuned_in(parent, chosen, clip_inputs(chosen, source, (32, 32)), base, precision)


def clip(**values: Any) -> dict[str, Any]:
    return {"clip": {"source": "s.mp4", **values}}


MATTERS: dict[str, dict[str, Any]] = {
    "caption": {"caption": "y"},
    "base": {"base": "c" * 64},
    "source": {"source": "t" * 64},
    "precision": {"precision": "bf16"},
    "frame_attention": {"frame_attention": "full"},
    **{f"clip.{name}": clip(**{name: value}) for name, value in [("start", 1.0), ("frames", 3), ("fps", 2.0)]},
    **{
        f"clip.{name}": clip(**{name: value})
        for name, value in [("stride", 2), ("size", [64, 32]), ("fit", "letterbox")]
    },
    **{f"tune.{name}": {"tune": {name: value}} for name, value in [("steps", 9), ("learning_rate", 1e-4), ("seed", 1)]},
    **{f"tune.{name}": {"tune": {name: value}} for name, value in [("scope", "mid_up"), ("weight_decay", 0.5)]},
    "tune.max_grad_norm": {"tune": {"max_grad_norm": 2.0}},
}
DOES_NOT: dict[str, dict[str, Any]] = {
    "tune.recompute": {"tune": {"recompute": "all"}},
    "the clip's name": {"clip": {"source": "other.mov"}},
    "device": {"device": "cpu"},
    "invert": {"invert": {"steps": 9, "check": False}},
    "sample": {"sample": {"guidance_scale": 1.0, "negative_prompt": "y", "vary": 0.5, "seed": 3, "inversion": False}},
}


def test_the_lists_here_are_complete() -> None:
    names = {f"tune.{name}" for name in TuneSettings.model_fields}
    assert names <= MATTERS.keys() | DOES_NOT.keys()
    assert {f"clip.{name}" for name in settings().clip.model_dump()} - {"clip.source"} <= MATTERS.keys()


def test_everything_that_decides_gives_another_key(tmp_path: Path) -> None:
    keys = [tuned(tmp_path, **values).key for values in ({}, *MATTERS.values())]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", DOES_NOT)
def test_nothing_else_does(tmp_path: Path, name: str) -> None:
    stage = tuned(tmp_path, **DOES_NOT[name])
    assert stage.key == tuned(tmp_path).key == tuned(tmp_path / "elsewhere").key


def test_an_inversion_depends_on_the_weights_not_on_how_they_came_about(tmp_path: Path) -> None:
    def key(digest: str = "d" * 64, steps: int = 4, **values: Any) -> str:
        inputs = tuned(tmp_path, **values).inputs
        network = {name: inputs[name] for name in ("clip", "base", "precision", "frame_attention")}
        return inverted_in(tmp_path, network, digest, steps).key

    for other in ({"caption": "y"}, {"tune": {"steps": 9}}):
        assert key(**other) == key()
    decisive = [{}, {"digest": "e" * 64}, {"steps": 5}, clip(frames=3), {"base": "c" * 64}, {"precision": "bf16"}]
    assert len({key(**values) for values in [*decisive, {"frame_attention": "full"}]}) == 7


def test_keys_stay_what_they_are(tmp_path: Path) -> None:
    """Results of earlier versions are found again as long as FORMAT is the same."""
    assert Stage("tuned", tmp_path, "x", {"a": 1, "b": [2, None]}).key == "aa93863bf341"


# --- states


def make(stage: Stage, at: int = 0) -> Stage:
    stage.open()
    stage.result.touch()
    os.utime(stage.result, (at, at))
    return stage


def test_missing_stale_fresh(tmp_path: Path) -> None:
    stage, other = tuned(tmp_path), tuned(tmp_path, caption="y")
    assert stage.state == "missing"
    other.open()
    assert stage.state == other.state == "missing"
    make(other)
    assert (stage.state, other.state) == ("stale", "fresh")
    make(stage)
    assert (stage.state, other.state) == ("fresh", "fresh")
    stage.discard()
    assert (stage.state, other.state) == ("stale", "fresh")


def test_why_it_is_stale_is_told_by_the_newest(tmp_path: Path) -> None:
    stage = tuned(tmp_path)
    assert stage.why_stale() == ""
    make(tuned(tmp_path, caption="older"), at=1)
    make(tuned(tmp_path, caption="newer", tune={"steps": 9}, base="c" * 64), at=2)
    assert stage.why_stale() == "base cccccccc... -> bbbbbbbb..., caption newer -> x, tune.steps 9 -> 500"


def test_inputs_are_written_down(tmp_path: Path) -> None:
    stage = make(tuned(tmp_path))
    assert read_inputs(stage.folder) == stage.inputs
    assert list(differences(stage.inputs, stage.inputs)) == []


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "\udcff", None])
def test_unreadable_inputs_are_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "inputs.json").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert read_inputs(tmp_path) == {}


def test_a_result_of_other_inputs_is_refused(tmp_path: Path) -> None:
    stage = tuned(tmp_path)
    provenance = json.loads(json.dumps({**stage.inputs, "tav": "0.0", "device": "cuda"}))
    refuse_other(stage, provenance, "hint")
    with pytest.raises(CheckpointError, match=r"made from something else: other caption, base$"):
        refuse_other(stage, {**provenance, "caption": "y", "base": "c"}, "hint")


# --- runs that can be extended


def of_the_same_run(parent: Path) -> Iterator[tuple[int, Path]]:
    for steps in (100, 20, 3):
        yield steps, make(tuned(parent, tune={"steps": steps})).folder


def test_shorter_runs_of_the_same_settings_are_found_longest_first(tmp_path: Path) -> None:
    folders = dict(of_the_same_run(tmp_path))
    for values in MATTERS.values():
        if values != MATTERS["tune.steps"]:
            make(tuned(tmp_path, **{**values, "tune": {"steps": 50, **values.get("tune", {})}}))
    assert same_run(tuned(tmp_path, tune={"steps": 101})) == [folders[100], folders[20], folders[3]]
    assert same_run(tuned(tmp_path, tune={"steps": 100})) == [folders[20], folders[3]]
    assert same_run(tuned(tmp_path, tune={"steps": 3})) == []


@pytest.mark.parametrize("text", ["{", "[]", '{"tune": 3}', '{"tune": {"steps": "x"}}', '{"tune": null}'])
def test_foreign_folders_are_no_runs(tmp_path: Path, text: str) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "inputs.json").write_text(text)
    assert same_run(tuned(tmp_path)) == []
