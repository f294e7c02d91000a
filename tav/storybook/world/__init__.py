"""The storybook: pictures and clips of 128 x 128 pixels, drawn from scenes, with exact ground truth."""

from tav.storybook.world.clips import Motion, clip_scenes
from tav.storybook.world.drawing import Drawing, draw
from tav.storybook.world.scenes import Scene, is_held_out, random_scene

__all__ = ["Drawing", "Motion", "Scene", "clip_scenes", "draw", "is_held_out", "random_scene"]
