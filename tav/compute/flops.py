"""The cost of a computation, counted on meta tensors: floating-point operations, and bytes in use at its peak.

Meta tensors have shapes and no memory, so a network of any size is counted in a second, before its weights load.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_ATTENTION_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True)
class Cost:
    """`flops`: floating-point operations (a multiply-add is 2). `peak`: the most bytes in new tensors at once."""

    flops: int
    peak: int


def count(computation: Callable[[], object]) -> Cost:
    """The cost of `computation`, which works on meta tensors. Tensors that it is given are not counted."""
    with _Counting() as counting:
        computation()
    return Cost(counting.flops, counting.peak)


def _forward(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(q.shape, k.shape, v.shape))  # type: ignore[no-untyped-call]


def _backward(grad: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_backward_flop_count(grad.shape, q.shape, k.shape, v.shape))  # type: ignore[no-untyped-call]


_FLOPS: dict[Any, Callable[..., int]] = {_ATTENTION: _forward, _ATTENTION_BACKWARD: _backward}


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up operations, and the bytes of the storages that they make until the last tensor on each is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = self.flops = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_storage(x)._cdata for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)}
        out = func(*args, **(kwargs or {}))
        # torch's table of formulas; its FlopCounterMode also watches modules, which keeps tensors alive.
        formula = _FLOPS.get(func._overloadpacket) or flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=out))
        for x in tree_iter(out):
            if isinstance(x, Tensor) and _storage(x)._cdata not in given:
                self._follow(_storage(x))
        return out

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, name: int, nbytes: int) -> None:
        self._known.discard(name)
        self.now -= nbytes


def _storage(x: Tensor) -> torch.UntypedStorage:
    return x.untyped_storage()
