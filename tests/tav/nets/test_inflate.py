"""Inflation adds nothing until it is tuned, keeps what plugs into the 2-D network, and is undone exactly."""

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from einops import repeat
from torch import Tensor, nn

from tav.bases import Base
from tav.errors import BaseModelError
from tav.nets.inflate import VideoUNet, deflate, inflate, tuned_parameters

pytestmark = pytest.mark.usefixtures("one_thread")

PATTERNS = ("sparse-causal", "first", "per-frame", "full", "causal")
BASES = ("sd1", "sd2")
T = 501
EXACT = {"atol": 1e-5, "rtol": 0.0}

Bases = Callable[[str], Base]
Videos = Callable[..., VideoUNet]
Randn = Callable[..., Tensor]


def text(unet: nn.Module, randn: Randn, b: int = 1) -> Tensor:
    return randn(b, 6, unet.config.cross_attention_dim, seed=9)


def make_silent(video: VideoUNet) -> None:
    """Zero the temporal outputs; queries, keys, values and norms stay what they are."""
    for name, parameter in video.named_parameters():
        if "attn_temp.to_out" in name:
            nn.init.zeros_(parameter)


# the 2-D network inside


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", BASES)
@torch.no_grad()
def test_equal_frames_give_what_the_2d_network_gives(
    name: str, pattern: str, base: Bases, make_video: Videos, randn: Randn
) -> None:
    unet, video = base(name).unet, make_video(name, frame_attention=pattern)
    make_silent(video)
    picture, context = randn(2, 4, 8, 8), text(unet, randn, b=2)
    times = torch.tensor([T, 7])
    flat = unet(picture, times, context).sample
    for frames in (1, 3):
        clip = repeat(picture, "b c h w -> b c f h w", f=frames)
        torch.testing.assert_close(video(clip, times, context), repeat(flat, "b c h w -> b c f h w", f=frames), **EXACT)


@torch.no_grad()
def test_a_fresh_network_is_silent_over_time(make_video: Videos, randn: Randn) -> None:
    video = make_video(stirred=False)
    clip, context = randn(1, 4, 3, 8, 8), text(video.unet, randn)
    before = video(clip, T, context)
    for name, parameter in video.named_parameters():
        if "attn_temp.to_q" in name:
            parameter.add_(1)
    assert torch.equal(video(clip, T, context), before)


@torch.no_grad()
def test_frames_see_each_other(make_video: Videos, randn: Randn) -> None:
    video = make_video()
    clip, context = randn(1, 4, 3, 8, 8), text(video.unet, randn)
    changed = clip.clone()
    changed[:, :, 1] += 1
    assert ((video(changed, T, context) - video(clip, T, context)).abs().amax(dim=(0, 1, 3, 4)) > 1e-3).all()


@pytest.mark.parametrize("name", BASES)
@torch.no_grad()
def test_two_clips_are_each_alone(name: str, make_video: Videos, randn: Randn) -> None:
    video = make_video(name)
    clips, context = randn(2, 4, 3, 8, 8), text(video.unet, randn, b=2)
    times = torch.tensor([T, 7])
    alone = [video(clips[i : i + 1], times[i], context[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(video(clips, times, context), torch.cat(alone), **EXACT)


@torch.no_grad()
def test_bfloat16_costs_what_it_costs_the_2d_network(base: Bases, make_video: Videos, randn: Randn) -> None:
    unet, video = base("sd1").unet, make_video("sd1", stirred=False)
    picture, context = randn(1, 4, 8, 8), text(unet, randn)
    exact, half = unet(picture, T, context).sample, copy.deepcopy(unet).bfloat16()
    cost = (half(picture.bfloat16(), T, context.bfloat16()).sample - exact).abs().max()
    video = inflate(half)
    assert {parameter.dtype for parameter in tuned_parameters(video).values()} == {torch.float32}
    out = video(picture[:, :, None], T, context)
    assert out.dtype == torch.bfloat16
    assert (out[:, :, 0] - exact).abs().max() <= 2 * cost


# what plugs in


def control(unet: nn.Module, randn: Randn, frames: int) -> tuple[list[Tensor], Tensor]:
    """Residuals such as a ControlNet gives for each frame, of the shapes the network's own skips have."""
    shapes = []
    hooks = [unet.conv_in.register_forward_hook(lambda *args: shapes.append(args[2].shape))]
    hooks += [
        block.register_forward_hook(lambda *args: shapes.extend(skip.shape for skip in args[2][1]))
        for block in unet.down_blocks
    ]
    unet(randn(1, 4, 8, 8), T, text(unet, randn))
    for hook in hooks:
        hook.remove()
    down = [randn(1, *shape[1:], seed=i).expand(frames, -1, -1, -1) for i, shape in enumerate(shapes)]
    return down, randn(1, *shapes[-1][1:], seed=99).expand(frames, -1, -1, -1)


def adapter(unet: nn.Module, randn: Randn, frames: int) -> list[Tensor]:
    """Residuals such as a T2I-Adapter gives for each frame: one for each down block, before it is made smaller."""
    sizes = [8 // 2**index for index in range(len(unet.down_blocks))]
    widths = unet.config.block_out_channels
    return [
        randn(1, width, size, size, seed=size).expand(frames, -1, -1, -1)
        for width, size in zip(widths, sizes, strict=True)
    ]


@pytest.mark.parametrize("frames", [1, 3])
@torch.no_grad()
def test_control_acts_as_in_the_2d_network(frames: int, base: Bases, make_video: Videos, randn: Randn) -> None:
    unet, video = base("sd1").unet, make_video("sd1")
    make_silent(video)
    picture, context = randn(1, 4, 8, 8), text(unet, randn)
    down, mid = control(unet, randn, 1)
    flat = unet(picture, T, context, down_block_additional_residuals=down, mid_block_additional_residual=mid).sample
    assert (flat - unet(picture, T, context).sample).abs().max() > 0.01
    down, mid = control(unet, randn, frames)
    clip = repeat(picture, "b c h w -> b c f h w", f=frames)
    out = video(clip, T, context, down_residuals=down, mid_residual=mid)
    torch.testing.assert_close(out, repeat(flat, "b c h w -> b c f h w", f=frames), **EXACT)


@torch.no_grad()
def test_an_adapter_acts_at_every_call_as_in_the_2d_network(base: Bases, make_video: Videos, randn: Randn) -> None:
    unet, video = base("sd1").unet, make_video("sd1")
    make_silent(video)
    picture, context = randn(1, 4, 8, 8), text(unet, randn)
    flat = unet(picture, T, context, down_intrablock_additional_residuals=adapter(unet, randn, 1)).sample
    assert (flat - unet(picture, T, context).sample).abs().max() > 0.01
    residuals, clip = adapter(unet, randn, 3), repeat(picture, "b c h w -> b c f h w", f=3)
    for _ in range(2):
        out = video(clip, T, context, adapter_residuals=residuals)
        torch.testing.assert_close(out, repeat(flat, "b c h w -> b c f h w", f=3), **EXACT)
    assert len(residuals) == len(unet.down_blocks)


@torch.no_grad()
def test_residuals_of_different_frames_stay_with_their_frames(base: Bases, make_video: Videos, randn: Randn) -> None:
    video = make_video("sd1", frame_attention="per-frame")
    make_silent(video)
    clip, context = randn(1, 4, 3, 8, 8), text(video.unet, randn)
    down, mid = control(base("sd1").unet, randn, 3)
    second = torch.tensor([0.0, 1.0, 0.0])[:, None, None, None]
    out = video(clip, T, context, down_residuals=[second * skip for skip in down], mid_residual=second * mid)
    moved = (out - video(clip, T, context)).abs().amax(dim=(0, 1, 3, 4))
    # The joint GroupNorm lets a little through to the other frames.
    assert moved.argmax() == 1


# names and seeds


@pytest.mark.parametrize("name", BASES)
def test_names_are_the_2d_networks_and_the_temporal_ones(name: str, base: Bases, make_video: Videos) -> None:
    flat, video = base(name).unet.state_dict(), make_video(name).state_dict()
    assert flat.keys() <= video.keys()
    new = video.keys() - flat.keys()
    blocks = {key.split(".attn1.")[0] for key in flat if ".attn1." in key}
    temporal = ("attn_temp.to_q.weight", "attn_temp.to_k.weight", "attn_temp.to_v.weight", "attn_temp.to_out.0.weight")
    temporal += ("attn_temp.to_out.0.bias", "norm_temp.weight", "norm_temp.bias")
    assert new == {f"{block}.{short}" for block, short in itertools.product(blocks, temporal)}
    assert all(torch.equal(video[key], flat[key]) for key in flat)


@pytest.mark.parametrize("name", BASES)
def test_tuned_parameters_are_those_of_the_network_and_frozen(name: str, make_video: Videos) -> None:
    video = make_video(name)
    named = dict(video.named_parameters())
    everything, part = tuned_parameters(video), tuned_parameters(video, "mid_up")
    assert all(named[key] is parameter for key, parameter in everything.items())
    assert not any("norm_temp" in key for key in everything)
    assert part.keys() == {key for key in everything if not key.startswith("down_blocks")}
    assert not any(parameter.requires_grad for parameter in named.values())


def test_a_seed_means_the_same_temporal_layers_and_leaves_the_global_one_alone(make_video: Videos) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first, again, other = (make_video(stirred=False, seed=seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


# undoing it


def snapshot(unet: nn.Module) -> dict[str, Any]:
    """Everything about a network that inflation might touch."""
    return {
        "modules": dict(unet.named_modules()),
        "parameters": dict(unet.named_parameters()),
        "processors": dict(unet.attn_processors),
        "hooks": {name: (len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in unet.named_modules()},
        "requires_grad": {name: parameter.requires_grad for name, parameter in unet.named_parameters()},
        "training": {name: module.training for name, module in unet.named_modules()},
    }


@pytest.mark.parametrize("name", BASES)
@torch.no_grad()
def test_deflating_restores_the_2d_network(name: str, base: Bases, randn: Randn) -> None:
    unet = copy.deepcopy(base(name).unet)
    unet.set_attn_processor(AttnProcessor())
    given, context = randn(2, 4, 8, 8), text(unet, randn, b=2)
    before, weights = snapshot(unet), copy.deepcopy(unet.state_dict())
    out = unet(given, T, context).sample
    for _ in range(2):
        video = inflate(unet)
        for parameter in tuned_parameters(video).values():
            parameter.add_(1)
        video(randn(1, 4, 3, 8, 8), T, context[:1])
        assert deflate(video) is unet
        after = snapshot(unet)
        for what in ("modules", "parameters", "processors"):
            assert before[what].keys() == after[what].keys()
            assert all(after[what][key] is before[what][key] for key in before[what]), what
        for what in ("hooks", "requires_grad", "training"):
            assert after[what] == before[what], what
        assert all(torch.equal(value, weights[key]) for key, value in unet.state_dict().items())
        assert torch.equal(unet(given, T, context).sample, out)


def test_deflating_gives_back_what_could_learn(base: Bases) -> None:
    unet = copy.deepcopy(base("tiny").unet)
    unet.conv_in.requires_grad_(True)
    before = snapshot(unet)["requires_grad"]
    assert snapshot(deflate(inflate(unet)))["requires_grad"] == before


def test_a_network_of_another_make_is_refused_and_left_alone() -> None:
    unet = UNet2DConditionModel(
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "AttnUpBlock2D"),
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
    )
    before = snapshot(unet)
    with pytest.raises(BaseModelError, match="cannot inflate"):
        inflate(unet)
    after = snapshot(unet)
    assert before["modules"] == after["modules"]
    assert before["hooks"] == after["hooks"]
    assert before["requires_grad"] == after["requires_grad"]


def test_an_inflated_network_is_not_inflated_again(make_video: Videos) -> None:
    with pytest.raises(BaseModelError):
        inflate(make_video().unet)
