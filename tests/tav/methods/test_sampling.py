"""A prompt's video depends on its own settings alone, and costs no more forward passes than it must."""

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tav.bases import Base
from tav.diffusion.schedule import NoiseSchedule
from tav.errors import SettingsError
from tav.events import SampleStep
from tav.methods.inversion import invert
from tav.methods.sampling import sample, start_latents
from tav.nets.attention import Folding
from tav.nets.inflate import VideoUNet
from tav.settings import SampleSettings

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 3
INVERTED = torch.randn((1, 4, 8, 16, 16), generator=torch.Generator().manual_seed(3))

Go = Callable[..., Iterator[SampleStep]]


@pytest.fixture(scope="module")
def schedule(base: Callable[[str], Base]) -> NoiseSchedule:
    return base("tiny").schedule


@pytest.fixture(scope="module")
def video(make_video: Callable[..., VideoUNet]) -> VideoUNet:
    return make_video()


@pytest.fixture(scope="module")
def contexts(randn: Callable[..., Tensor]) -> list[Tensor]:
    return [randn(1, 6, 16, seed=seed) for seed in range(3)]


@pytest.fixture(scope="module")
def negative(randn: Callable[..., Tensor]) -> Tensor:
    return randn(1, 6, 16, seed=9)


@pytest.fixture(scope="module")
def start(randn: Callable[..., Tensor]) -> Tensor:
    return randn(1, 4, 3, 8, 8)


@pytest.fixture(scope="module")
def go(video: VideoUNet, schedule: NoiseSchedule, start: Tensor, negative: Tensor) -> Go:
    """`go(contexts, guidance_scale=7.5)`."""

    def run(contexts: list[Tensor], guidance_scale: float = 7.5, **options: object) -> Iterator[SampleStep]:
        given = {"latents": start, "negative_context": negative, "steps": STEPS} | options
        return sample(video, schedule, contexts=contexts, guidance_scale=guidance_scale, **given)

    return run


def all_latents(events: Iterator[SampleStep]) -> Tensor:
    return torch.stack([event.latents for event in events])


# where it starts


def test_without_variation_it_starts_from_the_inversion() -> None:
    assert torch.equal(start_latents(INVERTED, SampleSettings(seed=4)), INVERTED)
    assert start_latents(INVERTED.half(), SampleSettings()).dtype == torch.float32


@given(st.integers(0, 2**63 - 1))
def test_with_full_variation_it_starts_from_the_seeds_noise(seed: int) -> None:
    noise = start_latents(INVERTED, SampleSettings(seed=seed, inversion=False))
    assert torch.equal(noise, torch.randn(INVERTED.shape, generator=torch.Generator().manual_seed(seed)))
    assert torch.equal(start_latents(INVERTED, SampleSettings(seed=seed, vary=1.0)), noise)


@given(st.floats(0, 1), st.integers(0, 1000))
def test_variation_keeps_the_variance(vary: float, seed: int) -> None:
    settings = SampleSettings(vary=vary, seed=seed)
    start = start_latents(INVERTED, settings)
    assert start.var() == pytest.approx(1, abs=0.1)
    noise = start_latents(INVERTED, SampleSettings(seed=seed, inversion=False))
    torch.testing.assert_close(start, (1 - vary**2) ** 0.5 * INVERTED + vary * noise)


def test_a_seed_means_the_same_start_and_another_another() -> None:
    first, again, other = (start_latents(INVERTED, SampleSettings(vary=0.3, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# prompts and guidance


@pytest.mark.parametrize("guidance", [1, 7.5])
def test_prompts_together_are_each_alone(guidance: float, go: Go, contexts: list[Tensor]) -> None:
    together = list(go(contexts, guidance))
    assert [(event.index, event.step, event.total) for event in together] == [
        (index, step, STEPS) for index in range(len(contexts)) for step in range(1, STEPS + 1)
    ]
    alone = [event.latents for context in contexts for event in go([context], guidance)]
    assert all(torch.equal(event.latents, latents) for event, latents in zip(together, alone, strict=True))


@pytest.mark.parametrize("prompts", [1, 3])
@pytest.mark.parametrize("guidance", [0, 1, 7.5])
def test_forward_passes(guidance: float, prompts: int, go: Go, video: VideoUNet, contexts: list[Tensor]) -> None:
    seen: list[Tensor] = []
    hook = video.register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    list(go(contexts[:prompts], guidance))
    hook.remove()
    text = [context for context in seen if any(torch.equal(context, prompt) for prompt in contexts)]
    assert len(text) == prompts * STEPS
    # All prompts start from the same latents, so the first unconditional prediction is one for all.
    assert len(seen) - len(text) == (0 if guidance == 1 else prompts * STEPS - (prompts - 1))


def test_guidance_is_a_line_from_the_negative_to_the_prompt(go: Go, contexts: list[Tensor], negative: Tensor) -> None:
    prompt, other = contexts[:1], contexts[1]
    at_0, at_1, at_3 = (next(go(prompt, guidance)).latents for guidance in (0, 1, 3))
    torch.testing.assert_close(at_3, at_0 + 3 * (at_1 - at_0), atol=1e-4, rtol=1e-4)
    assert torch.equal(all_latents(go(prompt, 0)), all_latents(go([negative], 1)))
    assert torch.equal(all_latents(go(prompt, 1)), all_latents(go(prompt, 1, negative_context=other)))
    assert torch.equal(all_latents(go([negative], 7.5)), all_latents(go([negative], 1)))
    assert not torch.equal(all_latents(go(prompt, 7.5)), all_latents(go(prompt, 7.5, negative_context=other)))


def test_it_starts_at_the_inversions_last_level(
    go: Go, video: VideoUNet, schedule: NoiseSchedule, contexts: list[Tensor]
) -> None:
    seen: list[int] = []
    hook = video.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    list(go(contexts[:1], 1))
    hook.remove()
    assert seen == schedule.timesteps(STEPS)


# stopping, going on, looking


@pytest.mark.parametrize("guidance", [1, 7.5])
def test_it_continues_as_if_it_never_stopped(guidance: float, go: Go, start: Tensor, contexts: list[Tensor]) -> None:
    whole = [event.latents for event in go(contexts[:1], guidance)]
    for done in range(STEPS + 1):
        rest = list(go(contexts[:1], guidance, latents=whole[done - 1] if done else start, done=done))
        assert [event.step for event in rest] == list(range(done + 1, STEPS + 1))
        assert all(torch.equal(event.latents, first) for event, first in zip(rest, whole[done:], strict=True))


def test_only_one_prompt_can_be_continued(go: Go, contexts: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="single prompt"):
        next(go(contexts, done=1))


def test_previews_change_nothing(go: Go, contexts: list[Tensor]) -> None:
    plain, seen = list(go(contexts)), list(go(contexts, preview=True))
    assert all(event.preview is None for event in plain)
    assert all(event.preview.shape == event.latents.shape for event in seen)
    assert torch.equal(all_latents(iter(plain)), all_latents(iter(seen)))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_preview_is_the_clean_video_the_network_expects(
    prediction_type: str, schedule: NoiseSchedule, start: Tensor, contexts: list[Tensor]
) -> None:
    levels = NoiseSchedule(
        schedule.alphas_cumprod, schedule.final_alpha_cumprod, schedule.steps_offset, prediction_type
    )

    class Certain:
        """A network that always expects the same video."""

        device = start.device

        def __call__(self, latents: Tensor, t: int, _: Tensor) -> Tensor:
            a = levels.alpha(t)
            noise = (latents - a**0.5 * INVERTED) / (1 - a) ** 0.5
            return noise if prediction_type == "epsilon" else a**0.5 * noise - (1 - a) ** 0.5 * INVERTED

        folding, patiently = Folding(), __call__

    latents = torch.randn(INVERTED.shape, generator=torch.Generator().manual_seed(8))
    for event in sample(Certain(), levels, latents, contexts[:1], contexts[1], 7.5, STEPS, preview=True):
        torch.testing.assert_close(event.preview, INVERTED, atol=1e-3, rtol=1e-3)


def test_latents_are_float32_without_graph_and_the_start_is_kept(
    make_video: Callable[..., VideoUNet], schedule: NoiseSchedule, start: Tensor, contexts: list[Tensor]
) -> None:
    before, half = start.clone(), make_video().bfloat16()
    for event in sample(half, schedule, start.bfloat16(), contexts, contexts[0], 7.5, STEPS):
        assert event.latents.dtype == torch.float32
        assert not event.latents.requires_grad
    assert torch.equal(start, before)


def test_latents_of_an_inversion_with_another_number_of_steps_are_refused(
    video: VideoUNet, schedule: NoiseSchedule, contexts: list[Tensor], randn: Callable[..., Tensor]
) -> None:
    first, second = invert(video, schedule, randn(1, 4, 2, 8, 8, seed=2), contexts[0], 2)
    for wrong, steps in ((first, 2), (second, 3)):
        with pytest.raises(SettingsError, match="2-step inversion"):
            next(sample(video, schedule, wrong, contexts, contexts[0], 1, steps))
    whole, bare = (
        list(sample(video, schedule, start, contexts[:1], contexts[0], 1, 2)) for start in (second, second.latents)
    )
    assert torch.equal(whole[-1].latents, bare[-1].latents)
