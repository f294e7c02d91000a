import random

import numpy as np
import pytest

from tav.storybook.world import Motion, Scene, clip_scenes, draw


@pytest.mark.parametrize("facing", [1, -1])
def test_a_clip_goes_from_start_to_end_where_it_faces(facing: int) -> None:
    motion = Motion.random(random.Random(1), facing)
    scenes = clip_scenes(Scene("cat", "running", facing=facing), motion, 24)
    path = np.array([scene.x for scene in scenes])
    assert path[0] == pytest.approx(motion.start)
    assert path[-1] == pytest.approx(motion.end)
    assert (facing * np.diff(path) > 0).all()
    # Smooth: the speed changes little from frame to frame.
    assert np.abs(np.diff(path, 2)).max() < 0.4


def test_neighbouring_frames_are_much_alike() -> None:
    motion = Motion.random(random.Random(2))
    scenes = clip_scenes(Scene("cat", "running", "in the city"), motion, 24)
    frames = np.stack([np.asarray(draw(scene).picture) for scene in scenes]).astype(int)
    near = np.abs(np.diff(frames, axis=0)).mean()
    far = np.abs(frames[12:] - frames[:12]).mean()
    assert near < far / 2


def test_a_still_motion_gives_a_still_clip() -> None:
    still = Motion(64, 64, turns=0, camera=0)
    scenes = clip_scenes(Scene("cat", "running"), still, 5)
    assert len(set(scenes)) == 1
