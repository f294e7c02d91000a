"""Attention layers of the video network: between frames, over time, and to the text.

Frames are folded into the batch; `Folding` holds how many make one clip. The linear layer whose float32 weight is tuned
is here too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tav.nets.kernels import Kernels
from tav.settings import FrameAttention

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass
class Folding:
    """State that all layers of a network share: frames of each clip in the batch, and the attention kernels."""

    frames: int = 1
    kernels: Kernels = field(default_factory=Kernels)


def zero_init(linear: nn.Linear) -> nn.Linear:
    """The layer with weight and bias set to zero, so that its branch adds nothing until it is tuned."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class TunedLinear(nn.Linear):
    """A linear layer that keeps its weight in float32 while it is tuned and computes in its input's precision."""

    weight: nn.Parameter

    @classmethod
    def copy_of(cls, linear: nn.Linear) -> "TunedLinear":
        """A copy of the layer with a float32 weight of its own; the bias is shared."""
        copy = cls(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        copy.weight = nn.Parameter(linear.weight.detach().to(torch.float32, copy=True))
        if linear.bias is not None:
            copy.bias = linear.bias
        return copy

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.dtype)
        return F.linear(input, self.weight.to(input.dtype), bias)


class SparseCausalAttention:
    """Processor for a diffusers `attn1`: frame i attends to frame 0 and frame i-1 (never to itself when i > 0).

    Frames 0 and 1 attend to frame 0 alone: its keys twice would give the same softmax average. The other patterns
    are the paper's ablations: `first` (frame 0), `per-frame` (itself), `full` (all), `causal` (0..i).
    """

    def __init__(self, folding: Folding, pattern: FrameAttention) -> None:
        self.folding = folding
        self.over_frames = _PATTERNS[pattern]

    def __call__(self, attn: Any, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """(b f) n c -> (b f) n c. Other arguments of diffusers are for cross-attention and are ignored."""
        frames, heads = self.folding.frames, attn.heads
        projections = (attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states))
        q, k, v = (rearrange(x, "(b f) n (h d) -> b f h n d", f=frames, h=heads) for x in projections)
        out = self.over_frames(self.folding.kernels.attend, q, k, v)
        return _output(attn, rearrange(out, "b f h n d -> (b f) n (h d)"))


class TextAttention:
    """Processor for a diffusers `attn2`: all frames of a clip attend to its caption, projected once for all of them."""

    def __init__(self, folding: Folding) -> None:
        self.folding = folding

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """(b f) n c -> (b f) n c; the text's states ((b f) m e) are equal for all frames of a clip."""
        frames, heads = self.folding.frames, attn.heads
        text = encoder_hidden_states[::frames]
        q = rearrange(attn.to_q(hidden_states), "b n (h d) -> b h n d", h=heads)
        k, v = (rearrange(x, "b m (h d) -> b 1 h m d", h=heads) for x in (attn.to_k(text), attn.to_v(text)))
        k, v = (x.expand(-1, frames, -1, -1, -1).flatten(0, 1) for x in (k, v))
        return _output(attn, rearrange(self.folding.kernels.attend(q, k, v), "b h n d -> b n (h d)"))


def _output(attn: Any, out: Tensor) -> Tensor:
    for layer in attn.to_out:
        out = layer(out)
    return out


def _each(attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Frame by frame: (b f h n d) queries to (b f h m d) keys."""
    out = attend(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1))
    return torch.unflatten(out, 0, q.shape[:2])


def _first(attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    shape = (-1, q.shape[1], -1, -1, -1)
    return _each(attend, q, k[:, :1].expand(shape), v[:, :1].expand(shape))


def _sparse_causal(attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    start = _first(attend, q[:, :2], k, v)
    if q.shape[1] <= 2:
        return start
    rest = _each(attend, q[:, 2:], _first_and_previous(k), _first_and_previous(v))
    return torch.cat([start, rest], dim=1)


def _first_and_previous(x: Tensor) -> Tensor:
    """For frames 2, 3, ...: the tokens of frame 0 followed by those of the frame before."""
    previous = x[:, 1:-1]
    return torch.cat([x[:, :1].expand_as(previous), previous], dim=3)


def _full(attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    joined = (rearrange(x, "b f h n d -> b h (f n) d") for x in (q, k, v))
    return rearrange(attend(*joined), "b h (f n) d -> b f h n d", f=q.shape[1])


def _causal(attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    frames = [_full_row(attend, q[:, i : i + 1], k[:, : i + 1], v[:, : i + 1]) for i in range(q.shape[1])]
    return torch.cat(frames, dim=1)


def _full_row(attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One frame of queries to the joined tokens of several frames."""
    k, v = (rearrange(x, "b f h n d -> b h (f n) d") for x in (k, v))
    return attend(q[:, 0], k, v)[:, None]


_PATTERNS = {
    "sparse-causal": _sparse_causal,
    "first": _first,
    "per-frame": _each,
    "full": _full,
    "causal": _causal,
}


class TemporalAttention(nn.Module):
    """Self-attention over the frames of each spatial token; not causal, no positions. Its output starts at zero.

    The paper starts it as the identity; the official code zeroes the output's weight but not its bias.
    """

    def __init__(self, dim: int, heads: int, inner_dim: int, folding: Folding) -> None:
        super().__init__()
        self.heads = heads
        self.folding = folding
        self.to_q = TunedLinear(dim, inner_dim, bias=False)
        self.to_k = TunedLinear(dim, inner_dim, bias=False)
        self.to_v = TunedLinear(dim, inner_dim, bias=False)
        self.to_out = nn.ModuleList([zero_init(TunedLinear(inner_dim, dim))])

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(b f) n c -> (b f) n c."""
        x = rearrange(hidden_states, "(b f) n c -> (b n) f c", f=self.folding.frames)
        projections = (self.to_q(x), self.to_k(x), self.to_v(x))
        q, k, v = (rearrange(p, "b f (h d) -> b h f d", h=self.heads) for p in projections)
        out: Tensor = self.to_out[0](rearrange(self.folding.kernels.attend(q, k, v), "b h f d -> b f (h d)"))
        return rearrange(out, "(b n) f c -> (b f) n c", n=hidden_states.shape[1])
