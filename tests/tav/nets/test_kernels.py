"""Attention kernels: the same softmax attention, chosen by measurement, and the choice remembered."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tav.nets import kernels
from tav.nets.kernels import Kernels, weights_of

SHAPES = [(1, 1, 4, 4, 8), (3, 2, 16, 32, 8), (2, 4, 9, 5, 40)]


def qkv(shape: tuple[int, ...], randn: Callable[..., Tensor], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    b, h, n, m, d = shape
    return [randn(b, h, length, d, seed=seed).to(dtype) for seed, length in enumerate((n, m, m))]


def gradients(attend: Callable[..., Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    learning = [x.clone().requires_grad_() for x in inputs]
    out = attend(*learning)
    return torch.autograd.grad(out, learning, torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_kernel_is_further_from_the_truth_than_twice_the_other(
    shape: tuple[int, ...], dtype: torch.dtype, randn: Callable[..., Tensor]
) -> None:
    inputs = qkv(shape, randn, dtype)
    exact = [x.double() for x in inputs]
    truth = [kernels._classic(*exact), *gradients(kernels._classic, exact)]
    errors = {
        name: [
            (x.double() - true).abs().max()
            for x, true in zip([kernel(*inputs), *gradients(kernel, inputs)], truth, strict=True)
        ]
        for name, kernel in kernels._KERNELS.items()
    }
    noise = torch.finfo(dtype).eps
    for fused, classic in zip(errors["fused"], errors["classic"], strict=True):
        assert classic <= 2 * fused + 4 * noise
        assert fused <= 2 * classic + 4 * noise


def test_without_a_memory_nothing_is_measured(randn: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "measured", lambda *_: pytest.fail("measured"))
    inputs = qkv(SHAPES[1], randn)
    assert torch.equal(Kernels().attend(*inputs), kernels._fused(*inputs))


def test_a_shape_is_measured_once_and_learning_apart(
    randn: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(kernels, "measured", lambda *args: asked.append(args[3]) or "classic")
    inputs, one = qkv(SHAPES[1], randn), Kernels()
    one.choices = {}
    for _ in range(3):
        assert torch.equal(one.attend(*inputs), kernels._classic(*inputs))
        one.attend(*(x.clone().requires_grad_() for x in inputs))
    assert asked == [False, True]
    assert list(one.choices.values()) == ["classic", "classic"]
    assert len({name.replace("learn", "").replace("infer", "") for name in one.choices}) == 1


def test_large_weights_are_never_written_out() -> None:
    q = torch.empty(64, 8, 1024, 8, device="meta")
    one = Kernels()
    one.choices = {}
    assert weights_of(q, q) == 64 * 8 * 1024 * 1024 * 4 > kernels._MOST_WEIGHTS
    assert one._choice(q, q, q) == "fused"
    assert one.choices == {}


@pytest.mark.parametrize("learns", [False, True])
def test_measuring_tells_a_slow_kernel_from_a_fast_one(
    learns: bool, randn: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = qkv((2, 2, 64, 64, 8), randn)

    def slow(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return sum(kernels._classic(q, k, v) for _ in range(200)) / 200

    for name in ("fused", "classic"):
        with monkeypatch.context() as patched:
            patched.setitem(kernels._KERNELS, name, slow)
            assert kernels.measured(*inputs, learns) != name


def test_measuring_inside_a_recomputed_block_changes_nothing_there(randn: Callable[..., Tensor]) -> None:
    inputs, one = qkv(SHAPES[1], randn), Kernels()
    one.choices = {}
    found = gradients(lambda *x: checkpoint(one.attend, *x, use_reentrant=False), inputs)
    assert list(one.choices)
    for actual, expected in zip(found, gradients(one.attend, inputs), strict=True):
        assert torch.equal(actual, expected)
