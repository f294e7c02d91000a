"""Frames as rows of terminal cells. A cell shows two pixels: `▀` in the upper pixel's colour on the lower pixel's.

Textual's strip of 80 cells of different colours takes a millisecond to make and 60 kB to keep, too much for a video. A
`Row` keeps its pixels, writes its escape codes straight from them, and makes segments only when asked for them.
"""

from functools import lru_cache
from itertools import groupby

import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import COLOR_SYSTEMS, Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tavcli.tui.playback.footage import Frame, fitted

RGB = tuple[int, int, int]
HALF = "▀"
# Characters from dark to bright on a dark background, for terminals without colours.
RAMP = np.array(list(" .:-=+*#%@"))
LUMA = 0.2126, 0.7152, 0.0722
# Bits of a colour that are kept where the terminal has 256 or 16 colours: fewer colours to look up and to cache.
COARSE = 0xF8
RESET = "\x1b[0m"


def canvas(frame: Frame, width: int, height: int, ground: RGB) -> Frame:
    """A frame (h, w, 3) in the middle of `width` x `height` cells, as large as fits: uint8 (2 * height, width, 3).

    Shrinking averages pixels, enlarging interpolates them; `ground` fills the rest.
    """
    h, w = frame.shape[:2]
    size = fitted((w, h), (width, 2 * height))
    how = Image.Resampling.BOX if size[0] <= w else Image.Resampling.BILINEAR
    pixels = np.empty((2 * height, width, 3), np.uint8)
    pixels[:] = ground
    x, y = (width - size[0]) // 2, (2 * height - size[1]) // 2
    pixels[y : y + size[1], x : x + size[0]] = np.asarray(Image.fromarray(frame).resize(size, how))
    return pixels


def coloured(pixels: Frame) -> list[Strip]:
    """Rows of cells for pixels uint8 (2 * rows, columns, 3)."""
    return [Row(upper, lower) for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)]


def plain(pixels: Frame) -> list[Strip]:
    """Rows of cells for the same pixels without colours: the brighter the pixels, the denser the character."""
    light = (pixels @ np.array(LUMA)).reshape(len(pixels) // 2, 2, -1).mean(axis=1)
    inks = RAMP[(light * len(RAMP) / 256).astype(int)]
    return [Strip([Segment("".join(row))], len(row)) for row in inks.tolist()]


class Row(Strip):
    """A strip of half cells with the pixels `upper` and `lower`, uint8 (w, 3). It serves wherever a strip does."""

    __slots__ = ("_codes", "_pixels")

    def __init__(self, upper: Frame, lower: Frame) -> None:
        super().__init__((), len(upper))
        del self._segments  # so that __getattr__ makes them on first use
        self._pixels = np.concatenate([upper, lower], axis=1)
        self._codes: dict[str, str] = {}

    def __getattr__(self, name: str) -> list[Segment]:
        if name != "_segments":
            raise AttributeError(name)
        self._segments = [_segment(count, *cell) for count, cell in _runs(self._pixels)]
        return self._segments

    def render(self, console: Console) -> str:
        """The text and escape codes that draw the row in the colours that `console` has."""
        system = console.color_system or "truecolor"
        if system not in self._codes:
            self._codes[system] = _few(self._pixels, system) if system != "truecolor" else _true(self._pixels)
        return self._codes[system]


def _runs(pixels: Frame) -> list[tuple[int, list[int]]]:
    """Runs of equal cells: their number, and the two pixels of each (r, g, b, r, g, b)."""
    return [(len(list(run)), cell) for cell, run in groupby(pixels.tolist())]


def _true(pixels: Frame) -> str:
    return "".join([_exact(count, *cell) for count, cell in _runs(pixels)]) + RESET


def _exact(count: int, r: int, g: int, b: int, r2: int, g2: int, b2: int) -> str:
    if (r, g, b) == (r2, g2, b2):
        return f"\x1b[48;2;{r};{g};{b}m" + " " * count
    return f"\x1b[38;2;{r};{g};{b};48;2;{r2};{g2};{b2}m" + HALF * count


def _few(pixels: Frame, system: str) -> str:
    return "".join([_nearest(system, *cell) for cell in (pixels & COARSE).tolist()]) + RESET


@lru_cache(1 << 15)
def _nearest(system: str, r: int, g: int, b: int, r2: int, g2: int, b2: int) -> str:
    upper, lower = (Color.from_rgb(*rgb).downgrade(COLOR_SYSTEMS[system]) for rgb in ((r, g, b), (r2, g2, b2)))
    ground = ";".join(lower.get_ansi_codes(foreground=False))
    return f"\x1b[{ground}m " if upper == lower else f"\x1b[{';'.join(upper.get_ansi_codes())};{ground}m{HALF}"


@lru_cache(1 << 12)
def _segment(count: int, r: int, g: int, b: int, r2: int, g2: int, b2: int) -> Segment:
    ground = Color.from_rgb(r2, g2, b2)
    if (r, g, b) == (r2, g2, b2):
        return Segment(" " * count, Style(bgcolor=ground))
    return Segment(HALF * count, Style(color=Color.from_rgb(r, g, b), bgcolor=ground))
