"""GroupNorm sees the frames of a clip as one picture."""

from collections.abc import Callable

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn

from tav.nets.attention import Folding
from tav.nets.norm import ClipGroupNorm

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def norm() -> nn.GroupNorm:
    norm = nn.GroupNorm(3, 6, eps=1e-3)
    torch.manual_seed(0)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm.requires_grad_(False)


@pytest.mark.parametrize(("b", "f"), [(1, 1), (1, 4), (2, 3)])
def test_statistics_run_over_the_clip(b: int, f: int, norm: nn.GroupNorm, randn: Callable[..., Tensor]) -> None:
    x = 3 + 2 * randn(b * f, 6, 5, 4)
    groups = rearrange(x, "(b f) (g c) h w -> b g (c f h w)", f=f, g=3).double()
    groups = (groups - groups.mean(2, keepdim=True)) / (groups.var(2, keepdim=True, correction=0) + norm.eps).sqrt()
    normed = rearrange(groups, "b g (c f h w) -> (b f) (g c) h w", f=f, h=5, w=4).float()
    expected = normed * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(ClipGroupNorm(norm, Folding(f))(x), expected)


def test_frames_side_by_side_are_one_picture(norm: nn.GroupNorm, randn: Callable[..., Tensor]) -> None:
    x = randn(4, 6, 5, 4)
    picture = norm(rearrange(x, "f c h w -> 1 c h (f w)"))
    torch.testing.assert_close(ClipGroupNorm(norm, Folding(4))(x), rearrange(picture, "1 c h (f w) -> f c h w", f=4))


def test_one_frame_is_plain_group_norm(norm: nn.GroupNorm, randn: Callable[..., Tensor]) -> None:
    x = randn(3, 6, 5, 4)
    torch.testing.assert_close(ClipGroupNorm(norm, Folding(1))(x), norm(x))


def test_frames_are_not_normed_one_by_one(norm: nn.GroupNorm, randn: Callable[..., Tensor]) -> None:
    x = randn(2, 6, 5, 4) * torch.tensor([1.0, 9.0])[:, None, None, None]
    assert (ClipGroupNorm(norm, Folding(2))(x) - norm(x)).abs().max() > 0.1


def test_parameters_are_those_of_the_original(norm: nn.GroupNorm) -> None:
    clip_norm = ClipGroupNorm(norm, Folding(2))
    assert clip_norm.weight is norm.weight
    assert clip_norm.bias is norm.bias
