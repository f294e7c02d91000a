"""Softmax attention by the faster of two kernels, measured for each shape and device.

`fused` is torch's scaled_dot_product_attention; `classic` writes the attention weights out. On CPUs `classic` is faster
for small networks and half precision, most of all in the backward pass, and far slower where the weights are large.
"""

import time
from collections.abc import Callable, MutableMapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tav.compute.device import settle

Kernel = Literal["fused", "classic"]

# CUDA's kernels launch one block per batch entry and head, at most 65,535 of them.
_MOST_HEADS = 65_535
# `classic` keeps b x h x n x m weights: above this many bytes it is never chosen.
_MOST_WEIGHTS = 64 << 20
# Kernels are measured on batch entries with about this many weights together, enough to fill every core.
_MEASURED_WEIGHTS = 1 << 22
_RUNS = 3


class Kernels:
    """The attention kernels of a network. `choices` holds the faster one for each shape; without it, `fused` is used.

    The kernels differ in rounding: results are equal bit for bit only between runs with the same `choices`.
    """

    def __init__(self) -> None:
        self.choices: MutableMapping[str, str] | None = None
        # The device type that meta tensors stand for.
        self.counted_for = "cpu"
        # The most (b h) rows computed at once without gradients; fewer after memory ran out.
        self.rows = _MOST_HEADS

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax attention of queries (b h n d) to keys, values (b h m d); in pieces along b if rows are limited."""
        attention = _KERNELS[self._choice(q, k, v)]
        at_once = max(1, (_MOST_HEADS if torch.is_grad_enabled() else self.rows) // q.shape[1])
        if q.shape[0] <= at_once:
            return attention(q, k, v)
        pieces = zip(*(torch.split(x, at_once) for x in (q, k, v)), strict=True)
        return torch.cat([attention(*piece) for piece in pieces])

    def _choice(self, q: Tensor, k: Tensor, v: Tensor) -> Kernel:
        if self.choices is None or weights_of(q, k) > _MOST_WEIGHTS:
            return "fused"
        learns = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))
        # Without b (frames or clips): both kernels compute its entries one by one.
        heads, queries, width = q.shape[1:]
        what = "learn" if learns else "infer"
        device = self.counted_for if q.is_meta else q.device.type
        name = f"{device} {str(q.dtype)[6:]} {what} {heads} x {queries} to {k.shape[2]} x {width}"
        chosen = self.choices.get(name)
        if chosen is None and not q.is_meta:
            self.choices[name] = measured(q, k, v, learns)
            chosen = self.choices[name]  # another process may have been first
        return "classic" if chosen == "classic" else "fused"


def weights_of(q: Tensor, k: Tensor) -> int:
    """Bytes of the attention weights of queries (b h n d) and keys (b h m d)."""
    return q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] * q.element_size()


def measured(q: Tensor, k: Tensor, v: Tensor, learns: bool) -> Kernel:
    """The faster kernel for tensors like these; the backward pass is measured too if it `learns`."""
    entries = max(1, min(q.shape[0], _MEASURED_WEIGHTS * q.element_size() * q.shape[0] // weights_of(q, k)))
    # Copies of the given tensors: drawing random ones would change the run's later random numbers.
    like = [x.detach()[:entries].clone().requires_grad_(learns) for x in (q, k, v)]
    seconds: dict[Kernel, list[float]] = {"fused": [], "classic": []}
    # Hooks that do nothing: those of a recomputed block must not see the tensors saved here.
    with torch.set_grad_enabled(learns), torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
        for _ in range(_RUNS + 1):
            for name in seconds:
                seconds[name].append(_timed(_KERNELS[name], like, learns))
    # The first run warms up. The least time is the kernel's own; other work on the machine adds to the rest.
    return min(seconds, key=lambda name: min(seconds[name][1:]))


def _timed(attention: Callable[..., Tensor], inputs: list[Tensor], learns: bool) -> float:
    settle(inputs[0].device)
    began = time.perf_counter()
    out = attention(*inputs)
    if learns:
        torch.autograd.grad(out, inputs, torch.ones_like(out))
    settle(inputs[0].device)
    return time.perf_counter() - began


def _fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    if q.is_meta:  # the default for meta tensors writes the weights out, as no device does
        counted: Tensor = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[0]
        return counted
    return F.scaled_dot_product_attention(q, k, v)


def _classic(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1)
    return weights @ v


_KERNELS: dict[Kernel, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"fused": _fused, "classic": _classic}
