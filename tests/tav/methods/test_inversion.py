"""Inversion walks up one step at a time, and continues as if it never stopped. Its formula is shown in test_ddim."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tav.bases import Base
from tav.diffusion.schedule import NoiseSchedule
from tav.methods.inversion import invert
from tav.nets.inflate import VideoUNet

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS = 4


@pytest.fixture(scope="module")
def schedule(base: Callable[[str], Base]) -> NoiseSchedule:
    return base("tiny").schedule


@pytest.fixture(scope="module")
def video(make_video: Callable[..., VideoUNet]) -> VideoUNet:
    return make_video()


@pytest.fixture
def start(randn: Callable[..., Tensor]) -> Tensor:
    return randn(1, 4, 3, 8, 8)


@pytest.fixture
def empty(randn: Callable[..., Tensor]) -> Tensor:
    return randn(1, 6, 16, seed=1)


def test_it_walks_up_the_levels(video: VideoUNet, schedule: NoiseSchedule, start: Tensor, empty: Tensor) -> None:
    seen = []
    hook = video.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    events = list(invert(video, schedule, start, empty, STEPS))
    hook.remove()
    assert seen == sorted(schedule.timesteps(STEPS))
    assert [(event.step, event.total) for event in events] == [(step, STEPS) for step in range(1, STEPS + 1)]


def test_latents_are_float32_without_graph_and_the_clips_own_are_kept(
    make_video: Callable[..., VideoUNet], schedule: NoiseSchedule, start: Tensor, empty: Tensor
) -> None:
    before, half = start.clone(), make_video().bfloat16()
    for event in invert(half, schedule, start.bfloat16(), empty, STEPS):
        assert event.latents.dtype == torch.float32
        assert not event.latents.requires_grad
    assert torch.equal(start, before)


def test_it_continues_as_if_it_never_stopped(
    video: VideoUNet, schedule: NoiseSchedule, start: Tensor, empty: Tensor
) -> None:
    whole = [event.latents for event in invert(video, schedule, start, empty, STEPS)]
    for done in range(STEPS + 1):
        given = whole[done - 1] if done else start
        rest = [event.latents for event in invert(video, schedule, given, empty, STEPS, done=done)]
        assert len(rest) == STEPS - done
        assert all(torch.equal(again, first) for again, first in zip(rest, whole[done:], strict=True))
