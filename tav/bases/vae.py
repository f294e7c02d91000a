"""Encoding frames to latents and decoding them, a few at a time. Latents are scaled by the VAE's own factor."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from tav.compute.memory import out_of_memory
from tav.errors import DeviceMemoryError, TavError
from tav.events import VaeStep


@dataclass(frozen=True, eq=False)
class EncodedClip:
    """The VAE's posterior over a clip's latents: mean and std, each (1 c f h w) float32 on the CPU, scaled."""

    mean: Tensor
    std: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """The posterior's sample for standard normal `noise` (1 c f h w)."""
        return self.mean + self.std * noise


def encode_frames(vae: Any, frames: NDArray[np.uint8], chunk: int = 4) -> Generator[VaeStep, None, EncodedClip]:
    """Encode frames (f h w 3) of 0..255, `chunk` at a time; h and w are multiples of the VAE's factor.

    Raises TavError if the latents are not finite.
    """
    means, stds = [], []
    for part in _chunks(len(frames), chunk):
        given = torch.from_numpy(np.ascontiguousarray(frames[part]))
        mean, std = _in_halves(vae, lambda some: _posterior(vae, some), given)
        means.append(mean)
        stds.append(std)
        yield VaeStep(part.stop, len(frames))
    scale = vae.config.scaling_factor
    return EncodedClip(_joined(means) * scale, _joined(stds) * scale)


def decode_latents(vae: Any, latents: Tensor, chunk: int = 4) -> Generator[VaeStep, None, Tensor]:
    """Decode scaled latents (1 c f h w), `chunk` frames at a time, to pixels (1 3 f H W) in [0, 1], float32, CPU.

    Raises TavError if the pixels are not finite.
    """
    frames = rearrange(latents, "1 c f h w -> f c h w") / vae.config.scaling_factor
    pixels: list[Tensor] = []
    for part in _chunks(len(frames), chunk):
        pixels += _in_halves(vae, lambda some: (_pixels(vae, some),), frames[part])
        yield VaeStep(part.stop, len(frames))
    return _joined(pixels)


def to_uint8(pixels: Tensor) -> NDArray[np.uint8]:
    """Pixels (1 3 f h w) in [0, 1] as frames (f h w 3) of 0..255, rounded."""
    frames = rearrange(pixels, "1 c f h w -> f h w c")
    levels: NDArray[np.uint8] = (frames * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return levels


def _chunks(total: int, chunk: int) -> Iterator[slice]:
    return (slice(start, min(start + chunk, total)) for start in range(0, total, chunk))


def _in_halves(vae: Any, run: Callable[[Tensor], tuple[Tensor, ...]], frames: Tensor) -> tuple[Tensor, ...]:
    """`run` of all frames; if memory runs out, of one half after the other."""
    with out_of_memory(vae.device) as failed:
        done = run(frames)
    if not failed:
        return done
    if len(frames) == 1:
        raise DeviceMemoryError(
            f"out of memory on {vae.device} with one frame in the VAE: {str(failed[0]).splitlines()[0]}",
            "take a smaller size",
        )
    halves = [_in_halves(vae, run, half) for half in torch.split(frames, len(frames) // 2)]
    return tuple(torch.cat(parts) for parts in zip(*halves, strict=True))


def _joined(parts: list[Tensor]) -> Tensor:
    return rearrange(torch.cat(parts), "f c h w -> 1 c f h w")


@torch.no_grad()
def _posterior(vae: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Unscaled (mean, std) of frames (f h w 3)."""
    pixels = rearrange(frames.to(vae.device).float() / 127.5 - 1, "f h w c -> f c h w")
    posterior = vae.encode(pixels.to(vae.dtype)).latent_dist
    mean, std = posterior.mean.float().cpu(), torch.exp(0.5 * posterior.logvar.float()).cpu()
    return _finite(mean, "latents"), _finite(std, "latents")


@torch.no_grad()
def _pixels(vae: Any, frames: Tensor) -> Tensor:
    decoded: Tensor = vae.decode(frames.to(vae.device, vae.dtype)).sample
    return (_finite(decoded.float(), "pictures") / 2 + 0.5).clamp(0, 1).cpu()


def _finite(values: Tensor, what: str) -> Tensor:
    # Clamping keeps NaN, which would become black pixels.
    if not values.isfinite().all():
        raise TavError(f"the VAE's {what} are not finite numbers", "try --precision fp32")
    return values
