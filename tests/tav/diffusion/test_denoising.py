"""The loop ends where exact predictions lead, goes on where it stopped, and takes any solver."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tav.diffusion import ddim
from tav.diffusion.denoising import denoise, trajectory
from tav.diffusion.guidance import Denoiser
from tav.diffusion.schedule import NoiseSchedule, add_noise, training_target

PREDICTIONS = ("epsilon", "v_prediction")
seeds, step_counts = st.integers(0, 2**32), st.sampled_from((1, 2, 7, 50))
both_kinds = st.sampled_from(PREDICTIONS)


def schedule(prediction_type: str = "epsilon") -> NoiseSchedule:
    """A schedule whose clean end has no noise."""
    return NoiseSchedule.from_config({"prediction_type": prediction_type, "set_alpha_to_one": True})


def clip(seed: int) -> Tensor:
    return torch.randn((1, 4, 2, 3, 3), generator=torch.Generator().manual_seed(seed))


def certain(levels: NoiseSchedule, clean: Tensor) -> Denoiser:
    """The perfect denoiser of data that is always `clean`."""

    def predict(latents: Tensor, t: int) -> Tensor:
        a = levels.alpha(t)
        return training_target(levels, clean, (latents - a**0.5 * clean) / (1 - a) ** 0.5, t)

    return predict


def smooth(latents: Tensor, t: int) -> Tensor:
    """A denoiser without a closed form."""
    return torch.tanh(latents) + t / 1000


@given(seeds, step_counts, both_kinds)
def test_a_perfect_denoiser_ends_at_the_clean_latents(seed: int, steps: int, prediction_type: str) -> None:
    levels, clean = schedule(prediction_type), clip(seed)
    start = add_noise(levels, clean, clip(seed + 1), levels.timesteps(steps)[0])
    events = list(denoise(certain(levels, clean), levels, start, steps, clean=True))
    assert [(event.step, event.total) for event in events] == [(step, steps) for step in range(1, steps + 1)]
    torch.testing.assert_close(events[-1].latents, clean, atol=1e-3, rtol=1e-3)
    for event in events:
        torch.testing.assert_close(event.clean, clean, atol=1e-3, rtol=1e-3)


@given(seeds, step_counts, both_kinds)
def test_down_after_up_gives_the_start_back(seed: int, steps: int, prediction_type: str) -> None:
    levels, clean, noise = schedule(prediction_type), clip(seed), clip(seed + 1)
    timesteps, spacing = levels.timesteps(steps), levels.spacing(steps)
    exact = {t: training_target(levels, clean, noise, t) for t in (*timesteps, *(t - spacing for t in timesteps))}
    upwards = trajectory(lambda _, t: exact[t - spacing], levels, clean, timesteps[::-1], ddim.inverse_step)
    *_, top = upwards
    torch.testing.assert_close(top.latents, add_noise(levels, clean, noise, timesteps[0]), atol=1e-4, rtol=1e-4)
    *_, back = denoise(lambda _, t: exact[t], levels, top.latents, steps)
    torch.testing.assert_close(back.latents, clean, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("solver", [ddim.step, ddim.inverse_step])
def test_what_is_done_is_left_out_of_the_same_walk(solver: object) -> None:
    levels, steps = schedule(), 5
    timesteps = levels.timesteps(steps) if solver is ddim.step else levels.timesteps(steps)[::-1]
    whole = [event.latents for event in trajectory(smooth, levels, clip(0), timesteps, solver)]
    for done in range(steps + 1):
        rest = list(trajectory(smooth, levels, whole[done - 1] if done else clip(0), timesteps, solver, done))
        assert [(event.step, event.total) for event in rest] == [(step, steps) for step in range(done + 1, steps + 1)]
        assert all(torch.equal(event.latents, latents) for event, latents in zip(rest, whole[done:], strict=True))


def euler(levels: NoiseSchedule, latents: Tensor, prediction: Tensor, t: int, spacing: int) -> Tensor:
    """Euler's method for dy = noise dsigma, y = x / sqrt(a), sigma = sqrt((1 - a) / a) (arXiv 2010.02502, eq. 14)."""
    a, below = levels.alpha(t), levels.alpha(t - spacing)
    sigma, next_sigma = ((1 - share) ** 0.5 / share**0.5 for share in (a, below))
    return below**0.5 * (latents / a**0.5 + (next_sigma - sigma) * prediction)


@given(seeds, step_counts)
def test_another_solver_takes_the_steps(seed: int, steps: int) -> None:
    levels, start = schedule(), clip(seed)
    ours, eulers = (list(denoise(smooth, levels, start, steps, solver)) for solver in (ddim.step, euler))
    for one, other in zip(ours, eulers, strict=True):
        torch.testing.assert_close(one.latents, other.latents, atol=1e-3, rtol=1e-3)
    *_, still = denoise(smooth, levels, start, steps, lambda _, latents, *__: latents)
    assert still.latents is start


def test_previews_change_nothing_and_are_made_where_asked() -> None:
    plain, seen = (list(denoise(smooth, schedule(), clip(0), 4, clean=clean)) for clean in (False, True))
    assert all(event.clean is None for event in plain)
    assert all(torch.equal(one.latents, other.latents) for one, other in zip(plain, seen, strict=True))


def test_a_step_asks_once_without_gradients_and_no_sooner_than_needed() -> None:
    asked: list[tuple[int, bool]] = []
    weight = torch.ones((), requires_grad=True)

    def denoiser(latents: Tensor, t: int) -> Tensor:
        asked.append((t, torch.is_grad_enabled()))
        return weight * latents

    events = denoise(denoiser, schedule(), clip(0), 4)
    for count in range(1, 5):
        assert not next(events).latents.requires_grad
        assert torch.is_grad_enabled()
        assert asked == [(t, False) for t in schedule().timesteps(4)[:count]]
