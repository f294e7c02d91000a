"""Settings have one order: the base's recommendation < preset < tav.toml < flags."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.errors import SettingsError
from tav.settings import BaseRecommendation, TuneSettings, parse
from tavcli.config.files import read_toml
from tavcli.config.settings import Preset, in_force, merge, preset_layer, recommendation_layer
from tavcli.config.templates import presets
from tavcli.config.user import default_base

TOML: dict[str, Any] = {"caption": "x", "base": "b", "clip": {"source": "s.mp4"}}
NONE = BaseRecommendation()
RECOMMENDED = {"size": [48, 48], "guidance_scale": 6.0, "learning_rate": 2e-4, "steps": 200, "ddim_steps": 20}
LAYERS = st.dictionaries(
    st.sampled_from(["caption", "base", "preset"]), st.text(max_size=2), max_size=2
) | st.dictionaries(
    st.sampled_from(["tune", "clip"]),
    st.dictionaries(st.sampled_from(["steps", "seed", "frames"]), st.integers(0, 3), max_size=2),
    max_size=2,
)


def steps(toml: dict[str, Any], flags: dict[str, Any], recommended: int | None) -> int:
    return in_force({**TOML, **toml}, flags, BaseRecommendation(steps=recommended)).tune.steps


def test_each_layer_wins_over_those_below() -> None:
    default, draft = TuneSettings().steps, read_toml(presets()["draft"])["tune"]["steps"]
    assert len({default, draft, 7, 8, 9}) == 5
    assert steps({}, {}, None) == default
    assert steps({}, {}, 7) == 7
    assert steps({"preset": "draft"}, {}, 7) == draft
    assert steps({"preset": "draft", "tune": {"steps": 8}}, {}, 7) == 8
    assert steps({"preset": "draft", "tune": {"steps": 8}}, {"tune": {"steps": 9}}, 7) == 9
    assert steps({"preset": "draft"}, {"tune": {"scope": "mid_up"}}, None) == draft


def test_what_a_base_recommends_is_only_what_it_says() -> None:
    said = BaseRecommendation(size=(32, 32), guidance_scale=6.0, learning_rate=1e-4, steps=200, ddim_steps=20)
    layer = recommendation_layer(said)
    tune = {"learning_rate": 1e-4, "steps": 200}
    assert layer == {"tune": tune, "invert": {"steps": 20}, "sample": {"guidance_scale": 6.0}}
    assert recommendation_layer(NONE) == {"tune": {}, "invert": {}, "sample": {}}


@given(LAYERS, LAYERS, LAYERS)
def test_merging_is_associative_and_has_a_neutral_layer(one: Any, two: Any, three: Any) -> None:
    assert merge(merge(one, two), three) == merge(one, two, three)
    assert merge({}, one) == merge(one, {}) == merge(one) == merge(one, one) == one


def test_merging_changes_none_of_the_layers() -> None:
    below, above = {"clip": {"stride": 2}}, {"clip": {"fps": 3.0}}
    merge(below, above)
    assert (below, above) == ({"clip": {"stride": 2}}, {"clip": {"fps": 3.0}})


@pytest.mark.parametrize(("below", "above"), [({"stride": 2}, {"fps": 3.0}), ({"fps": 3.0}, {"stride": 2})])
def test_one_rate_replaces_the_other(below: dict[str, Any], above: dict[str, Any]) -> None:
    assert merge({"clip": {**below, "frames": 3}}, {"clip": above})["clip"] == {**above, "frames": 3}
    in_force(merge(TOML, {"clip": below}), {"clip": above}, NONE)
    assert in_force(merge(TOML, {"clip": below, "preset": "paper"}), {"clip": above}, NONE).clip.frames == 32


def test_both_rates_in_one_layer_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"tav\.toml: clip: stride and fps exclude each other"):
        in_force(merge(TOML, {"clip": {"stride": 2, "fps": 3.0}}), {}, NONE)


def test_an_error_names_the_layer_it_is_in() -> None:
    with pytest.raises(SettingsError, match=r"^tav\.toml: tune\.steps"):
        in_force({**TOML, "tune": {"steps": "x"}}, {}, NONE)
    with pytest.raises(SettingsError, match=r"^command line: tune\.steps"):
        in_force(TOML, {"tune": {"steps": 0}}, NONE)


@pytest.mark.parametrize("name", ["paper", "official", "low-memory", "draft"])
def test_every_preset_is_valid(name: str) -> None:
    settings = parse(Preset, preset_layer(name), name)
    assert settings != Preset()
    in_force({**TOML, "preset": name}, {}, NONE)


def test_there_are_just_these_presets() -> None:
    assert set(presets()) == {"paper", "official", "low-memory", "draft"}
    assert preset_layer(None) == {}
    for name in ("", "../presets/draft", "Draft", "nothing like it at all"):
        with pytest.raises(SettingsError, match="there is no preset"):
            preset_layer(name)


def test_what_a_base_recommends_acts(tav: Callable[..., Any], clip: Path, tiny_base: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (base / "tav.json").write_text(json.dumps(RECOMMENDED))
    said = tav(tmp_path, "--json", "init", clip, "w", "--caption", "x", "--base", base)
    assert said.json()["size"] == [48, 48]
    settings = tav(tmp_path, "--json", "show").json()["settings"]
    assert settings["tune"]["steps"] == 200
    assert settings["tune"]["learning_rate"] == 2e-4
    assert settings["invert"]["steps"] == 20
    assert settings["sample"]["guidance_scale"] == 6.0
    assert tav(tmp_path, "--json", "bases", "info", base).json()["recommends"] == RECOMMENDED
    said = tav(tmp_path, "bases", "info", base).out.splitlines()[-1]
    assert said.split(maxsplit=1)[1] == "size 48x48, guidance_scale 6, learning_rate 0.0002, steps 200, ddim_steps 20"
    (base / "tav.json").write_text('{"stepz": 3}')
    said = tav(tmp_path, "-q", "show")
    assert said.code == 1
    assert "did you mean `steps`?" in said.err


def test_the_users_own_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAV_HOME", str(tmp_path))
    assert default_base() == "storybook"
    (tmp_path / "config.toml").write_text("")
    assert default_base() == "storybook"
    (tmp_path / "config.toml").write_text('base = "mine"')
    assert default_base() == "mine"
    (tmp_path / "config.toml").write_text('bass = "mine"')
    with pytest.raises(SettingsError, match="unknown setting `bass`") as refusal:
        default_base()
    assert refusal.value.hint == "did you mean `base`?"
