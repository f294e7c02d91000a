"""The noise schedule of a base: the share of signal at each timestep, and what its network predicts there."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tav.errors import SettingsError
from tav.model_config import SchedulerConfig, read_config


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The levels of noise a base was trained on.

    alphas_cumprod: (num_train_timesteps,) float32, the share of signal `a` at each timestep.
    final_alpha_cumprod: the share before timestep 0, where inversion starts and sampling ends.
    """

    alphas_cumprod: Tensor
    final_alpha_cumprod: Tensor
    steps_offset: int
    prediction_type: str

    @classmethod
    def from_config(cls, config: dict[str, Any] | SchedulerConfig) -> "NoiseSchedule":
        """The schedule of a diffusers `scheduler_config.json`. Raises BaseModelError for one that DDIM cannot use."""
        known = read_config(SchedulerConfig, config, "scheduler_config.json")
        alphas_cumprod = torch.cumprod(1.0 - _betas(known), dim=0)
        final = torch.tensor(1.0) if known.set_alpha_to_one else alphas_cumprod[0]
        return cls(alphas_cumprod, final, known.steps_offset, known.prediction_type)

    def spacing(self, num_steps: int) -> int:
        """Number of training timesteps that one of `num_steps` steps covers."""
        return len(self.alphas_cumprod) // num_steps

    def timesteps(self, num_steps: int) -> list[int]:
        """The timesteps of `num_steps` steps, noisiest first ("leading" spacing): 50 steps are 981, 961, ..., 1."""
        fits = 0 < num_steps <= len(self.alphas_cumprod)
        last = (num_steps - 1) * self.spacing(num_steps) + self.steps_offset if fits else -1
        if not 0 <= last < len(self.alphas_cumprod):
            raise SettingsError(
                f"{num_steps} steps do not fit the {len(self.alphas_cumprod)} timesteps of this base",
                "use fewer steps (50 is usual)",
            )
        return [index * self.spacing(num_steps) + self.steps_offset for index in reversed(range(num_steps))]

    def alpha(self, t: int) -> Tensor:
        """Share of signal at `t`; a timestep below 0 is the clean end."""
        return self.alphas_cumprod[t] if t >= 0 else self.final_alpha_cumprod


def _betas(config: SchedulerConfig) -> Tensor:
    steps, start, end = config.num_train_timesteps, config.beta_start, config.beta_end
    if config.trained_betas is not None:
        return torch.tensor(config.trained_betas, dtype=torch.float32)
    if config.beta_schedule == "linear":
        return torch.linspace(start, end, steps, dtype=torch.float32)
    return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32) ** 2


def add_noise(schedule: NoiseSchedule, latents: Tensor, noise: Tensor, t: int) -> Tensor:
    """Latents at level `t`: sqrt(a) x0 + sqrt(1-a) noise."""
    a = schedule.alpha(t)
    return a**0.5 * latents + (1 - a) ** 0.5 * noise


def training_target(schedule: NoiseSchedule, latents: Tensor, noise: Tensor, t: int) -> Tensor:
    """The output that the network is trained for, at level `t`, clean `latents` and `noise`."""
    if schedule.prediction_type == "epsilon":
        return noise
    a = schedule.alpha(t)
    return a**0.5 * noise - (1 - a) ** 0.5 * latents
