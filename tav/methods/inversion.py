"""DDIM inversion: walk a clip's clean latents up to noise, so that sampling from there gives the clip back."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tav.diffusion import ddim
from tav.diffusion.schedule import NoiseSchedule
from tav.events import InvertStep, LessAtOnce
from tav.nets.inflate import VideoUNet


def invert(
    video: VideoUNet, schedule: NoiseSchedule, latents: Tensor, context: Tensor, steps: int, *, done: int = 0
) -> Iterator[InvertStep | LessAtOnce]:
    """Yield the latents (1 c f h w, float32) after each of `steps` steps; the last ones are the inverted latents.

    Starts from the clip's posterior mean, the tuned network and the empty prompt's context (1 n d), without guidance
    (method: Tune-A-Video; the step is DDIM eq. 12 read backwards). `done` continues with latents after that many steps.
    """
    latents, context = latents.to(video.device, torch.float32), context.to(video.device)
    spacing = schedule.spacing(steps)
    for number, t in enumerate(reversed(schedule.timesteps(steps)), start=1):
        if number <= done:
            continue
        rows = video.folding.kernels.rows
        prediction = video.patiently(latents, t, context)
        latents = ddim.inverse_step(schedule, latents, prediction, t, spacing)
        if video.folding.kernels.rows != rows:
            yield LessAtOnce(video.folding.kernels.rows)
        yield InvertStep(number, steps, latents)
