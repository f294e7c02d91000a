"""The loop of every method: one prediction and one solver step for each timestep."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tav.diffusion import ddim
from tav.diffusion.guidance import Denoiser
from tav.diffusion.schedule import NoiseSchedule

Solver = Callable[[NoiseSchedule, Tensor, Tensor, int, int], Tensor]
"""`solver(schedule, latents, prediction, t, spacing)` is the latents of the next level; `ddim.step` is one."""


@dataclass(frozen=True)
class LatentStep:
    """The latents after `step` of `total` solver steps.

    `clean` is the clean latents that the step's prediction expects, where they were asked for.
    """

    step: int
    total: int
    latents: Tensor
    clean: Tensor | None = None


def denoise(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    latents: Tensor,
    steps: int,
    solver: Solver = ddim.step,
    done: int = 0,
    *,
    clean: bool = False,
) -> Iterator[LatentStep]:
    """Yield the latents after each of `steps` steps from noise to clean latents, without gradients.

    `done` continues with latents after that many steps.
    """
    return trajectory(denoiser, schedule, latents, schedule.timesteps(steps), solver, done, clean=clean)


def trajectory(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    latents: Tensor,
    timesteps: Sequence[int],
    solver: Solver,
    done: int = 0,
    *,
    clean: bool = False,
) -> Iterator[LatentStep]:
    """Yield the latents after the solver's step at each of all `timesteps`, which may go up or down; see `denoise`.

    `clean` is for timesteps that go down, where the latents are on the level of the timestep.
    """
    total = len(timesteps)
    for number, t in enumerate(timesteps[done:], start=done + 1):
        with torch.no_grad():
            prediction = denoiser(latents, t)
            expected = ddim.split(schedule, latents, prediction, schedule.alpha(t))[0] if clean else None
            latents = solver(schedule, latents, prediction, t, schedule.spacing(total))
        yield LatentStep(number, total, latents, expected)
