"""Latents as small pictures, at almost no cost: a linear map from latents to colours, fitted to the clip."""

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d


def fit(latents: Tensor, frames: NDArray[np.uint8]) -> Tensor:
    """The matrix (c + 1, 3) that maps latents (1 c f h w), with a constant 1, to the colours of `frames` (f H W 3).

    Least squares over all pixels of the clip's own latents and its frames averaged down to (h w).
    """
    pixels = rearrange(torch.from_numpy(np.ascontiguousarray(frames)).float(), "f h w c -> f c h w")
    small = adaptive_avg_pool2d(pixels, (latents.shape[-2], latents.shape[-1]))
    colours = rearrange(small, "f c h w -> (f h w) c").double()
    matrix: Tensor = torch.linalg.lstsq(_rows(latents), colours).solution
    return matrix


def pictures(latents: Tensor, matrix: Tensor) -> NDArray[np.uint8]:
    """Pictures (f h w 3) of latents (1 c f h w), by the matrix of `fit`."""
    _, _, f, h, w = latents.shape
    colours = (_rows(latents) @ matrix).round().clamp(0, 255).to(torch.uint8)
    found: NDArray[np.uint8] = rearrange(colours, "(f h w) c -> f h w c", f=f, h=h, w=w).numpy()
    return found


def _rows(latents: Tensor) -> Tensor:
    values = rearrange(latents.detach().cpu().double(), "1 c f h w -> (f h w) c")
    return torch.cat([values, torch.ones(len(values), 1, dtype=torch.float64)], dim=1)
