"""A step that made attention go on in smaller pieces is told just before the step."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from tav.bases import Base
from tav.events import LessAtOnce
from tav.methods.inversion import invert
from tav.methods.memory_events import with_memory_events
from tav.methods.sampling import sample
from tav.nets.inflate import VideoUNet


def test_only_a_step_that_changed_the_rows_is_told(make_video: Callable[..., VideoUNet]) -> None:
    video = make_video()
    kernels = video.folding.kernels

    def steps() -> Iterator[str]:
        yield "as before"
        kernels.rows = 100
        yield "smaller"
        yield "as small"
        kernels.rows = 12
        yield "smaller still"

    told = list(with_memory_events(video, steps()))
    assert told == ["as before", LessAtOnce(100), "smaller", "as small", LessAtOnce(12), "smaller still"]


def test_the_loops_tell_it(
    make_video: Callable[..., VideoUNet], base: Callable[[str], Base], randn: Callable[..., Tensor]
) -> None:
    video, schedule, latents, context = make_video(), base("tiny").schedule, randn(1, 4, 2, 8, 8), randn(1, 6, 16)
    failures = iter([False, True] * 3)

    def runs_out(*_: object) -> None:
        if next(failures, False):
            raise torch.OutOfMemoryError("out of memory")

    hook = video.register_forward_pre_hook(runs_out)
    up = [type(event).__name__ for event in invert(video, schedule, latents, context, 2)]
    down = [type(event).__name__ for event in sample(video, schedule, latents, [context], context, 7.5, 2)]
    hook.remove()
    assert up == ["InvertStep", "LessAtOnce", "InvertStep"]
    assert down == ["LessAtOnce", "SampleStep", "SampleStep"]
