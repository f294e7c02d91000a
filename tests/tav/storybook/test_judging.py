import numpy as np
import pytest

from tav.storybook.train.fresh import drawn
from tav.storybook.train.judging import accuracy, motion, still_pixels
from tav.storybook.train.labels import centres, named
from tav.storybook.train.measures import flicker, pixel_change
from tav.storybook.world import Motion, Scene, clip_scenes

MAN = Scene("man", "skiing", "on the snow", colour="red", layout=5)


def clip(first: Scene, camera: float = 0.0) -> list[Scene]:
    return clip_scenes(first, Motion(40, 88, 2.0, camera), 6)


def words_of(scenes: list[Scene]) -> dict[str, list[str | None]]:
    return {name: [named(scene)[name] for scene in scenes] for name in named(scenes[0])}


def test_an_edit_that_shows_what_was_asked_is_right_in_all() -> None:
    source, target = clip(MAN), clip(Scene("cat", "skiing", "on the snow", colour="red", style="van gogh", layout=5))
    figures = accuracy(words_of(target), source, target)
    assert figures["all"] == figures["changed"] == figures["kept"] == 1


def test_an_edit_that_left_the_source_as_it_was_kept_all_and_changed_nothing() -> None:
    source, target = clip(MAN), clip(Scene("cat", "skiing", "on the snow", colour="red", style="van gogh", layout=5))
    figures = accuracy(words_of(source), source, target)
    assert (figures["all"], figures["changed"], figures["kept"]) == (0, 0, 1)
    assert figures["attributes"]["subject"] == figures["attributes"]["style"] == 0
    assert figures["attributes"]["colour"] == 1


def test_a_frame_is_right_where_all_of_it_is() -> None:
    target = clip(MAN)
    words = words_of(target)
    words["subject"][0], words["colour"][0], words["place"][3] = "cat", "blue", "on the moon"
    assert accuracy(words, target, target)["all"] == pytest.approx(4 / 6)


def test_with_the_sources_own_caption_nothing_is_changed() -> None:
    assert "changed" not in accuracy(words_of(clip(MAN)), clip(MAN), clip(MAN))


def test_the_sources_own_path_is_kept_motion() -> None:
    source = clip(MAN)
    exact = {"centre_error": 0, "correlation": 1, "correlation_up": 1}
    assert motion(centres(source), source) == pytest.approx(exact)


@pytest.mark.parametrize("camera", [0.0, 40.0])
@pytest.mark.parametrize("place", ["on the snow", "in the forest", "on the moon"])
def test_where_nothing_should_move_neither_the_source_nor_a_perfect_edit_does(camera: float, place: str) -> None:
    source, target = clip(MAN, camera), clip(Scene("rabbit", "skiing", place, layout=5), camera)
    still = still_pixels(source, target)
    assert still.mean() > 0.05
    assert flicker(drawn(source), still) == flicker(drawn(target), still) == 0
    assert pixel_change(drawn(source)) > 1


def test_a_flickering_background_is_seen_and_a_flickering_figure_is_not() -> None:
    source = clip(MAN)
    frames, still = drawn(source), still_pixels(source, source)
    outside = frames.copy()
    outside[::2] = np.where(still[::2, ..., None], outside[::2] // 2, outside[::2])
    inside = frames.copy()
    inside[::2] = np.where(still[::2, ..., None], inside[::2], inside[::2] // 2)
    assert flicker(outside, still) > 20
    assert flicker(inside, still) == 0
