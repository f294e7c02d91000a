"""How a clip's picture fits the network's: scaled evenly in both directions, then cropped or padded, never squashed."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rectangle(NamedTuple):
    """A part of a picture, in pixels from its top left corner."""

    x: int
    y: int
    width: int
    height: int

    def cut(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """This part of every frame: (f, h, w, 3) -> (f, height, width, 3), a view."""
        return frames[:, self.y : self.y + self.height, self.x : self.x + self.width]

    def shrunk(self, factor: int) -> "Rectangle":
        """The same part of pictures that are `factor` times smaller, at least one pixel wide and high."""
        width, height = (max(1, side // factor) for side in (self.width, self.height))
        return Rectangle(self.x // factor, self.y // factor, width, height)


@dataclass(frozen=True)
class Fit:
    """`size` and `scaled` are (width, height) of the network's picture and of the scaled clip.

    `window` is the part of the scaled clip that is kept, `content` its place in the network's picture, which is black
    outside it.
    """

    size: tuple[int, int]
    scaled: tuple[int, int]
    window: Rectangle
    content: Rectangle

    @property
    def cut_off(self) -> tuple[float, float]:
        """Shares of the clip's width and height that are not seen."""
        return 1 - self.window.width / self.scaled[0], 1 - self.window.height / self.scaled[1]

    @property
    def barred(self) -> float:
        """Share of the network's picture that is black bars."""
        return 1 - self.content.width * self.content.height / (self.size[0] * self.size[1])


def fit(width: int, height: int, size: tuple[int, int], mode: Literal["crop", "letterbox"]) -> Fit:
    """Fit a clip of `width` x `height` (as displayed) into `size` (width, height): cover it and crop, or add bars."""
    return _crop(width, height, size) if mode == "crop" else _letterbox(width, height, size)


def _crop(width: int, height: int, size: tuple[int, int]) -> Fit:
    scale = max(Fraction(size[0], width), Fraction(size[1], height))
    scaled = round(width * scale), round(height * scale)
    window = Rectangle((scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2, *size)
    return Fit(size, scaled, window, Rectangle(0, 0, *size))


def _letterbox(width: int, height: int, size: tuple[int, int]) -> Fit:
    # Even numbers: the content is cut out again and written as a video, whose colours come in 2 x 2 blocks.
    scale = min(Fraction(size[0], width), Fraction(size[1], height))
    scaled = _even(width * scale, size[0]), _even(height * scale, size[1])
    x, y = ((outer - inner) // 4 * 2 for outer, inner in zip(size, scaled, strict=True))
    return Fit(size, scaled, Rectangle(0, 0, *scaled), Rectangle(x, y, *scaled))


def _even(length: Fraction, most: int) -> int:
    return min(max(2, 2 * round(length / 2)), most // 2 * 2)
