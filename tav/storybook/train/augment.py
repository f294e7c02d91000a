"""Augmentation: pictures made softer and slightly wrong, like generated ones, for networks that judge these."""

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT = 6
"""Pictures are shifted by at most this many pixels."""


def worn(pictures: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(augmented pictures (n 3 h w) in [-1, 1], their shifts (n, 2): x and y in pixels) from pictures (n 3 h w).

    A quarter of the pictures stays sharp; the others are blurred, or reduced and enlarged again, or get coloured
    blotches. All are shifted, change by a few per cent in light and colours, and get noise.
    """
    moved, shifts = _moved(pictures, generator)
    sharp, blurred, coarse, blotched = moved.tensor_split(4)
    soft = [sharp, _blurred(blurred, generator), _coarse(coarse, generator), _blotched(blotched, generator)]
    return _noisy(_relit(torch.cat(soft), generator), generator), shifts


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _moved(pictures: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(pictures, each shifted by whole pixels with its edges repeated, and the shifts)."""
    height, width = pictures.shape[2:]
    shifts = torch.randint(-SHIFT, SHIFT + 1, (len(pictures), 2), generator=generator)
    wide = F.pad(pictures, (SHIFT,) * 4, mode="replicate")
    starts = (SHIFT - shifts).tolist()
    cut = [one[:, y : y + height, x : x + width] for one, (x, y) in zip(wide, starts, strict=True)]
    return torch.stack(cut), shifts.float()


def _blurred(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures blurred by one Gaussian of 0.4 to 1.6 pixels."""
    sigma = float(_uniform(0.4, 1.6, (), generator))
    reach = torch.arange(-4, 5)
    bell = torch.exp(-(reach**2) / (2 * sigma**2))
    kernel = (bell / bell.sum()).expand(3, 1, 1, -1)
    rows = F.conv2d(F.pad(pictures, (4, 4, 0, 0), mode="replicate"), kernel, groups=3)
    return F.conv2d(F.pad(rows, (0, 0, 4, 4), mode="replicate"), kernel.transpose(2, 3), groups=3)


def _coarse(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures reduced to between 0.5 and 0.9 of their size, and enlarged again."""
    size = pictures.shape[2:]
    factor = float(_uniform(0.5, 0.9, (), generator))
    small = F.interpolate(pictures, [round(side * factor) for side in size], mode="bilinear", antialias=True)
    return F.interpolate(small, size, mode="bilinear")


def _blotched(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures with coloured blotches of about 8 pixels, as an undertrained network makes them."""
    count, _, height, width = pictures.shape
    strength = _uniform(0, 0.16, (count, 1, 1, 1), generator)
    coarse = torch.randn((count, 3, height // 8, width // 8), generator=generator)
    return pictures + strength * F.interpolate(coarse, (height, width), mode="bilinear")


def _relit(pictures: Tensor, generator: torch.Generator) -> Tensor:
    count = len(pictures)
    grey = pictures.mean(1, keepdim=True)
    saturation = _uniform(0.8, 1.15, (count, 1, 1, 1), generator)
    gain = _uniform(0.88, 1.1, (count, 1, 1, 1), generator) * _uniform(0.96, 1.04, (count, 3, 1, 1), generator)
    return (grey + (pictures - grey) * saturation) * gain + _uniform(-0.07, 0.07, (count, 3, 1, 1), generator)


def _noisy(pictures: Tensor, generator: torch.Generator) -> Tensor:
    strength = _uniform(0, 0.05, (len(pictures), 1, 1, 1), generator)
    return (pictures + strength * torch.randn(pictures.shape, generator=generator)).clamp(-1, 1)
