"""Drawing at three times the size. Every shape has a number, from which a picture's ground truth is read."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

SIZE = 128
FINE = 3
"""Shapes are drawn this many times larger and then reduced, for smooth edges."""

Colour = tuple[int, int, int]
Point = tuple[float, float]

LAYERS = ("sky", "far", "near", "ground", "shadow", "gear", "figure")
"""The layers of a picture, from the farthest to the nearest."""


def shade(colour: Colour, factor: float) -> Colour:
    """The colour times a factor (towards white above 1)."""
    if factor <= 1:
        r, g, b = (round(c * factor) for c in colour)
    else:
        r, g, b = (round(c + (255 - c) * (factor - 1)) for c in colour)
    return r, g, b


class Pen:
    """Draws shapes given in pixels of the finished picture; `layer` and `tint` hold for all shapes that follow."""

    def __init__(self, outline: float = 0.0, truth: bool = False) -> None:
        """`outline`: default width of the dark line around shapes; `truth`: whether to record the shapes."""
        self.canvas = Image.new("RGB", (SIZE * FINE, SIZE * FINE))
        self._draw = ImageDraw.Draw(self.canvas)
        self._numbers = Image.new("I", self.canvas.size) if truth else None
        self._number_draw = ImageDraw.Draw(self._numbers) if self._numbers else None
        self._layers = [0]
        self.outline = outline
        self.layer = "sky"
        self.tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
        self.flip: tuple[int, Point, float] | None = None
        """(facing, origin, scale): from a figure's own coordinates to the picture's; None: the picture's."""

    def place(self, point: Point) -> Point:
        """A point in pixels of the picture."""
        if self.flip is None:
            return point
        facing, (x, y), scale = self.flip
        return x + facing * scale * point[0], y + scale * point[1]

    def _fine(self, points: Sequence[Point]) -> list[Point]:
        return [(x * FINE, y * FINE) for x, y in map(self.place, points)]

    def _length(self, length: float) -> float:
        return length * FINE * (self.flip[2] if self.flip else 1.0)

    def _ink(self, colour: Colour) -> Colour:
        r, g, b = (min(255, round(c * t)) for c, t in zip(colour, self.tint, strict=True))
        return r, g, b

    def _surfaces(self, colour: Colour) -> list[tuple[ImageDraw.ImageDraw, Colour | int]]:
        surfaces: list[tuple[ImageDraw.ImageDraw, Colour | int]] = [(self._draw, self._ink(colour))]
        if self._number_draw is not None:
            self._layers.append(LAYERS.index(self.layer))
            surfaces.append((self._number_draw, len(self._layers) - 1))
        return surfaces

    def _edge(self, outline: float | None) -> float:
        return (self.outline if outline is None else outline) * FINE

    def polygon(self, points: Sequence[Point], colour: Colour, outline: float | None = None) -> None:
        """Draw a filled polygon."""
        fine = self._fine(points)
        edge = self._edge(outline)
        if edge:
            _stroke(self._draw, [*fine, fine[0]], 2 * edge, self._ink(DARK))
        for draw, ink in self._surfaces(colour):
            draw.polygon(fine, fill=ink)

    def limb(self, points: Sequence[Point], width: float, colour: Colour, outline: float | None = None) -> None:
        """Draw a line of the given width with round joints and ends."""
        fine, thick = self._fine(points), self._length(width)
        edge = self._edge(outline)
        if edge:
            _stroke(self._draw, fine, thick + 2 * edge, self._ink(DARK))
        for draw, ink in self._surfaces(colour):
            _stroke(draw, fine, thick, ink)

    def taper(self, a: Point, b: Point, widths: tuple[float, float], colour: Colour) -> None:
        """Draw a limb that is `widths[0]` wide at a and `widths[1]` at b."""
        (ax, ay), (bx, by) = self._fine([a, b])
        edge = self._edge(None)
        angle = math.atan2(by - ay, bx - ax) + math.pi / 2
        for draw, ink, extra in [(self._draw, self._ink(DARK), edge)] * bool(edge) + [
            (draw, ink, 0.0) for draw, ink in self._surfaces(colour)
        ]:
            ra, rb = (self._length(w) / 2 + extra for w in widths)
            dx, dy = math.cos(angle), math.sin(angle)
            side = (ax + dx * ra, ay + dy * ra), (bx + dx * rb, by + dy * rb)
            other = (bx - dx * rb, by - dy * rb), (ax - dx * ra, ay - dy * ra)
            draw.polygon([*side, *other], fill=ink)
            _disc(draw, (ax, ay), ra, ra, ink)
            _disc(draw, (bx, by), rb, rb, ink)

    def disc(
        self, centre: Point, rx: float, colour: Colour, ry: float | None = None, outline: float | None = None
    ) -> None:
        """Draw a filled ellipse of radii rx and ry (a circle where ry is not given)."""
        (point,) = self._fine([centre])
        fx, fy = self._length(rx), self._length(rx if ry is None else ry)
        edge = self._edge(outline)
        if edge:
            _disc(self._draw, point, fx + edge, fy + edge, self._ink(DARK))
        for draw, ink in self._surfaces(colour):
            _disc(draw, point, fx, fy, ink)

    def ring(self, centre: Point, radius: float, width: float, colour: Colour) -> None:
        """Draw a circle's line."""
        (x, y), r, w = self._fine([centre])[0], self._length(radius), self._length(width)
        for draw, ink in self._surfaces(colour):
            draw.ellipse((x - r, y - r, x + r, y + r), outline=ink, width=round(w))

    def gradient(self, top: Colour, bottom: Colour, y0: float, y1: float) -> None:
        """Fill the rows from y0 to y1 with a gradient from one colour to the other."""
        rows = np.linspace(0, 1, max(1, round((y1 - y0) * FINE)))[:, None]
        colours = np.asarray(self._ink(top)) * (1 - rows) + np.asarray(self._ink(bottom)) * rows
        strip = Image.fromarray(colours.round().astype(np.uint8)[:, None, :])
        self.canvas.paste(strip.resize((SIZE * FINE, len(rows))), (0, round(y0 * FINE)))
        if self._number_draw is not None:
            _, ink = self._surfaces(top)[1]
            self._number_draw.rectangle((0, y0 * FINE, SIZE * FINE, y1 * FINE), fill=ink)

    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        """The number of the shape seen at each pixel and the index in LAYERS of its layer, each (128, 128)."""
        if self._numbers is None:
            raise ValueError("this pen does not record its shapes: make it with truth=True")
        middle = np.asarray(self._numbers)[FINE // 2 :: FINE, FINE // 2 :: FINE].astype(np.int32)
        return middle, np.asarray(self._layers, dtype=np.uint8)[middle]


DARK: Colour = (28, 24, 34)


def _disc(draw: ImageDraw.ImageDraw, centre: Point, rx: float, ry: float, ink: Colour | int) -> None:
    x, y = centre
    draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=ink)


def _stroke(draw: ImageDraw.ImageDraw, points: Sequence[Point], width: float, ink: Colour | int) -> None:
    draw.line(points, fill=ink, width=max(1, round(width)), joint="curve")
    for end in (points[0], points[-1]):
        _disc(draw, end, width / 2, width / 2, ink)
