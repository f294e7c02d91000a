import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.storybook.world import Scene, is_held_out, random_scene
from tav.storybook.world.scenes import (
    ACTIONS,
    COLOURS,
    HELD_OUT_ACTIONS,
    HELD_OUT_PLACES,
    PLACES,
    STYLES,
    SUBJECTS,
    TIMES,
    UNSEEN_ACTIONS,
    UNSEEN_SUBJECTS,
    changed,
    parse,
)

scenes = st.builds(
    Scene,
    subject=st.sampled_from(SUBJECTS + UNSEEN_SUBJECTS),
    action=st.sampled_from(ACTIONS + UNSEEN_ACTIONS),
    place=st.none() | st.sampled_from(PLACES),
    time=st.sampled_from(TIMES),
    colour=st.none() | st.sampled_from(COLOURS),
    style=st.none() | st.sampled_from(STYLES),
    says_day=st.booleans(),
)


def test_the_world_is_as_large_as_promised() -> None:
    assert len(SUBJECTS) >= 10
    assert len(ACTIONS) >= 7
    assert len(PLACES) >= 6
    assert len(TIMES) >= 3
    assert len(COLOURS) >= 8
    assert len(STYLES) >= 5


@given(scenes)
def test_a_caption_says_what_the_scene_is(scene: Scene) -> None:
    said = parse(scene.caption)
    assert said["subject"] == scene.subject
    assert said["action"] == scene.action
    assert said["place"] == scene.place
    assert said["colour"] == scene.colour
    assert said["style"] == scene.style
    assert said["time"] in (scene.time, None)
    assert (said["time"] is None) == (scene.time == "by day" and not scene.says_day)


@given(scenes, scenes)
def test_changing_a_scene_by_a_caption_makes_that_caption_true(scene: Scene, other: Scene) -> None:
    said = parse(other.caption)
    assert {key: getattr(changed(scene, other.caption), key) for key, word in said.items() if word} == {
        key: word for key, word in said.items() if word
    }


@given(st.text())
def test_any_text_can_be_asked(text: str) -> None:
    assert set(parse(text)) == {"subject", "action", "place", "time", "colour", "style"}


@given(st.integers(0, 10_000), st.booleans())
def test_held_out_combinations_are_kept_apart(seed: int, held_out: bool) -> None:
    scene = random_scene(random.Random(seed), held_out)
    assert is_held_out(scene) == held_out
    assert scene.subject in SUBJECTS
    assert scene.action in ACTIONS


def test_every_word_of_a_held_out_pair_is_seen_elsewhere() -> None:
    seen = [random_scene(random.Random(seed)) for seed in range(2000)]
    for subject, action in HELD_OUT_ACTIONS:
        assert subject in {s.subject for s in seen}
        assert action in {s.action for s in seen}
    for subject, place in HELD_OUT_PLACES:
        assert subject in {s.subject for s in seen}
        assert place in {s.shown_place for s in seen}


@pytest.mark.parametrize("subject", ["astronaut", "elephant", "man"])
def test_articles(subject: str) -> None:
    assert Scene(subject, "running").caption.startswith("an " if subject[0] in "aeiou" else "a ")
