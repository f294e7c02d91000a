"""Guided DDIM sampling of edits, from the inverted latents of the clip."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tav.diffusion.denoising import denoise
from tav.diffusion.guidance import Denoiser, conditioned, guided, shared
from tav.diffusion.schedule import NoiseSchedule
from tav.errors import SettingsError
from tav.events import InvertStep, LessAtOnce, SampleStep
from tav.methods.memory_events import with_memory_events
from tav.nets.inflate import VideoUNet
from tav.settings import SampleSettings


def start_latents(inverted_latents: Tensor, settings: SampleSettings) -> Tensor:
    """The latents that sampling starts from (float32): inverted ones z, sqrt(1-S^2) z + S noise(seed), or noise alone.

    The noise is drawn on the CPU, so that a seed means the same video on every device.
    """
    noise = torch.randn(inverted_latents.shape, generator=torch.Generator().manual_seed(settings.seed))
    if not settings.inversion:
        return noise
    if settings.vary == 0:
        return inverted_latents.float()
    noise = noise.to(inverted_latents.device)
    varied: Tensor = (1 - settings.vary**2) ** 0.5 * inverted_latents.float() + settings.vary * noise
    return varied


def sample(
    video: VideoUNet,
    schedule: NoiseSchedule,
    latents: Tensor | InvertStep,
    contexts: Sequence[Tensor],
    negative_context: Tensor,
    guidance_scale: float,
    steps: int,
    *,
    done: int = 0,
    preview: bool = False,
) -> Iterator[SampleStep | LessAtOnce]:
    """Denoise `latents` ((1 c f h w), or the last step of `invert`) once for each prompt's context (1 n d).

    `steps` must be the inversion's, since inverted latents are on its last level: an InvertStep of another count is
    refused (SettingsError); bare latents are not checked. `done` continues a single prompt with latents after that
    many steps. The first unconditional prediction is computed once for all prompts, and text and unconditional one
    after the other, so a prompt's video does not depend on the other prompts.
    """
    if done and len(contexts) != 1:
        raise ValueError("only a single prompt can be continued")
    start = _start(latents, steps).to(video.device, torch.float32)
    denoisers = _denoisers(video, start, contexts, negative_context, guidance_scale)
    sampled = (
        SampleStep(index, one.step, one.total, one.latents, one.clean)
        for index, denoiser in enumerate(denoisers)
        for one in denoise(denoiser, schedule, start, steps, done=done, clean=preview)
    )
    yield from with_memory_events(video, sampled)


def _denoisers(
    video: VideoUNet, start: Tensor, contexts: Sequence[Tensor], negative_context: Tensor, guidance_scale: float
) -> Iterator[Denoiser]:
    unconditional = shared(conditioned(video.patiently, negative_context.to(video.device)), start)
    for context in contexts:
        text = conditioned(video.patiently, context.to(video.device))
        yield guided(text, unconditional, guidance_scale)


def _start(latents: Tensor | InvertStep, steps: int) -> Tensor:
    if isinstance(latents, Tensor):
        return latents
    if not latents.step == latents.total == steps:
        raise SettingsError(
            f"the latents are of step {latents.step} of a {latents.total}-step inversion, not of one of {steps} steps",
            "sample with the inversion's number of steps, from its last step",
        )
    return latents.latents
