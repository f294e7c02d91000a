import random
from dataclasses import replace

import numpy as np
import pytest

from tav.storybook.train.labels import UNKNOWN, VOCABULARY, centre, centres, named, numbers, shown
from tav.storybook.world import Scene, draw, random_scene
from tav.storybook.world.scenes import ACTIONS, UNSEEN_ACTIONS, parse


def test_numbers_are_the_places_of_what_is_shown() -> None:
    rng = random.Random(3)
    scenes = [random_scene(rng) for _ in range(60)]
    for name, values in numbers(scenes).items():
        for scene, value in zip(scenes, values.tolist(), strict=True):
            word = shown(scene)[name]
            assert value == UNKNOWN if word not in VOCABULARY[name] else VOCABULARY[name][value] == word


def test_a_place_that_no_caption_names_is_shown_all_the_same() -> None:
    scene = Scene("cat", "running", place=None, layout=3)
    assert shown(scene)["place"] == scene.shown_place
    assert "place" not in named(scene)


def test_what_is_named_is_what_the_caption_says() -> None:
    rng = random.Random(4)
    for scene in (random_scene(rng) for _ in range(60)):
        said = parse(scene.caption)
        assert named(scene) == {
            key: word for key, word in (said | {"time": scene.time}).items() if word is not None or key == "style"
        }


def test_what_cannot_be_read_is_not_asked_for() -> None:
    assert {"subject", "action", "colour"}.isdisjoint(named(Scene("penguin", "jumping")))


@pytest.mark.parametrize("action", ACTIONS + UNSEEN_ACTIONS)
@pytest.mark.parametrize("facing", [1, -1])
def test_the_centre_is_that_of_the_drawn_joints(action: str, facing: int) -> None:
    scene = Scene("robot", action, x=50, scale=0.9, phase=0.2, facing=facing)
    truth = draw(scene, truth=True).truth
    assert truth is not None
    joints = np.mean([truth.joints[name] for name in ("hip", "chest", "head")], axis=0)
    assert centre(scene) == pytest.approx(tuple(joints))
    rows, columns = np.nonzero(truth.mask("figure"))
    assert np.hypot(columns.mean() - joints[0], rows.mean() - joints[1]) < 14


def test_a_scene_moved_aside_moves_its_centre_as_far() -> None:
    scene = Scene("man", "dancing", x=40)
    a, b = centres([scene, replace(scene, x=47)])
    assert (b - a).tolist() == pytest.approx([7, 0])
    assert centres([]).shape == (0, 2)
