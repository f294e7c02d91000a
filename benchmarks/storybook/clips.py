"""The clips that editing is judged on, and the edits that are asked of each. None shows a held-out combination."""

from dataclasses import dataclass, replace
from typing import Any

from tav.storybook.world import Motion, Scene, clip_scenes

FRAMES = 16
KINDS = ("object", "background", "style", "clothes", "two", "identity")


@dataclass(frozen=True)
class Clip:
    """A clip: its first scene, its motion, and what each kind of edit changes."""

    name: str
    first: Scene
    motion: Motion
    edits: dict[str, dict[str, Any]]

    def scenes(self) -> list[Scene]:
        """The source's frames."""
        return clip_scenes(self.first, self.motion, FRAMES)

    def target(self, kind: str) -> list[Scene]:
        """The frames that a perfect edit of a kind (of KINDS) would show."""
        return [replace(scene, **self.edits[kind]) for scene in self.scenes()]


def _right(camera: float = 0.0, turns: float = 2.0) -> Motion:
    return Motion(40, 88, turns, camera, (0.92, 0.98))


def _left(camera: float = 0.0, turns: float = 2.0) -> Motion:
    return Motion(88, 40, turns, -camera, (0.92, 0.98))


def _edits(subject: str, place: str, style: str, colour: str, two: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The six kinds. `identity`: the prompt is the source's own caption."""
    single = {"object": {"subject": subject}, "background": {"place": place}, "style": {"style": style}}
    return {**single, "clothes": {"colour": colour}, "two": two, "identity": {}}


# The camera of every other clip stands still.
CLIPS = (
    Clip(
        "man-skiing",
        Scene("man", "skiing", "on the snow", colour="red", layout=101),
        _right(),
        _edits("rabbit", "in the forest", "van gogh", "green", {"subject": "robot", "style": "watercolor"}),
    ),
    Clip(
        "cat-running",
        Scene("cat", "running", "in the forest", layout=102),
        _right(camera=30),
        _edits("elephant", "on the snow", "pixel art", "blue", {"subject": "panda", "place": "on the beach"}),
    ),
    Clip(
        "woman-surfing",
        Scene("woman", "surfing", "on the beach", "at sunset", colour="pink", facing=-1, layout=103),
        _left(),
        _edits("panda", "on the moon", "cartoon", "yellow", {"subject": "frog", "colour": "purple"}),
    ),
    Clip(
        "robot-skateboarding",
        Scene("robot", "skateboarding", "in the city", layout=104, phase=0.3),
        _right(camera=36),
        _edits("man", "in the desert", "watercolor", "orange", {"place": "on the snow", "style": "cartoon"}),
    ),
    Clip(
        "superhero-flying",
        Scene("superhero", "flying", "in the city", "at night", layout=105),
        _right(turns=1.5),
        _edits("astronaut", "on the beach", "pop art", "green", {"subject": "cat", "place": "on the moon"}),
    ),
    Clip(
        "frog-dancing",
        Scene("frog", "dancing", "in the desert", colour="blue", layout=106),
        _right(camera=24),
        _edits("superhero", "in the city", "van gogh", "red", {"subject": "astronaut", "style": "pop art"}),
    ),
    Clip(
        "astronaut-riding",
        Scene("astronaut", "riding a bike", "on the moon", layout=107),
        _right(turns=2.5),
        _edits("panda", "on the beach", "watercolor", "pink", {"place": "in the forest", "colour": "yellow"}),
    ),
    Clip(
        "elephant-running",
        Scene("elephant", "running", "on the beach", "at sunset", colour="purple", layout=108, facing=-1),
        _left(camera=30),
        _edits("man", "in the desert", "pixel art", "black", {"subject": "rabbit", "place": "in the city"}),
    ),
)

# What the base has in no training picture: a subject, or an action.
UNSEEN_CLIPS = (
    Clip(
        "bear-running",
        Scene("bear", "running", "in the forest", layout=109),
        _right(),
        _edits("rabbit", "on the snow", "van gogh", "red", {"subject": "cat", "style": "cartoon"}),
    ),
    Clip(
        "penguin-skiing",
        Scene("penguin", "skiing", "on the snow", layout=110),
        _right(camera=30),
        _edits("man", "in the desert", "watercolor", "orange", {"subject": "robot", "place": "in the city"}),
    ),
    Clip(
        "man-jumping",
        Scene("man", "jumping", "on the beach", colour="green", layout=111),
        _right(turns=2.5),
        _edits("panda", "on the snow", "pixel art", "purple", {"subject": "frog", "style": "watercolor"}),
    ),
    Clip(
        "cat-jumping",
        Scene("cat", "jumping", "on the moon", layout=112),
        _right(camera=24, turns=2.0),
        _edits("elephant", "on the beach", "cartoon", "blue", {"subject": "superhero", "place": "in the desert"}),
    ),
)
