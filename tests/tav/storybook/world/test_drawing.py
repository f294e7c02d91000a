import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tav.storybook.world import Drawing, Scene, draw
from tav.storybook.world.drawing import Truth
from tav.storybook.world.pen import LAYERS
from tav.storybook.world.scenes import (
    ACTIONS,
    COLOURS,
    PLACES,
    STYLES,
    SUBJECTS,
    TIMES,
    UNSEEN_ACTIONS,
    UNSEEN_SUBJECTS,
)

BODIES = list(itertools.product(SUBJECTS + UNSEEN_SUBJECTS, ACTIONS + UNSEEN_ACTIONS))
LOOKS = list(itertools.product(PLACES, TIMES, (None, *STYLES)))
SKIER = Scene("man", "skiing", "on the snow", layout=3, camera=40)


def _pixels(drawing: Drawing) -> np.ndarray:
    return np.asarray(drawing.picture).astype(int)


def _truth(scene: Scene) -> Truth:
    truth = draw(scene, truth=True).truth
    assert truth is not None
    return truth


@pytest.mark.parametrize(("subject", "action"), BODIES)
def test_every_subject_can_do_everything(subject: str, action: str) -> None:
    scene = Scene(subject, action, phase=0.3)
    figure = _truth(scene).mask("figure")
    # The figure is what the picture is about: neither a speck nor all of it.
    assert 0.06 < figure.mean() < 0.35
    assert _pixels(draw(scene)).shape == (128, 128, 3)


@pytest.mark.parametrize(("place", "time", "style"), LOOKS)
def test_every_place_has_its_times_and_styles(place: str, time: str, style: str | None) -> None:
    plain = draw(replace(SKIER, place=place, time=time))
    assert _pixels(plain).std() > 10
    if style:
        styled = draw(replace(SKIER, place=place, time=time, style=style))
        assert np.abs(_pixels(styled) - _pixels(plain)).mean() > 4


@given(st.integers(0, 1000), st.sampled_from((None, *STYLES)))
@settings(max_examples=12, deadline=None)
def test_equal_scenes_give_equal_pictures(layout: int, style: str | None) -> None:
    scene = replace(SKIER, layout=layout, style=style)
    assert (_pixels(draw(scene)) == _pixels(draw(replace(scene), truth=True))).all()


@pytest.mark.parametrize("colour", COLOURS)
def test_clothes_change_the_figure_and_nothing_else(colour: str) -> None:
    bare, clothed = draw(SKIER), draw(replace(SKIER, colour=colour))
    differs = np.abs(_pixels(bare) - _pixels(clothed)).max(-1) > 0
    figure = _truth(SKIER).mask("figure")
    grown = np.pad(figure, 1)
    near = grown[1:-1, 1:-1] | grown[:-2, 1:-1] | grown[2:, 1:-1] | grown[1:-1, :-2] | grown[1:-1, 2:]
    assert differs[figure].mean() > 0.25
    assert not differs[~near].any()


def test_truth_is_a_partition_with_its_edges() -> None:
    truth = _truth(SKIER)
    masks = [truth.mask(layer) for layer in LAYERS]
    assert (np.sum(masks, 0) == 1).all()
    assert truth.depth.min() == 0
    assert truth.depth.max() == 1
    layers = truth.layers.astype(int)
    assert truth.outline[:, 1:][layers[:, 1:] != layers[:, :-1]].all()
    assert truth.outline[1:][layers[1:] != layers[:-1]].all()
    assert 0.02 < truth.outline.mean() < 0.25


@pytest.mark.parametrize("action", ACTIONS)
def test_joints_lie_in_the_figure(action: str) -> None:
    truth = _truth(replace(SKIER, action=action, scale=0.9, phase=0.2))
    figure = truth.mask("figure", "gear")
    for name in ("hip", "chest", "head", "near_knee"):
        x, y = truth.joints[name]
        assert figure[round(y - 0.5), round(x - 0.5)], name


def test_a_figure_that_faces_the_other_way_is_mirrored() -> None:
    right = _truth(replace(SKIER, x=50)).mask("figure")
    left = _truth(replace(SKIER, x=78, facing=-1)).mask("figure")[:, ::-1]
    assert (right & left).sum() / (right | left).sum() > 0.95


def test_scale_is_the_size_of_the_figure() -> None:
    small, large = (_truth(replace(SKIER, scale=s)).mask("figure").sum() for s in (0.8, 1.0))
    assert small / large == pytest.approx(0.64, abs=0.03)


@pytest.mark.parametrize("style", STYLES)
def test_a_styles_texture_stands_still(style: str) -> None:
    # What is far from a figure that moves does not change, whatever the style.
    first = replace(SKIER, style=style, x=40)
    one, two = (_pixels(draw(replace(first, phase=phase))) for phase in (0.1, 0.4))
    assert (one[:, 110:] == two[:, 110:]).all()
