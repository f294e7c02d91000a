"""The event for attention in smaller pieces, after memory ran out."""

from collections.abc import Iterator
from typing import TypeVar

from tav.events import LessAtOnce
from tav.nets.inflate import VideoUNet

Step = TypeVar("Step")


def with_memory_events(video: VideoUNet, steps: Iterator[Step]) -> Iterator[Step | LessAtOnce]:
    """The steps of a loop, with a LessAtOnce before each one that made the network compute fewer rows at once."""
    kernels = video.folding.kernels
    rows = kernels.rows
    for step in steps:
        if kernels.rows != rows:
            yield LessAtOnce(kernels.rows)
        yield step
        rows = kernels.rows
