"""Guidance is a line through two predictions, and computes neither of them more often than it must."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tav.diffusion.guidance import Denoiser, combine, conditioned, guided, shared

LATENTS = torch.randn((1, 4, 2, 3, 3), generator=torch.Generator().manual_seed(0))
scales = st.floats(-20, 20)


def named(name: str, calls: list[str]) -> Denoiser:
    """A denoiser that notes its calls; its prediction differs by name, latents and timestep."""

    def predict(latents: Tensor, t: int) -> Tensor:
        calls.append(name)
        return torch.sin(latents + t + len(name))

    return predict


@pytest.mark.parametrize(("scale", "expected"), [(1, ["text"]), (0, ["text", "empty"]), (7.5, ["text", "empty"])])
def test_scale_1_needs_no_unconditional_prediction(scale: float, expected: list[str]) -> None:
    calls: list[str] = []
    text, empty = named("text", calls), named("empty", calls)
    prediction = guided(text, empty, scale)(LATENTS, 5)
    assert calls == expected
    if scale == 1:
        assert torch.equal(prediction, text(LATENTS, 5))


@given(scales, scales, st.floats(0, 1))
def test_guidance_is_linear_in_its_scale(first: float, second: float, share: float) -> None:
    text, empty = named("text", []), named("empty", [])
    at_first, at_second, between = (
        guided(text, empty, scale)(LATENTS.double(), 5)
        for scale in (first, second, share * first + (1 - share) * second)
    )
    torch.testing.assert_close(between, share * at_first + (1 - share) * at_second)


def test_the_line_goes_from_the_unconditional_prediction_to_the_text() -> None:
    text, empty = LATENTS.double(), LATENTS.double().flip(1)
    assert torch.equal(combine(text, empty, 0), empty)
    torch.testing.assert_close(combine(text, empty, 1), text)


def test_a_shared_prediction_is_computed_once_for_the_start_itself() -> None:
    calls: list[str] = []
    denoiser = shared(named("empty", calls), LATENTS)
    first, again, equal, later = (
        denoiser(*given) for given in ((LATENTS, 5), (LATENTS, 5), (LATENTS + 0, 5), (LATENTS, 6))
    )
    assert again is first
    assert torch.equal(equal, first)
    assert not torch.equal(later, first)
    assert len(calls) == 3  # the second one was known; equal latents in another tensor are not


def test_a_conditioned_network_predicts_in_float32_under_its_context() -> None:
    context = torch.ones(1, 2, 3, dtype=torch.bfloat16)
    denoiser = conditioned(lambda latents, t, context: (latents * t).bfloat16() + context.sum(), context)
    prediction = denoiser(LATENTS, 3)
    assert prediction.dtype == torch.float32
    assert torch.equal(prediction, ((LATENTS * 3).bfloat16() + 6).float())
