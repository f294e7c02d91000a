"""DDIM inversion: from a clip's clean latents up to noise, so that sampling from that noise gives the clip back."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tav.diffusion import ddim
from tav.diffusion.denoising import trajectory
from tav.diffusion.guidance import conditioned
from tav.diffusion.schedule import NoiseSchedule
from tav.events import InvertStep, LessAtOnce
from tav.methods.memory_events import with_memory_events
from tav.nets.inflate import VideoUNet


def invert(
    video: VideoUNet, schedule: NoiseSchedule, latents: Tensor, context: Tensor, steps: int, *, done: int = 0
) -> Iterator[InvertStep | LessAtOnce]:
    """Yield the latents (1 c f h w, float32) after each of `steps` steps; the last ones are the inverted latents.

    Starts from the clip's posterior mean, the tuned network and the empty prompt's context (1 n d), without guidance
    (method: Tune-A-Video; the step is DDIM eq. 12 read backwards). `done` continues with latents after that many steps.
    """
    denoiser = conditioned(video.patiently, context.to(video.device))
    latents, upwards = latents.to(video.device, torch.float32), schedule.timesteps(steps)[::-1]
    walk = trajectory(denoiser, schedule, latents, upwards, ddim.inverse_step, done)
    yield from with_memory_events(video, (InvertStep(one.step, one.total, one.latents) for one in walk))
