"""DDIM (Song et al., arXiv 2010.02502) with eta 0: one step down, one step up.

All arithmetic is float32 whatever the network's precision. Networks that predict the noise ("epsilon") and networks
that predict the velocity v = sqrt(a) noise - sqrt(1-a) x0 (Salimans & Ho, arXiv 2202.00512) look alike to the callers.
"""

from torch import Tensor

from tav.diffusion.schedule import NoiseSchedule


def split(schedule: NoiseSchedule, latents: Tensor, prediction: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """(clean latents, noise) in noisy `latents` at signal share `a`, by the network's `prediction`; float32."""
    latents, prediction = latents.float(), prediction.float()
    if schedule.prediction_type == "epsilon":
        return (latents - (1 - a) ** 0.5 * prediction) / a**0.5, prediction
    return a**0.5 * latents - (1 - a) ** 0.5 * prediction, a**0.5 * prediction + (1 - a) ** 0.5 * latents


def step(schedule: NoiseSchedule, latents: Tensor, prediction: Tensor, t: int, spacing: int) -> Tensor:
    """Latents of level `t - spacing` from those of level `t` (DDIM, eq. 12 with sigma 0)."""
    a_prev = schedule.alpha(t - spacing)
    clean, noise = split(schedule, latents, prediction, schedule.alpha(t))
    return a_prev**0.5 * clean + (1 - a_prev) ** 0.5 * noise


def inverse_step(schedule: NoiseSchedule, latents: Tensor, prediction: Tensor, t: int, spacing: int) -> Tensor:
    """Latents of level `t` from those of level `t - spacing`, with the network's prediction at `t` on the lower ones.

    The prediction is split at the level of the latents, `t - spacing`, not at the timestep the network was given.
    """
    a = schedule.alpha(t)
    clean, noise = split(schedule, latents, prediction, schedule.alpha(t - spacing))
    return a**0.5 * clean + (1 - a) ** 0.5 * noise
