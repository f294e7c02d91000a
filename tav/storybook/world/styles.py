"""The painting styles, as functions of the drawn picture.

Textures have a fixed seed and do not move, so that a clip flickers no more than its motion requires.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from tav.storybook.world.pen import FINE, SIZE

OUTLINES = {"cartoon": 1.5, "pop art": 1.5}
"""Width of the pen's outline in pixels, for styles that have one."""


def paint(fine: Image.Image, style: str | None, figure: Image.Image) -> Image.Image:
    """The finished picture of 128 x 128.

    `fine`: the drawing at FINE times the size; `figure`: where figure and gear are (mode L, of the finished size).
    """
    if style is None:
        return fine.reduce(FINE)
    return _STYLES[style](fine, figure)


def _cartoon(fine: Image.Image, _figure: Image.Image) -> Image.Image:
    flat = ImageEnhance.Color(fine.reduce(FINE)).enhance(1.45)
    levels = Image.fromarray((np.asarray(flat).astype(np.float32) / 255 * 6).round().astype(np.uint8) * 42)
    return Image.blend(flat, levels, 0.75)


def _pixel_art(fine: Image.Image, _figure: Image.Image) -> Image.Image:
    # Blocks of 4 pixels: two along each side of a latent of an f8 VAE.
    small = ImageEnhance.Color(fine.resize((SIZE // 4, SIZE // 4), Image.Resampling.BOX)).enhance(1.35)
    small = small.filter(ImageFilter.UnsharpMask(1, 70, 0))
    levels = (np.asarray(small).astype(np.float32) / 255 * 7).round() * (255 / 7)
    return Image.fromarray(levels.astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.NEAREST)


@cache
def _noise(seed: int, cell: int, channels: int = 1) -> np.ndarray:
    """Smooth noise in [-1, 1], (128, 128, channels), with bumps of about `cell` pixels."""
    rng = np.random.default_rng(seed)
    count = SIZE // cell + 3
    planes = [
        np.asarray(
            Image.fromarray(rng.uniform(-1, 1, (count, count)).astype(np.float32)).resize(
                (SIZE + 2 * cell, SIZE + 2 * cell), Image.Resampling.BICUBIC
            )
        )[cell : cell + SIZE, cell : cell + SIZE]
        for _ in range(channels)
    ]
    return np.stack(planes, -1).clip(-1, 1)


def _displaced(picture: np.ndarray, amount: float, seed: int, cell: int) -> np.ndarray:
    shift = _noise(seed, cell, 2) * amount
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    y = (rows + shift[..., 0]).round().clip(0, SIZE - 1).astype(int)
    x = (columns + shift[..., 1]).round().clip(0, SIZE - 1).astype(int)
    moved: np.ndarray = picture[y, x]
    return moved


def _watercolor(fine: Image.Image, _figure: Image.Image) -> Image.Image:
    soft = ImageEnhance.Color(fine.reduce(FINE)).enhance(1.35).filter(ImageFilter.MedianFilter(3))
    wet = _displaced(np.asarray(soft).astype(np.float32), 2.0, 5, 11)
    blurred = np.asarray(Image.fromarray(wet.astype(np.uint8)).filter(ImageFilter.GaussianBlur(2.2))).astype(np.float32)
    # Pigment gathers at the edges of a wash.
    edge = np.abs(wet - blurred).max(-1, keepdims=True)
    paint = wet * 0.76 + 255 * 0.24 - edge * 0.6
    paint += 16 * _noise(7, 16) + 9 * _noise(8, 5)
    return Image.fromarray(paint.clip(0, 255).astype(np.uint8))


@cache
def _strokes(count: int, seed: int) -> np.ndarray:
    """Positions (two columns, in [0, 1)), and a brightness in [-1, 1], of brush strokes in painting order."""
    rng = np.random.default_rng(seed)
    side = int(count**0.5)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    spots = (grid + rng.uniform(0, 1, grid.shape)) / side
    strokes = np.concatenate([spots, rng.uniform(-1, 1, (len(spots), 1))], 1)
    return rng.permutation(strokes)


def _van_gogh(fine: Image.Image, figure: Image.Image) -> Image.Image:
    source = ImageEnhance.Color(fine.reduce(FINE)).enhance(1.4)
    broad = _brush(source, _strokes(30 * 30, 11), length=9, width=4.4, contrast=0.16)
    careful = _brush(source, _strokes(60 * 60, 12), length=3.5, width=1.9, contrast=0.1)
    return Image.composite(careful, broad, figure.filter(ImageFilter.MaxFilter(5)))


def _brush(source: Image.Image, strokes: np.ndarray, length: float, width: float, contrast: float) -> Image.Image:
    twice = 2
    canvas = source.resize((SIZE * twice, SIZE * twice))
    draw = ImageDraw.Draw(canvas)
    pixels = np.asarray(source).astype(np.float32)
    angles = _swirl()
    x, y = (strokes[:, :2] * SIZE).T
    rows, columns = y.astype(int), x.astype(int)
    # Blue varies less in brightness than red and green: lights are yellow and shadows blue.
    gain = 1 + contrast * strokes[:, 2:3] * np.array([1.0, 1.0, 0.75])
    inks = (pixels[rows, columns] * gain).clip(0, 255).astype(int)
    dx, dy = np.cos(angles[rows, columns]) * length / 2, np.sin(angles[rows, columns]) * length / 2
    ends = np.stack([x - dx, y - dy, x + dx, y + dy], 1) * twice
    for line, ink in zip(ends.tolist(), inks.tolist(), strict=True):
        draw.line(line, fill=tuple(ink), width=round(width * twice))
    return canvas.reduce(twice)


@cache
def _swirl() -> np.ndarray:
    """The directions of strokes, (128, 128) in radians: nearly level, turned by two large eddies in the sky."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    dx, dy = np.full((SIZE, SIZE), 1.0), 0.35 * np.sin(columns / 15)
    for x, y, reach in ((34, 30, 26), (98, 26, 24)):
        near = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * reach**2)) * 3
        dx = dx - near * (rows - y) / reach
        dy = dy + near * (columns - x) / reach
    return np.asarray(np.arctan2(dy, dx))


@cache
def _dots() -> Image.Image:
    """A screen of dots, one for each 8 x 8 pixels."""
    screen = Image.new("L", (SIZE * FINE, SIZE * FINE), 0)
    draw = ImageDraw.Draw(screen)
    step = 8 * FINE
    for row in range(SIZE // 8):
        for column in range(SIZE // 8):
            x, y, r = (column + 0.5) * step, (row + 0.5) * step, 2.3 * FINE
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    return screen.reduce(FINE)


def _pop_art(fine: Image.Image, figure: Image.Image) -> Image.Image:
    flat = ImageEnhance.Color(fine.reduce(FINE)).enhance(1.7)
    dots = ImageChops.multiply(_dots(), ImageChops.invert(figure))
    light = Image.blend(flat, Image.new("RGB", flat.size, (255, 250, 225)), 0.5)
    return Image.composite(light, flat, dots)


_STYLES: dict[str, Callable[[Image.Image, Image.Image], Image.Image]] = {
    "cartoon": _cartoon,
    "pixel art": _pixel_art,
    "watercolor": _watercolor,
    "van gogh": _van_gogh,
    "pop art": _pop_art,
}
