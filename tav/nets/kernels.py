"""Softmax attention by one of two kernels, whichever is the faster for a shape on a device: measured, never assumed.

`fused` is torch's scaled_dot_product_attention; `classic` writes the attention weights out. On CPUs the classic form
wins for small nets and half precision, above all backwards, and loses by far where the weights are large.
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
# The classic form keeps b x h x n x m weights: above this many bytes it is never chosen.
_MOST_WEIGHTS = 64 << 20
# A kernel is measured on as many batch entries as have this many weights: enough to fill every core.
_MEASURED_WEIGHTS = 1 << 22
_RUNS = 3


class Kernels:
    """The kernel for each shape. `choices` remembers what was measured; without it, it is always the fused one.

    Whoever keeps `choices` keeps results equal bit for bit from run to run: the kernels differ in rounding.
    """

    def __init__(self) -> None:
        self.choices: MutableMapping[str, str] | None = None
        # Meta tensors stand for those of this kind of device.
        self.counted_for = "cpu"
        # How many (b h) rows are computed at once where no gradient is needed; less when memory ran out.
        self.rows = _MOST_HEADS

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Softmax attention of queries (b h n d) to keys and values (b h m d), in pieces along b where it must be."""
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
        # Not b, the frames or clips: both kernels go through them one by one.
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
    """Bytes of the attention weights of (b h n d) to (b h m d)."""
    return q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] * q.element_size()


def measured(q: Tensor, k: Tensor, v: Tensor, learns: bool) -> Kernel:
    """The faster kernel for tensors like these, with its backward pass if it `learns`."""
    entries = max(1, min(q.shape[0], _MEASURED_WEIGHTS * q.element_size() * q.shape[0] // weights_of(q, k)))
    # On copies of the tensors at hand: to draw others would change what is drawn after them.
    like = [x.detach()[:entries].clone().requires_grad_(learns) for x in (q, k, v)]
    seconds: dict[Kernel, list[float]] = {"fused": [], "classic": []}
    # Hooks of its own: those of a recomputed block must not see what is kept here.
    with torch.set_grad_enabled(learns), torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
        for _ in range(_RUNS + 1):
            for name in seconds:
                seconds[name].append(_timed(_KERNELS[name], like, learns))
    # The first run warms up. The least is what the kernel can do; the rest is other work on the machine.
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
    if q.is_meta:  # for which torch would write the weights out, as no device does
        counted: Tensor = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[0]
        return counted
    return F.scaled_dot_product_attention(q, k, v)


def _classic(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1)
    return weights @ v


_KERNELS: dict[Kernel, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"fused": _fused, "classic": _classic}
