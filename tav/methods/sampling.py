"""Guided DDIM sampling of edits, from the inverted latents of the clip."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tav.diffusion import ddim
from tav.diffusion.schedule import NoiseSchedule
from tav.errors import SettingsError
from tav.events import InvertStep, LessAtOnce, SampleStep
from tav.nets.inflate import VideoUNet
from tav.settings import SampleSettings


def start_latents(inverted_latents: Tensor, settings: SampleSettings) -> Tensor:
    """Where sampling starts (float32): the inverted latents, varied by sqrt(1-S^2) z + S noise(seed), or noise alone.

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

    Inverted latents live on the last level of their inversion, so `steps` must be the inversion's: an InvertStep of
    another count is refused (SettingsError), of bare latents the caller must know.

    prediction = uncond + guidance_scale * (text - uncond), Ho & Salimans, arXiv 2207.12598. The two branches run one
    after the other and the first unconditional one is shared, so a prompt's video does not depend on its neighbours.
    `done` continues the first prompt with latents after that many steps; the contexts after it would start there too,
    so it is for one prompt only.
    """
    if done and len(contexts) != 1:
        raise ValueError("only a single prompt can be continued")
    first = _start(latents, steps).to(video.device, torch.float32)
    negative_context = negative_context.to(video.device)
    first_uncond: Tensor | None = None  # what the first step has without text is the same for every prompt
    for index, context in enumerate(contexts):
        latents, context = first, context.to(video.device)
        for number, t in enumerate(schedule.timesteps(steps)[done:], start=done + 1):
            rows = video.folding.kernels.rows
            with torch.no_grad():
                prediction = video.patiently(latents, t, context).float()
                if guidance_scale != 1:
                    known = first_uncond if latents is first else None
                    uncond = video.patiently(latents, t, negative_context).float() if known is None else known
                    first_uncond = uncond if latents is first else first_uncond
                    prediction = uncond + guidance_scale * (prediction - uncond)
                clean = ddim.split(schedule, latents, prediction, schedule.alpha(t))[0] if preview else None
                latents = ddim.step(schedule, latents, prediction, t, schedule.spacing(steps))
            if video.folding.kernels.rows != rows:
                yield LessAtOnce(video.folding.kernels.rows)
            yield SampleStep(index, number, steps, latents, clean)


def _start(latents: Tensor | InvertStep, steps: int) -> Tensor:
    if isinstance(latents, Tensor):
        return latents
    if not latents.step == latents.total == steps:
        raise SettingsError(
            f"the latents are of step {latents.step} of a {latents.total}-step inversion, not of one of {steps} steps",
            "sample with the inversion's number of steps, from its last step",
        )
    return latents.latents
