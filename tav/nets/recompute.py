"""Recomputation: activations that the backward pass computes again instead of keeping them.

Each rung keeps fewer activations than the one before and takes more time; gradients are equal on all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, get_args

from torch import nn
from torch.utils.checkpoint import checkpoint

from tav.nets.inflate import VideoUNet

Rung = Literal["none", "feed-forward", "blocks", "all"]
RUNGS: tuple[Rung, ...] = get_args(Rung)


def next_rung(rung: Rung) -> Rung | None:
    """The rung that keeps less than `rung`; None after the last."""
    after = RUNGS[RUNGS.index(rung) + 1 :]
    return after[0] if after else None


@contextmanager
def recomputing(video: VideoUNet, rung: Rung) -> Iterator[None]:
    """Inside the context, backward passes of `video` recompute the activations that `rung` does not keep."""
    chosen = list(_recomputed(video, rung))
    for module in chosen:
        # Non-reentrant: the reentrant kind gives no gradient to weights below a frozen input (method.md, section 7).
        # No layer draws random numbers, so no random state needs to be restored.
        forward = partial(checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False)
        module.forward = forward
    try:
        yield
    finally:
        for module in chosen:
            del module.forward  # the class's method is used again


def _recomputed(video: VideoUNet, rung: Rung) -> Iterator[nn.Module]:
    unet: Any = video.unet
    for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        for transformer in getattr(block, "attentions", ()):
            if rung == "feed-forward":
                yield from (inner.ff for inner in transformer.transformer_blocks)
            elif rung in ("blocks", "all"):
                yield transformer  # with the temporal layers of its inner blocks
        if rung == "all":
            yield from block.resnets
            for name in ("downsamplers", "upsamplers"):
                yield from getattr(block, name, None) or ()
