"""Counting on meta tensors: operations by their formulas, bytes by what is alive at once."""

import torch
import torch.nn.functional as F

from tav.compute.flops import count


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")


def test_a_product_costs_two_operations_a_multiply_add_and_holds_its_result() -> None:
    a, b = meta(3, 5), meta(5, 7)
    found = count(lambda: a @ b)
    assert (found.flops, found.peak) == (2 * 3 * 5 * 7, 4 * 3 * 7)


def test_what_is_dropped_is_not_counted_later() -> None:
    x = meta(1000)
    # Each addition holds its input and its result; the older ones are gone.
    assert count(lambda: x + 1 + 1 + 1 + 1).peak == 2 * 4000


def test_a_view_takes_no_memory() -> None:
    x = meta(10, 10)
    assert count(lambda: x.view(100)[3:]).peak == 0


def test_the_backward_pass_holds_what_the_forward_pass_kept() -> None:
    x = meta(100, 10).requires_grad_()

    def chain() -> None:
        out = x
        for _ in range(5):
            out = out.exp()  # keeps its result
        out.sum().backward()

    assert 6 * 4000 <= count(chain).peak <= 8 * 4000


def test_attention_weights_are_not_written_out() -> None:
    from tav.nets.kernels import Kernels

    q = meta(2, 4, 512, 8)
    found = count(lambda: Kernels().attend(q, q, q))
    assert found.flops == 2 * 2 * (2 * 4 * 512 * 512 * 8)
    assert found.peak < 4 * 2 * 4 * 512 * 512


def test_a_convolution_forwards_and_backwards() -> None:
    x, weight = meta(2, 3, 8, 8).requires_grad_(), meta(4, 3, 3, 3)
    forward = 2 * 2 * 4 * 8 * 8 * 3 * 9
    found = count(lambda: F.conv2d(x, weight, padding=1).sum().backward())
    assert found.flops == 2 * forward  # and the same again for the input's gradient; the weight is frozen
