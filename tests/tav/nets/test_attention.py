"""Attention between frames equals softmax written out, and looks at no other frame than it says."""

from collections.abc import Callable

import pytest
import torch
from diffusers.models.attention_processor import Attention
from einops import rearrange, repeat
from torch import Tensor, nn

from tav.nets.attention import Folding, SparseCausalAttention, TemporalAttention, TunedLinear, zero_init
from tav.nets.kernels import Kernels

pytestmark = pytest.mark.usefixtures("one_thread")

# The frames whose keys frame i of f attends to, one after the other; a frame listed twice counts twice.
SEEN: dict[str, Callable[[int, int], list[int]]] = {
    "sparse-causal": lambda i, _: [0, max(i - 1, 0)],
    "first": lambda *_: [0],
    "per-frame": lambda i, _: [i],
    "full": lambda _, f: list(range(f)),
    "causal": lambda i, _: list(range(i + 1)),
}
CLIPS = [(1, 1), (1, 2), (2, 3), (1, 5)]
DIM, HEADS, TOKENS = 12, 3, 7

patterns = pytest.mark.parametrize("pattern", SEEN)
clips = pytest.mark.parametrize(("b", "f"), CLIPS)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(h n d) queries, (h m d) keys, written out."""
    weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).exp()
    return weights / weights.sum(dim=2, keepdim=True) @ v


def reference(layer: Attention, x: Tensor, frames: int, pattern: str) -> Tensor:
    """(b f) n c -> (b f) n c, frame by frame with gathered keys."""
    out = []
    for row in range(len(x)):
        clip = row - row % frames
        keys = torch.cat([x[clip + j] for j in SEEN[pattern](row % frames, frames)])
        q, k, v = (
            rearrange(to(tokens), "n (h d) -> h n d", h=HEADS)
            for to, tokens in ((layer.to_q, x[row]), (layer.to_k, keys), (layer.to_v, keys))
        )
        out.append(layer.to_out[0](rearrange(softmax_attention(q, k, v), "h n d -> n (h d)")))
    return torch.stack(out)


@pytest.fixture
def layer() -> Attention:
    torch.manual_seed(0)
    return Attention(query_dim=DIM, heads=HEADS, dim_head=4)


def attn1(layer: Attention, frames: int, pattern: str) -> Attention:
    layer.set_processor(SparseCausalAttention(Folding(frames), pattern))
    return layer


@patterns
@clips
def test_output_and_gradients_equal_softmax_written_out(
    pattern: str, b: int, f: int, layer: Attention, randn: Callable[..., Tensor]
) -> None:
    layer.double()
    results = []
    for run in (lambda x: attn1(layer, f, pattern)(x), lambda x: reference(layer, x, f, pattern)):
        x = randn(b * f, TOKENS, DIM).double().requires_grad_()
        out = run(x)
        towards = randn(*out.shape, seed=1).double()
        results.append((out, *torch.autograd.grad((out * towards).sum(), (x, *layer.parameters()))))
    for ours, written_out in zip(*results, strict=True):
        torch.testing.assert_close(ours, written_out)


@patterns
@torch.no_grad()
def test_bfloat16_is_as_good_as_softmax_written_out(
    pattern: str, layer: Attention, randn: Callable[..., Tensor]
) -> None:
    x = randn(4, TOKENS, DIM).bfloat16()
    exact = reference(layer, x.float(), 4, pattern)
    layer.bfloat16()
    written_out = (reference(layer, x, 4, pattern) - exact).abs().max()
    assert (attn1(layer, 4, pattern)(x) - exact).abs().max() <= 2 * written_out


@patterns
@torch.no_grad()
def test_a_frame_acts_on_those_that_see_it(pattern: str, layer: Attention, randn: Callable[..., Tensor]) -> None:
    f, x = 5, randn(5, TOKENS, DIM)
    before = attn1(layer, f, pattern)(x)
    for j in range(f):
        changed = x.clone()
        changed[j] += 1.0 + randn(TOKENS, DIM, seed=1)
        after = layer(changed)
        acted_on = {i for i in range(f) if not torch.allclose(after[i], before[i], atol=1e-6)}
        assert acted_on == {i for i in range(f) if i == j or j in SEEN[pattern](i, f)}


@patterns
@torch.no_grad()
def test_two_clips_are_each_alone(pattern: str, layer: Attention, randn: Callable[..., Tensor]) -> None:
    x = randn(6, TOKENS, DIM)
    attn1(layer, 3, pattern)
    torch.testing.assert_close(layer(x), torch.cat([layer(x[:3]), layer(x[3:])]))


@patterns
@torch.no_grad()
def test_equal_frames_are_plain_attention(pattern: str, layer: Attention, randn: Callable[..., Tensor]) -> None:
    frame = randn(1, TOKENS, DIM)
    plain = layer(frame)
    clip = attn1(layer, 4, pattern)(frame.expand(4, -1, -1))
    torch.testing.assert_close(clip, plain.expand_as(clip))


def test_attention_in_pieces_is_one_pass(randn: Callable[..., Tensor]) -> None:
    q, k, v = (randn(7, HEADS, TOKENS, 4, seed=seed) for seed in range(3))
    kernels = Kernels()
    whole = kernels.attend(q, k, v)
    for kernels.rows in (1, HEADS, 2 * HEADS + 1, 7 * HEADS - 1):
        with torch.no_grad():
            torch.testing.assert_close(kernels.attend(q, k, v), whole)


# over time


@pytest.fixture
def temporal() -> TemporalAttention:
    torch.manual_seed(0)
    layer = TemporalAttention(DIM, HEADS, DIM, Folding(4))
    nn.init.normal_(layer.to_out[0].weight)
    nn.init.normal_(layer.to_out[0].bias)
    return layer.requires_grad_(False)


def test_temporal_attention_equals_softmax_written_out(
    temporal: TemporalAttention, randn: Callable[..., Tensor]
) -> None:
    x = randn(2 * 4, TOKENS, DIM)
    q, k, v = (
        rearrange(to(x), "(b f) n (h d) -> (b n h) f d", f=4, h=HEADS)
        for to in (temporal.to_q, temporal.to_k, temporal.to_v)
    )
    out = rearrange(softmax_attention(q, k, v), "(b n h) f d -> (b f) n (h d)", n=TOKENS, h=HEADS)
    torch.testing.assert_close(temporal(x), temporal.to_out[0](out))


def test_temporal_attention_has_no_order(temporal: TemporalAttention, randn: Callable[..., Tensor]) -> None:
    x, order = randn(4, TOKENS, DIM), [2, 0, 3, 1]
    torch.testing.assert_close(temporal(x[order]), temporal(x)[order])


def test_temporal_attention_keeps_tokens_apart(temporal: TemporalAttention, randn: Callable[..., Tensor]) -> None:
    x = randn(4, TOKENS, DIM)
    changed = x.clone()
    changed[2, 3] += 1
    moved = (temporal(changed) - temporal(x)).abs().amax(dim=2) > 1e-6
    assert torch.equal(moved, repeat(torch.arange(TOKENS) == 3, "n -> f n", f=4))


def test_temporal_attention_starts_as_nothing(randn: Callable[..., Tensor]) -> None:
    fresh = TemporalAttention(DIM, HEADS, DIM, Folding(4))
    assert not fresh(randn(4, TOKENS, DIM)).any()


# the tuned layer


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_tuned_linear_keeps_float32_and_computes_as_its_original(
    dtype: torch.dtype, bias: bool, randn: Callable[..., Tensor]
) -> None:
    linear, x = nn.Linear(5, 3, bias=bias, dtype=dtype), randn(2, 5).to(dtype)
    copy = TunedLinear.copy_of(linear)
    assert copy.weight.dtype == torch.float32
    assert torch.equal(copy(x), linear(x))
    before = linear.weight.clone()
    nn.init.zeros_(copy.weight)
    assert torch.equal(linear.weight, before)


def test_zero_init_gives_back_a_layer_that_adds_nothing(randn: Callable[..., Tensor]) -> None:
    linear = nn.Linear(5, 3)
    assert zero_init(linear) is linear
    assert not linear(randn(2, 5)).any()
