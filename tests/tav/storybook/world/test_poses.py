import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.storybook.world.poses import Skeleton, reach, skeleton
from tav.storybook.world.scenes import ACTIONS, UNSEEN_ACTIONS

ALL = ACTIONS + UNSEEN_ACTIONS
PHASES = [i / 60 for i in range(61)]


def _bones(bones: Skeleton) -> list[float]:
    limbs = (bones.near_arm, bones.far_arm, bones.near_leg, bones.far_leg)
    return [math.dist(a, b) for limb in limbs for a, b in itertools.pairwise(limb)]


@pytest.mark.parametrize("action", ALL)
def test_bones_keep_their_length(action: str) -> None:
    lengths = [_bones(skeleton(action, phase)) for phase in PHASES]
    for first, *others in zip(*lengths, strict=True):
        assert others == pytest.approx([first] * len(others), abs=1e-6)


@pytest.mark.parametrize("action", ALL)
def test_an_action_is_a_smooth_cycle(action: str) -> None:
    steps = [skeleton(action, phase).joints() for phase in PHASES]
    assert steps[0] == {name: pytest.approx(point, abs=1e-6) for name, point in steps[-1].items()}
    for before, after in itertools.pairwise(steps):
        assert max(math.dist(before[name], after[name]) for name in before) < 6


@given(st.tuples(st.floats(-60, 60), st.floats(-60, 60)), st.sampled_from((-1, 1)))
def test_a_limb_reaches_for_its_end(end: tuple[float, float], bend: int) -> None:
    start, middle, hand = reach((0.0, 0.0), end, 17.0, 14.0, bend)
    assert math.dist(start, middle) == pytest.approx(17)
    assert math.dist(middle, hand) == pytest.approx(14)
    if 3.2 < math.hypot(*end) < 30.8:
        assert hand == pytest.approx(end, abs=1e-6)
