"""A wrong setting is named, with the nearest right one; no other kind of error ever comes out of `parse`."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from tav.errors import SettingsError
from tav.settings import (
    BaseRecommendation,
    ClipSettings,
    InvertSettings,
    SampleSettings,
    Settings,
    TuneSettings,
    parse,
)

KINDS = (ClipSettings, TuneSettings, InvertSettings, SampleSettings, BaseRecommendation)
NAMES = [(kind, name) for kind in KINDS for name in kind.model_fields]
PLACE = "tav.toml"


class Recipe(Settings):
    """Settings inside settings, as in a file with tables."""

    tune: TuneSettings = Field(default_factory=TuneSettings)
    clip: ClipSettings = Field(default_factory=ClipSettings)


def refusal(kind: type[Settings], values: Any) -> SettingsError:
    with pytest.raises(SettingsError) as refused:
        parse(kind, values, PLACE)
    assert refused.value.message.startswith(f"{PLACE}: ")
    assert refused.value.hint
    assert not set("\n") & set(refused.value.message + refused.value.hint)
    return refused.value


@st.composite
def misspelt(draw: st.DrawFn) -> tuple[type[Settings], str, str]:
    """A kind, a setting of it, and its name with one letter doubled, lost, swapped or wrong."""
    kind, name = draw(st.sampled_from([pair for pair in NAMES if len(pair[1]) > 3]))
    at = draw(st.integers(0, len(name) - 2))
    slip = draw(st.sampled_from(["double", "lose", "swap", "wrong"]))
    slips = {
        "double": name[: at + 1] + name[at:],
        "lose": name[:at] + name[at + 1 :],
        "swap": name[:at] + name[at + 1] + name[at] + name[at + 2 :],
        "wrong": name[:at] + "x" + name[at + 1 :],
    }
    return kind, name, slips[slip]


@given(misspelt())
def test_a_misspelt_name_is_told_the_right_one(slip: tuple[type[Settings], str, str]) -> None:
    kind, name, wrong = slip
    if wrong in kind.model_fields:
        return
    error = refusal(kind, {wrong: 1})
    assert f"unknown setting `{wrong}`" in error.message
    assert error.hint == f"did you mean `{name}`?"


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_like_no_other_is_told_all(kind: type[Settings]) -> None:
    hint = refusal(kind, {"zzzzzzzz": 1}).hint
    assert all(name in hint for name in kind.model_fields)


def test_names_inside_tables_are_told_with_their_table() -> None:
    error = refusal(Recipe, {"tune": {"stepz": 1}})
    assert "`tune.stepz`" in error.message
    assert error.hint == "did you mean `steps`?"
    assert "clip.stride" in refusal(Recipe, {"clip": {"stride": "often"}}).message
    assert "tune" in refusal(Recipe, {"tune": 3}).message


WRONG = [
    (ClipSettings, "start", True),
    (ClipSettings, "start", "0"),
    (ClipSettings, "start", -0.1),
    (ClipSettings, "start", float("nan")),
    (ClipSettings, "frames", True),
    (ClipSettings, "frames", "5"),
    (ClipSettings, "frames", 5.0),
    (ClipSettings, "frames", 0),
    (ClipSettings, "frames", 4097),
    (ClipSettings, "stride", 2.5),
    (ClipSettings, "stride", True),
    (ClipSettings, "stride", "often"),
    (ClipSettings, "stride", 0),
    (ClipSettings, "fps", 0),
    (ClipSettings, "fps", float("inf")),
    (ClipSettings, "size", [512]),
    (ClipSettings, "size", [512, 512, 512]),
    (ClipSettings, "size", [512, "512"]),
    (ClipSettings, "size", [512, 512.5]),
    (ClipSettings, "size", [512, 7]),
    (ClipSettings, "size", 512),
    (ClipSettings, "size", "512x512"),
    (ClipSettings, "fit", "squash"),
    (TuneSettings, "steps", 0),
    (TuneSettings, "steps", 1.5),
    (TuneSettings, "learning_rate", 0),
    (TuneSettings, "learning_rate", 1.1),
    (TuneSettings, "scope", "down"),
    (TuneSettings, "weight_decay", -1),
    (TuneSettings, "max_grad_norm", 0),
    (TuneSettings, "max_grad_norm", float("inf")),
    (TuneSettings, "seed", -1),
    (TuneSettings, "seed", 2**63),
    (TuneSettings, "recompute", 1),
    (TuneSettings, "recompute", "yes"),
    (InvertSettings, "steps", 0),
    (InvertSettings, "steps", 501),
    (SampleSettings, "guidance_scale", -1),
    (SampleSettings, "guidance_scale", 101),
    (SampleSettings, "guidance_scale", None),
    (SampleSettings, "negative_prompt", 3),
    (SampleSettings, "negative_prompt", None),
    (SampleSettings, "vary", 1.01),
    (SampleSettings, "seed", -1),
    (SampleSettings, "inversion", 0),
    (BaseRecommendation, "size", [4, 512]),
    (BaseRecommendation, "learning_rate", 0),
]


@pytest.mark.parametrize(("kind", "name", "value"), WRONG)
def test_a_wrong_value_is_told_with_its_name(kind: type[Settings], name: str, value: object) -> None:
    assert name in refusal(kind, {name: value}).message


RIGHT = [
    (ClipSettings, "start", 1, 1.0),
    (ClipSettings, "fps", 12, 12.0),
    (ClipSettings, "stride", 3, 3),
    (ClipSettings, "size", [512, 320], (512, 320)),
    (ClipSettings, "size", (8, 8192), (8, 8192)),
    (TuneSettings, "learning_rate", 1, 1.0),
    (TuneSettings, "weight_decay", 0, 0.0),
    (TuneSettings, "seed", 2**63 - 1, 2**63 - 1),
    (InvertSettings, "steps", 500, 500),
    (SampleSettings, "guidance_scale", 0, 0.0),
    (SampleSettings, "vary", 1, 1.0),
    (SampleSettings, "negative_prompt", "", ""),
]


@pytest.mark.parametrize(("kind", "name", "value", "meant"), RIGHT)
def test_a_right_value_is_taken(kind: type[Settings], name: str, value: object, meant: object) -> None:
    taken = getattr(parse(kind, {name: value}, PLACE), name)
    assert taken == meant
    assert type(taken) is type(meant)


def test_a_size_comes_from_toml_as_a_list() -> None:
    values = tomllib.loads('size = [512, 320]\nfit = "letterbox"\nstart = 2\nstride = "uniform"\nframes = 24\n')
    assert parse(ClipSettings, values, PLACE) == ClipSettings(
        size=(512, 320), fit="letterbox", start=2.0, stride="uniform", frames=24
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"stride": 2, "fps": 12.0}, "stride and fps exclude each other"),
        ({"stride": -2}, "at least 1"),
    ],
)
def test_settings_that_contradict_each_other_are_told(values: dict[str, object], said: str) -> None:
    assert said in refusal(ClipSettings, values).message


def scalars() -> st.SearchStrategy:
    return st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates()


@given(
    st.sampled_from([*KINDS, Recipe]),
    st.recursive(
        scalars(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["tune", "clip", *{name for _, name in NAMES}]) | st.text(), inner, max_size=3
            )
        ),
        max_leaves=6,
    ),
)
def test_nothing_but_settings_and_their_error_comes_out(kind: type[Settings], values: Any) -> None:
    try:
        assert isinstance(parse(kind, values, PLACE), kind)
    except SettingsError:
        refusal(kind, values)


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_settings_and_frozen(kind: type[Settings]) -> None:
    settings = parse(kind, {}, PLACE)
    assert parse(kind, settings.model_dump(), PLACE) == settings
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings, next(iter(kind.model_fields)), None)


@pytest.mark.parametrize(("kind", "name"), [pair for pair in NAMES if pair[0] is not BaseRecommendation])
def test_every_setting_says_what_it_is(kind: type[Settings], name: str) -> None:
    assert kind.model_fields[name].description


def test_the_recipe_is_the_papers() -> None:
    tune = TuneSettings()
    assert (tune.steps, tune.learning_rate, tune.weight_decay, tune.max_grad_norm, tune.seed) == (
        500,
        3e-5,
        0.01,
        1,
        33,
    )
    assert (InvertSettings().steps, SampleSettings().guidance_scale) == (50, 12.5)
