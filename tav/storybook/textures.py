"""Random pictures with the statistics of photographs, so that the VAE can encode real footage too.

Dead leaves (discs and polygons that cover each other, radii by a power law), each with a shaded 1/f texture: natural
pictures have edges at all scales and spectra that fall as 1/f (Lee, Mumford and Huang, 2001).
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tav.storybook.world.pen import SIZE


def random_texture(rng: np.random.Generator) -> Image.Image:
    """A random RGB picture of 128 x 128 pixels."""
    background = _cloud(rng, _colour(rng), contrast=rng.uniform(5, 60), roughness=rng.uniform(0.8, 1.8))
    picture = Image.fromarray(background)
    for _ in range(int(rng.choice((0, 8, 30, 80)))):
        _leaf(rng, picture)
    graded = np.asarray(picture.filter(ImageFilter.GaussianBlur(float(rng.choice((0.0, 0.5, 1.0)))))).astype(np.float32)
    graded *= _slope(rng) * rng.uniform(0.6, 1.2)
    graded += rng.normal(0, rng.choice((0.0, 2.0, 5.0)), (SIZE, SIZE, 1))
    return Image.fromarray(graded.clip(0, 255).astype(np.uint8))


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A random colour: mostly greyish, sometimes saturated, as in photographs."""
    spread = float(rng.choice((8, 30, 80)))
    return np.asarray(rng.uniform(0, 255) + rng.normal(0, spread, 3)).clip(0, 255)


def _cloud(rng: np.random.Generator, colour: np.ndarray, contrast: float, roughness: float) -> np.ndarray:
    """1/f noise around a colour: amplitudes fall as frequency to the power of -roughness."""
    fy, fx = np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None]
    # Surfaces such as water, snow and fields are often stretched in one direction.
    stretch = float(rng.choice((1.0, 1.0, 3.0)))
    falloff = np.maximum(np.hypot(fy, fx * stretch), 1 / SIZE) ** -roughness
    planes = []
    shared = rng.normal(size=(2, *falloff.shape))
    for _ in range(3):
        own = shared + 0.25 * rng.normal(size=shared.shape)
        plane = np.fft.irfft2((own[0] + 1j * own[1]) * falloff, (SIZE, SIZE))
        planes.append(plane / (plane.std() + 1e-6))
    return (colour + contrast * np.stack(planes, -1)).clip(0, 255).astype(np.uint8)


def _leaf(rng: np.random.Generator, picture: Image.Image) -> None:
    radius = float(np.clip(3 / rng.uniform(0.03, 1.0), 3, 60))
    x, y = rng.uniform(-10, SIZE + 10, 2)
    corners = int(rng.choice((3, 4, 5, 32)))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) if corners < 32 else np.linspace(0, 2 * np.pi, 32)
    squeeze = rng.uniform(0.3, 1.0)
    points = [(x + radius * np.cos(a), y + radius * squeeze * np.sin(a)) for a in angles]
    mask = Image.new("L", picture.size, 0)
    ImageDraw.Draw(mask).polygon(points, fill=255)
    if rng.random() < 0.6:
        fill = Image.new("RGB", picture.size, tuple(int(c) for c in _colour(rng)))
    else:
        fill = Image.fromarray(_cloud(rng, _colour(rng), rng.uniform(5, 50), rng.uniform(0.6, 1.6)))
    picture.paste(fill, (0, 0), mask)


def _slope(rng: np.random.Generator) -> np.ndarray:
    """Factors of a brightness that falls off across the picture, (128, 128, 1)."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    dy, dx = rng.normal(0, 0.3, 2)
    return np.expand_dims(1 + dy * rows + dx * columns, -1)
