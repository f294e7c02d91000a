"""Clips: a scene with smooth motion."""

import math
import random
from dataclasses import dataclass, replace

from tav.storybook.world.scenes import Scene


@dataclass(frozen=True)
class Motion:
    """The motion of a clip's figure and camera, from its first frame (0) to its last (1)."""

    start: float
    end: float
    """The figure's first and last position, in pixels from the left."""
    turns: float
    """Cycles of the action over the clip."""
    camera: float
    """How far the camera moves, in pixels of the nearest layer."""
    scales: tuple[float, float] = (0.95, 0.95)

    @classmethod
    def random(cls, rng: random.Random, facing: int = 1) -> "Motion":
        """A random motion across the picture, in the direction that the figure faces."""
        ends = rng.uniform(36, 46), rng.uniform(80, 92)
        start, end = ends if facing > 0 else (128 - ends[0], 128 - ends[1])
        scale = rng.uniform(0.9, 0.98)
        return cls(start, end, rng.uniform(1.5, 2.5), facing * rng.uniform(20, 50), (scale, scale + 0.06))


def clip_scenes(first: Scene, motion: Motion, frames: int = 24) -> list[Scene]:
    """The scenes of a clip's frames."""
    return [_moved(first, motion, index / max(1, frames - 1)) for index in range(frames)]


def _moved(first: Scene, motion: Motion, moment: float) -> Scene:
    eased = (1 - math.cos(math.pi * moment)) / 2 * 0.5 + moment * 0.5
    low, high = motion.scales
    return replace(
        first,
        x=motion.start + (motion.end - motion.start) * eased,
        phase=(first.phase + motion.turns * moment) % 1.0,
        camera=first.camera + motion.camera * moment,
        scale=low + (high - low) * moment,
    )
