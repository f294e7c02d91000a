"""Labels of scenes: the reader and the scorer are trained with them, and edits are judged by them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tav.storybook.world import Scene
from tav.storybook.world.places import GROUND
from tav.storybook.world.poses import skeleton
from tav.storybook.world.scenes import ACTIONS, COLOURS, PLACES, STYLES, SUBJECTS, TIMES

VOCABULARY: dict[str, tuple[str | None, ...]] = {
    "subject": SUBJECTS,
    "action": ACTIONS,
    "place": PLACES,
    "time": TIMES,
    "style": (None, *STYLES),
    "colour": COLOURS,
}
"""The words of each attribute. Style None is no style; clothes without a named colour have no word."""

UNKNOWN = -1
"""The number of a word that is not in the vocabulary, and of clothes without a named colour."""


def shown(scene: Scene) -> dict[str, str | None]:
    """What the picture of a scene shows, by attribute; the place counts even if the caption names none."""
    words = {name: getattr(scene, name) for name in VOCABULARY}
    return words | {"place": scene.shown_place}


def centre(scene: Scene) -> tuple[float, float]:
    """The figure's centre (x, y) in pixels from the top left: the mean of its hip, chest and head joints.

    Limbs and gear are left out, so that another subject or action moves the centre little.
    """
    bones = skeleton(scene.action, scene.phase)
    x, y = (sum(joint[axis] for joint in (bones.hip, bones.chest, bones.head)) / 3 for axis in (0, 1))
    return scene.x + scene.facing * scene.scale * x, GROUND + scene.scale * y


def centres(scenes: Sequence[Scene]) -> NDArray[np.float32]:
    """The figures' centres, (n, 2): x and y in pixels."""
    return np.array([centre(scene) for scene in scenes], np.float32).reshape(-1, 2)


def numbers(scenes: Sequence[Scene]) -> dict[str, NDArray[np.int64]]:
    """The index (n,) in VOCABULARY of each scene's word, by attribute; UNKNOWN where it has none."""
    words = [shown(scene) for scene in scenes]
    return {name: np.array([_number(known, word[name]) for word in words]) for name, known in VOCABULARY.items()}


def _number(known: tuple[str | None, ...], word: str | None) -> int:
    return known.index(word) if word in known else UNKNOWN


def named(scene: Scene) -> dict[str, str | None]:
    """The attributes that the caption names and a picture can show; style None where it names no style."""
    words = {name: getattr(scene, name) for name in VOCABULARY}
    return {name: word for name, word in words.items() if word in VOCABULARY[name]}
