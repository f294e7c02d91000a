"""DDIM against closed forms, its own inverse, and diffusers' schedulers as a second reference."""

import itertools
from dataclasses import replace

import pytest
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tav.diffusion import ddim
from tav.diffusion.schedule import NoiseSchedule, add_noise, training_target
from tav.errors import BaseModelError, SettingsError
from tav.methods.inversion import invert
from tav.methods.sampling import sample
from tav.model_config import SchedulerConfig
from tav.nets.attention import Folding

CONFIG = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
PREDICTIONS = ("epsilon", "v_prediction")
STEP_COUNTS = (1, 2, 7, 10, 30, 50, 500)
OTHERS = (
    {},
    {"set_alpha_to_one": True},
    {"steps_offset": 0},
    {"beta_schedule": "linear"},
    {"num_train_timesteps": 600},
)
timesteps = st.integers(0, 999)
shares = st.floats(0.02, 0.999)
seeds = st.integers(0, 2**32)


def schedule(prediction_type: str = "epsilon", **changed: object) -> NoiseSchedule:
    return NoiseSchedule.from_config(CONFIG | changed | {"prediction_type": prediction_type})


def clip(seed: int) -> Tensor:
    return torch.randn((1, 4, 2, 3, 3), generator=torch.Generator().manual_seed(seed))


# the config


def test_a_silent_config_means_stable_diffusion() -> None:
    silent, spoken = NoiseSchedule.from_config({}), schedule()
    assert torch.equal(silent.alphas_cumprod, spoken.alphas_cumprod)
    assert torch.equal(silent.final_alpha_cumprod, silent.alphas_cumprod[0])
    assert (silent.steps_offset, silent.prediction_type) == (1, "epsilon")


def test_betas_may_be_given_one_by_one() -> None:
    given_betas = NoiseSchedule.from_config({"trained_betas": [0.1, 0.2, 0.5]})
    assert torch.allclose(given_betas.alphas_cumprod, torch.tensor([0.9, 0.72, 0.36]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip_sample", True),
        ("thresholding", True),
        ("rescale_betas_zero_snr", True),
        ("prediction_type", "sample"),
        ("beta_schedule", "squaredcos_cap_v2"),
    ],
)
def test_what_ddim_cannot_follow_is_refused(name: str, value: object) -> None:
    with pytest.raises(BaseModelError, match=value if isinstance(value, str) else name):
        NoiseSchedule.from_config(CONFIG | {name: value})


def test_a_config_may_be_read_already() -> None:
    read = SchedulerConfig(**CONFIG)
    assert NoiseSchedule.from_config(read).alphas_cumprod.equal(schedule().alphas_cumprod)


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_train_timesteps", 0), ("beta_start", None), ("trained_betas", "x"), ("steps_offset", 1000)],
)
def test_nonsense_is_refused(name: str, value: object) -> None:
    with pytest.raises(BaseModelError, match=f"{name} must be"):
        NoiseSchedule.from_config(CONFIG | {name: value})


@pytest.mark.parametrize("steps", [-1, 0, 1000, 1001])
def test_steps_that_do_not_fit_are_refused(steps: int) -> None:
    with pytest.raises(SettingsError, match="do not fit"):
        schedule().timesteps(steps)


def test_fifty_steps_are_the_papers() -> None:
    assert schedule().timesteps(50) == list(range(981, 0, -20))


# closed forms


@given(timesteps, seeds, st.sampled_from(PREDICTIONS))
def test_a_right_prediction_gives_back_what_was_mixed(t: int, seed: int, prediction_type: str) -> None:
    levels, clean, noise = schedule(prediction_type), clip(seed), clip(seed + 1)
    mixed = add_noise(levels, clean, noise, t)
    split = ddim.split(levels, mixed, training_target(levels, clean, noise, t), levels.alpha(t))
    for found, truth in zip(split, (clean, noise), strict=True):
        torch.testing.assert_close(found, truth, atol=1e-4, rtol=1e-4)


@given(timesteps, st.integers(1, 999), seeds, st.sampled_from(PREDICTIONS))
def test_a_step_with_the_right_prediction_lands_on_the_exact_level(
    t: int, spacing: int, seed: int, prediction_type: str
) -> None:
    levels, clean, noise = schedule(prediction_type), clip(seed), clip(seed + 1)
    prediction = training_target(levels, clean, noise, t)
    below = ddim.step(levels, add_noise(levels, clean, noise, t), prediction, t, spacing)
    torch.testing.assert_close(below, add_noise(levels, clean, noise, t - spacing), atol=1e-4, rtol=1e-4)


@given(shares, shares, seeds, st.sampled_from(PREDICTIONS))
def test_a_step_undoes_an_inverse_step_with_the_same_noise(a: float, b: float, seed: int, prediction_type: str) -> None:
    two = torch.tensor([a, b])
    levels = replace(schedule(prediction_type), alphas_cumprod=two, final_alpha_cumprod=two[0])
    latents, prediction = clip(seed), clip(seed + 1)
    up = ddim.inverse_step(levels, latents, prediction, 1, 1)
    same_noise = training_target(levels, *ddim.split(levels, latents, prediction, levels.alpha(0)), 1)
    torch.testing.assert_close(ddim.step(levels, up, same_noise, 1, 1), latents, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
def test_arithmetic_is_float32_whatever_the_network_computes_in(prediction_type: str) -> None:
    for move in (ddim.step, ddim.inverse_step):
        assert move(schedule(prediction_type), clip(0), clip(1).bfloat16(), 501, 20).dtype == torch.float32


class GaussianNetwork:
    """The perfect denoiser of data drawn from N(mean, spread^2); it needs no context."""

    device = torch.device("cpu")

    def __init__(self, levels: NoiseSchedule, mean: float = 0.7, spread: float = 0.4) -> None:
        self.levels, self.mean, self.spread = levels, mean, spread

    def __call__(self, latents: Tensor, t: int, _: Tensor) -> Tensor:
        a = self.levels.alpha(t)
        noise = (1 - a) ** 0.5 * (latents - a**0.5 * self.mean) / (a * self.spread**2 + 1 - a)
        if self.levels.prediction_type == "epsilon":
            return noise
        return (noise - (1 - a) ** 0.5 * latents) / a**0.5

    folding, patiently = Folding(), __call__

    def exact(self, latents: Tensor, a: Tensor, a_new: Tensor) -> Tensor:
        """Where the probability flow takes latents from one level to another: their quantile is kept."""

        def moments(a: Tensor) -> tuple[Tensor, Tensor]:
            return a**0.5 * self.mean, (a * self.spread**2 + 1 - a) ** 0.5

        (mean, spread), (new_mean, new_spread) = moments(a), moments(a_new)
        return new_mean + (latents - mean) / spread * new_spread


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
def test_halving_the_step_halves_the_error(prediction_type: str) -> None:
    levels, clean, nothing = schedule(prediction_type), 0.7 + 0.4 * clip(0), torch.zeros(1)
    network = GaussianNetwork(levels)
    up, round_trip = [], []
    for steps in (25, 50, 100, 200):
        *_, top = invert(network, levels, clean, nothing, steps)
        *_, back = sample(network, levels, top.latents, [nothing], nothing, 1, steps)
        exact = network.exact(clean, levels.final_alpha_cumprod, levels.alpha(levels.timesteps(steps)[0]))
        up.append((top.latents - exact).abs().max())
        round_trip.append((back.latents - clean).abs().max())
    for errors in (up, round_trip):
        for coarse, fine in itertools.pairwise(errors):
            assert 1.6 < coarse / fine < 2.6


# the second reference


@pytest.mark.parametrize("changed", OTHERS, ids=str)
@pytest.mark.parametrize("steps", STEP_COUNTS)
@pytest.mark.parametrize("prediction_type", PREDICTIONS)
def test_steps_equal_diffusers(prediction_type: str, steps: int, changed: dict[str, object]) -> None:
    config = CONFIG | changed | {"prediction_type": prediction_type, "timestep_spacing": "leading"}
    levels = NoiseSchedule.from_config(config)
    for reference, move, ours in (
        (DDIMScheduler.from_config(config), ddim.step, levels.timesteps(steps)),
        (DDIMInverseScheduler.from_config(config), ddim.inverse_step, levels.timesteps(steps)[::-1]),
    ):
        reference.set_timesteps(steps)
        assert ours == reference.timesteps.tolist()
        assert torch.equal(levels.alphas_cumprod, reference.alphas_cumprod)
        for t in {ours[0], ours[len(ours) // 2], ours[-1]}:
            latents, prediction = clip(t), clip(t + 1)
            moved = move(levels, latents, prediction, t, levels.spacing(steps))
            expected = reference.step(prediction, t, latents).prev_sample
            torch.testing.assert_close(moved, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
def test_training_equals_diffusers(prediction_type: str) -> None:
    levels, reference = schedule(prediction_type), DDIMScheduler.from_config(CONFIG)
    clean, noise, t = clip(0), clip(1), 613
    assert torch.equal(add_noise(levels, clean, noise, t), reference.add_noise(clean, noise, torch.tensor([t])))
    expected = noise if prediction_type == "epsilon" else reference.get_velocity(clean, noise, torch.tensor([t]))
    assert torch.equal(training_target(levels, clean, noise, t), expected)
