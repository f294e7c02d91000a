"""Single pictures from captions by a base's 2-D network, without any clip."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from tav.bases import Base, decode_latents, encode_frames, encode_text, to_uint8
from tav.diffusion.denoising import denoise
from tav.diffusion.guidance import combine

T = TypeVar("T")


def generate(
    base: Base, captions: Sequence[str], seeds: Sequence[int], guidance_scale: float, steps: int, batch: int = 20
) -> Iterator[NDArray[np.uint8]]:
    """Yield pictures (n h w 3) of the base's native size, a batch at a time, by DDIM and the 2-D network.

    A picture depends on its caption and its seed alone, up to rounding, not on its batch.
    """
    empty = encode_text(base.tokenizer, base.text_encoder, [""])
    for start in range(0, len(captions), batch):
        context = encode_text(base.tokenizer, base.text_encoder, list(captions[start : start + batch]))
        latents = torch.cat([_noise(base, seed) for seed in seeds[start : start + batch]])
        latents = denoised(base, latents, context, empty.expand_as(context), guidance_scale, steps)
        yield decoded(base.vae, latents)


def _noise(base: Base, seed: int) -> Tensor:
    width, height = base.parts.native_size
    factor = base.parts.vae_factor
    shape = 1, base.parts.latent_channels, height // factor, width // factor
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def denoised(base: Base, latents: Tensor, context: Tensor, empty: Tensor, guidance_scale: float, steps: int) -> Tensor:
    """Clean latents (n c h w) from noise, under contexts (n d e), guided against the empty prompt's (n d e)."""
    both = torch.cat([empty, context])

    def denoiser(latents: Tensor, t: int) -> Tensor:
        unconditional, text = base.unet(latents.repeat(2, 1, 1, 1), t, both).sample.float().chunk(2)
        return combine(text, unconditional, guidance_scale)

    *_, last = denoise(denoiser, base.schedule, latents, steps)
    return last.latents


def decoded(vae: Any, latents: Tensor) -> NDArray[np.uint8]:
    """Scaled latents (n c h w) as pictures (n H W 3) of 0..255."""
    pictures: NDArray[np.uint8] = to_uint8(returned(decode_latents(vae, rearrange(latents, "n c h w -> 1 c n h w"))))
    return pictures


def coded(vae: Any, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (n h w 3) after the VAE has encoded them (posterior mean) and decoded them again."""
    again: NDArray[np.uint8] = to_uint8(returned(decode_latents(vae, returned(encode_frames(vae, pictures)).mean)))
    return again


def returned(events: Generator[Any, None, T]) -> T:
    """The return value of a generator of events, which is run to its end."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            value: T = end.value
            return value
