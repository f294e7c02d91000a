"""Drawing of a scene: its picture and its ground truth."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from tav.storybook.world.figures import draw_figure
from tav.storybook.world.gear import draw_before, draw_behind
from tav.storybook.world.pen import FINE, LAYERS, Pen, Point
from tav.storybook.world.places import GROUND, LIGHTS, draw_place
from tav.storybook.world.poses import skeleton
from tav.storybook.world.scenes import Scene
from tav.storybook.world.styles import OUTLINES, paint


@dataclass(frozen=True)
class Truth:
    """The ground truth of a picture of 128 x 128 pixels."""

    layers: np.ndarray
    """The index in LAYERS of the layer seen at each pixel, (128, 128)."""
    outline: np.ndarray
    """True where two shapes meet, (128, 128)."""
    joints: dict[str, Point]
    """The skeleton, in pixels from the top left."""

    def mask(self, *layers: str) -> np.ndarray:
        """True where one of the layers is seen, (128, 128)."""
        return np.isin(self.layers, [LAYERS.index(layer) for layer in layers])

    @property
    def depth(self) -> np.ndarray:
        """0 for the farthest layer to 1 for the nearest, (128, 128), float32."""
        return (self.layers / (len(LAYERS) - 1)).astype(np.float32)


@dataclass(frozen=True)
class Drawing:
    """A picture (RGB, 128 x 128) and, where asked for, its ground truth."""

    picture: Image.Image
    truth: Truth | None


def draw(scene: Scene, truth: bool = False) -> Drawing:
    """The picture of a scene; equal scenes give equal pictures, bit for bit."""
    pen = Pen(outline=OUTLINES.get(scene.style or "", 0.0), truth=truth)
    draw_place(pen, scene.shown_place, scene.time, scene.camera, scene.layout)
    before = pen.canvas.copy()
    bones = skeleton(scene.action, scene.phase)
    _draw_shadow(pen, scene)
    pen.flip = scene.facing, (scene.x, GROUND), scene.scale
    pen.tint = LIGHTS[scene.time].figure
    pen.layer = "gear"
    draw_behind(pen, scene.action, bones)
    pen.layer = "figure"
    draw_figure(pen, scene.subject, scene.colour, bones)
    pen.layer = "gear"
    draw_before(pen, scene.action, bones)
    picture = paint(pen.canvas, scene.style, _changed(before, pen.canvas))
    if not truth:
        return Drawing(picture, None)
    numbers, layers = pen.truth()
    joints = {name: pen.place(point) for name, point in bones.joints().items()}
    return Drawing(picture, Truth(layers, _edges(numbers), joints))


def _draw_shadow(pen: Pen, scene: Scene) -> None:
    pen.layer = "shadow"
    width = 26 if scene.action in ("flying", "jumping") else 24
    ground = pen.canvas.getpixel((min(127, max(0, round(scene.x))) * FINE, round(GROUND + 4) * FINE))
    tint, pen.tint = pen.tint, (1.0, 1.0, 1.0)
    dark = tuple(round(c * 0.72) for c in ground)  # type: ignore[union-attr]
    pen.disc((scene.x, GROUND + 4), width * scene.scale, dark, 3.6, outline=0)  # type: ignore[arg-type]
    pen.tint = tint


def _changed(before: Image.Image, after: Image.Image) -> Image.Image:
    """A mask of figure, gear and shadow: white on black, at the finished size."""
    differs = (np.asarray(before.reduce(FINE)) != np.asarray(after.reduce(FINE))).any(-1)
    return Image.fromarray(differs.astype(np.uint8) * 255)


def _edges(numbers: np.ndarray) -> np.ndarray:
    edges = np.zeros(numbers.shape, dtype=bool)
    edges[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    edges[1:] |= numbers[1:] != numbers[:-1]
    return edges
