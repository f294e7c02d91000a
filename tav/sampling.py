"""Guided DDIM sampling of edits, from the inverted latents of the clip."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tav import ddim
from tav.events import SampleStep
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
    schedule: ddim.NoiseSchedule,
    latents: Tensor,
    contexts: Sequence[Tensor],
    negative_context: Tensor,
    guidance_scale: float,
    steps: int,
    *,
    done: int = 0,
    preview: bool = False,
) -> Iterator[SampleStep]:
    """Denoise `latents` (1 c f h w) once for each prompt's context (1 n d); `steps` must be the inversion's.

    prediction = uncond + guidance_scale * (text - uncond), Ho & Salimans, arXiv 2207.12598. The two branches run one
    after the other and the first unconditional one is shared, so a prompt's video does not depend on its neighbours.
    `done` continues the first prompt with latents after that many steps; the contexts after it would start there too,
    so it is for one prompt only.
    """
    if done and len(contexts) != 1:
        raise ValueError("only a single prompt can be continued")
    start = latents.to(video.device, torch.float32)
    negative_context = negative_context.to(video.device)
    shared: Tensor | None = None
    for index, context in enumerate(contexts):
        latents, context = start, context.to(video.device)
        for number, t in enumerate(schedule.timesteps(steps), start=1):
            if number <= done:
                continue
            with torch.no_grad():
                prediction = video(latents, t, context).float()
                if guidance_scale != 1:
                    first = number == done + 1
                    uncond = shared if first and shared is not None else video(latents, t, negative_context).float()
                    shared = uncond if first else shared
                    prediction = uncond + guidance_scale * (prediction - uncond)
                clean = ddim.split(schedule, latents, prediction, schedule.alpha(t))[0] if preview else None
                latents = ddim.step(schedule, latents, prediction, t, schedule.spacing(steps))
            yield SampleStep(index, number, steps, latents, clean)
