"""Scenes and pictures that no network was trained on, the same in every run."""

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tav.storybook.world import Scene, draw, random_scene

SEED = 900_001


def fresh_scenes(count: int, held_out: bool) -> list[Scene]:
    """New scenes like those of the training set, or (`held_out`) of combinations that training never shows."""
    rng = random.Random(f"{SEED} {held_out}")
    return [random_scene(rng, held_out) for _ in range(count)]


def drawn(scenes: Sequence[Scene]) -> NDArray[np.uint8]:
    """The pictures of the scenes, uint8 (n 128 128 3)."""
    return np.stack([np.asarray(draw(scene).picture) for scene in scenes])
