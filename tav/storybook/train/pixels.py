"""Conversion of pictures of 0..255 to the networks' input, and back."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def as_input(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures (n h w 3) of 0..255 as (n 3 h w) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def as_pictures(pixels: Tensor) -> NDArray[np.uint8]:
    """The inverse of `as_input`, rounded; from any device and precision."""
    levels = ((pixels.float() + 1) * 127.5).round().clamp(0, 255).byte()
    pictures: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).cpu().numpy()
    return pictures
