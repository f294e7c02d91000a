"""One-shot tuning (Tune-A-Video, arXiv 2212.11565): train the inflated network on the motion of one clip.

AdamW on the attention queries and the temporal layers; every step sees the whole clip at one random timestep.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tav.compute.memory import free_cached, out_of_memory
from tav.diffusion.schedule import NoiseSchedule, add_noise, training_target
from tav.errors import CheckpointError, DeviceMemoryError, TavError
from tav.events import NotLearning, Recomputing, TuneStep
from tav.nets.inflate import VideoUNet, tuned_parameters
from tav.nets.recompute import Rung, next_rung, recomputing
from tav.settings import TuneSettings

if TYPE_CHECKING:
    from tav.bases import EncodedClip

# Within this many steps every tuned parameter must have a gradient and be moved; the temporal q/k/v get their first one
# at step 2, because the layer's output starts at zero.
CHECK_AT = 5
# The mean over a clip's latents makes gradients of 1e-6, which float16 cannot hold; a power of two costs no accuracy.
FP16_LOSS_SCALE = 2.0**16
# AdamW's state of each parameter.
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Tuning:
    """A tuning run: its parameters, optimiser, random state and step count. All of it is in `state()`.

    `rung` is what the backward pass recomputes; it changes no result. When memory runs out, the next rung is tried.
    """

    def __init__(self, video: VideoUNet, settings: TuneSettings, rung: Rung | None = None) -> None:
        self.video = video
        self.settings = settings
        self.rung: Rung = rung or ("none" if settings.recompute == "auto" else settings.recompute)
        self.step = 0
        self.parameters = tuned_parameters(video, settings.scope)
        self.optimizer = torch.optim.AdamW(
            list(self.parameters.values()), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        # Drawn on the CPU, so that a seed means the same numbers on every device.
        self.generator = torch.Generator().manual_seed(settings.seed)

    def state(self) -> dict[str, Tensor]:
        """The tensors, by name, from which a run continues exactly; not copies, so save them before the next step."""
        state = {"step": torch.tensor(self.step), "random_state": self.generator.get_state()}
        for name, parameter in self.parameters.items():
            state[f"parameter/{name}"] = parameter.detach()
            for key, value in self.optimizer.state.get(parameter, {}).items():
                state[f"{key}/{name}"] = value
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Continue from `state()` of a run with the same settings. Raises CheckpointError for another network's."""
        if not self._fits(state):
            raise CheckpointError("the resume state belongs to another network", "`tav tune --fresh` starts again")
        moments: dict[int, Any] = {}
        for index, (name, parameter) in enumerate(self.parameters.items()):
            with torch.no_grad():
                parameter.copy_(state[f"parameter/{name}"])
            if f"exp_avg/{name}" in state:
                moments[index] = {key: state[f"{key}/{name}"] for key in _MOMENTS}
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.generator.set_state(state["random_state"].cpu())
        self.step = int(state["step"])

    def _fits(self, state: dict[str, Tensor]) -> bool:
        """Whether `state` has all tensors of this network; AdamW has none for a parameter that never had a gradient."""
        if not {"step", "random_state"} <= state.keys():
            return False
        for name, parameter in self.parameters.items():
            moments = [key for key in _MOMENTS if f"{key}/{name}" in state]
            if moments not in ([], list(_MOMENTS)):
                return False
            if getattr(state.get(f"parameter/{name}"), "shape", None) != parameter.shape:
                return False
        return True


def training_loss(
    video: VideoUNet, schedule: NoiseSchedule, latents: Tensor, noise: Tensor, t: int, context: Tensor
) -> Tensor:
    """Mean squared error in float32 of the prediction for `latents` (1 c f h w) noised to timestep `t`."""
    noisy = add_noise(schedule, latents, noise, t)
    prediction = video(noisy, t, context)
    return F.mse_loss(prediction.float(), training_target(schedule, latents, noise, t).float())


def gradients(tuning: Tuning, loss: Tensor, scale: float = 1.0) -> None:
    """Set the tuned parameters' gradients to those of `loss`; the backward pass runs on `scale` times the loss."""
    tuning.optimizer.zero_grad(set_to_none=True)
    (loss * scale).backward()  # type: ignore[no-untyped-call]
    if scale != 1:
        for parameter in tuning.parameters.values():
            if parameter.grad is not None:
                parameter.grad /= scale


def optimise(tuning: Tuning) -> Tensor:
    """Make one AdamW step with clipped gradients and return their norm before clipping.

    Nothing is changed if a gradient is not finite.
    """
    norm = nn.utils.clip_grad_norm_(tuning.parameters.values(), tuning.settings.max_grad_norm)
    if norm.isfinite():
        tuning.optimizer.step()
        tuning.step += 1
    return norm


def tune(
    tuning: Tuning, clip: "EncodedClip", context: Tensor, schedule: NoiseSchedule
) -> Iterator[TuneStep | NotLearning | Recomputing]:
    """Run `tuning` up to its settings' steps on a clip (mean and std (1 c f h w)) and its caption's context (1 n d).

    At every yield `tuning.state()` is complete: a new run that loads it continues exactly. Closing the generator leaves
    the run at that step.
    """
    device = tuning.video.device
    mean, std, context = clip.mean.to(device), clip.std.to(device), context.to(device)
    check: _LearningCheck | None = _LearningCheck(tuning, frames=mean.shape[2])
    with learning(tuning):
        while tuning.step < tuning.settings.steps:
            before, rung = check.before() if check else {}, tuning.rung
            with _restored_on_failure(tuning):
                posterior_noise, noise, t = _draw(tuning, mean, len(schedule.alphas_cumprod))
                loss, norm = _step(tuning, schedule, mean + std * posterior_noise, noise, t, context)
            if tuning.rung != rung:
                yield Recomputing(tuning.step, tuning.rung)
            yield TuneStep(tuning.step, tuning.settings.steps, loss.item(), norm.item())
            if check and check.finished(before):
                if failure := check.failure():
                    yield failure
                check = None


@contextmanager
def _restored_on_failure(tuning: Tuning) -> Iterator[None]:
    """Restore the random state if the step fails, so that the run is as it was before the step."""
    state = tuning.generator.get_state()
    try:
        yield
    except BaseException:
        tuning.generator.set_state(state)
        raise


def _step(
    tuning: Tuning, schedule: NoiseSchedule, latents: Tensor, noise: Tensor, t: int, context: Tensor
) -> tuple[Tensor, Tensor]:
    """Optimise once and return (loss, gradient norm). In float16 the loss scale goes down until the norm is finite.

    Every step starts from the same scale, so the scale is not part of a run's state. Raises TavError if no scale helps.
    """
    scale = FP16_LOSS_SCALE if tuning.video.dtype == torch.float16 else 1.0
    while True:
        loss, norm = _try_step(tuning, schedule, latents, noise, t, context, scale)
        if norm.isfinite():
            return loss, norm
        if scale <= 1:
            number = tuning.step + 1
            raise TavError(f"the gradient of step {number} is not finite", "try a lower --lr, or --precision fp32")
        scale /= 4


def _try_step(
    tuning: Tuning,
    schedule: NoiseSchedule,
    latents: Tensor,
    noise: Tensor,
    t: int,
    context: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Compute gradients on the run's rung, and optimise. If memory runs out, the run goes on with the next rung."""
    while True:
        with out_of_memory(tuning.video.device) as failed, recomputing(tuning.video, tuning.rung):
            loss = training_loss(tuning.video, schedule, latents, noise, t, context)
            gradients(tuning, loss, scale)
        if not failed:
            return loss.detach(), optimise(tuning)
        tuning.optimizer.zero_grad(set_to_none=True)
        free_cached(tuning.video.device)
        lower = next_rung(tuning.rung)
        if lower is None:
            raise DeviceMemoryError(
                f"out of memory on {tuning.video.device} in step {tuning.step + 1}, even with everything recomputed",
                "take fewer frames or a smaller size",
            )
        tuning.rung = lower


def _draw(tuning: Tuning, like: Tensor, num_timesteps: int) -> tuple[Tensor, Tensor, int]:
    """Noise for the posterior sample, noise for each frame, and one timestep for the whole clip."""
    posterior_noise, noise = (torch.randn(like.shape, generator=tuning.generator).to(like.device) for _ in range(2))
    return posterior_noise, noise, int(torch.randint(num_timesteps, (), generator=tuning.generator))


@contextmanager
def learning(tuning: Tuning) -> Iterator[None]:
    """Let the run's parameters take gradients inside the context."""
    for parameter in tuning.parameters.values():
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in tuning.parameters.values():
            parameter.requires_grad_(False)
            parameter.grad = None


class _LearningCheck:
    """Checks in the first steps that every tuned parameter has a gradient and moves by more than weight decay."""

    def __init__(self, tuning: Tuning, frames: int) -> None:
        self.tuning = tuning
        # The softmax over one frame is constant: its queries and keys cannot learn.
        cannot = {name for name, tuned in tuning.video.tuned.items() if tuned.over_frames} if frames == 1 else set()
        self.without_gradient = set(tuning.parameters) - cannot
        self.not_moved = set(self.without_gradient)
        self.seen = 0

    def before(self) -> dict[str, Tensor]:
        """Copies of the parameters that have not yet been seen to move by more than weight decay."""
        return {name: self.tuning.parameters[name].detach().clone() for name in self.not_moved}

    def finished(self, before: dict[str, Tensor]) -> bool:
        """Record the step just done; True when every parameter has passed, or the steps to check are over."""
        settings = self.tuning.settings
        decay = 1 - settings.learning_rate * settings.weight_decay
        self.seen += 1
        for name, value in before.items():
            parameter = self.tuning.parameters[name]
            if parameter.grad is None:
                continue
            if parameter.grad.count_nonzero():
                self.without_gradient.discard(name)
            if (parameter.detach() - value * decay).abs().max() > 0.01 * settings.learning_rate:
                self.not_moved.discard(name)
        over = self.seen >= CHECK_AT or self.tuning.step >= settings.steps
        return over or not (self.without_gradient | self.not_moved)

    def failure(self) -> NotLearning | None:
        """The parameters that did not learn; None if all did, or if too few steps (under three) were seen."""
        if not (self.without_gradient | self.not_moved) or self.seen < 3:
            return None
        return NotLearning(self.tuning.step, tuple(sorted(self.without_gradient)), tuple(sorted(self.not_moved)))
