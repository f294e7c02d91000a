"""Inflate a diffusers 2-D UNet into a video network, and deflate it again.

The UNet is kept, not forked: frames are folded into its batch, and three things are swapped (method: Tune-A-Video):
attn1 attends between frames, a temporal attention follows each feed-forward, GroupNorm sees the whole clip.
Whatever plugs into the 2-D UNet (ControlNet and T2I-Adapter residuals, LoRA) plugs into the inflated one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from tav.compute.memory import out_of_memory
from tav.errors import BaseModelError, DeviceMemoryError
from tav.nets.attention import Folding, SparseCausalAttention, TemporalAttention, TextAttention, TunedLinear
from tav.nets.norm import ClipGroupNorm
from tav.settings import FrameAttention

Part = Literal["down", "mid", "up"]


@dataclass(frozen=True)
class Tuned:
    """A tuned parameter, its part of the UNet and, for a query, the base's weight."""

    parameter: nn.Parameter
    part: Part
    base: Tensor | None
    over_frames: bool = False  # a temporal query or key, which cannot learn from one frame


class VideoUNet(nn.Module):
    """A 2-D UNet that computes on clips. Made by `inflate`; parameters keep the 2-D network's names."""

    def __init__(self, unet: nn.Module, frame_attention: FrameAttention) -> None:
        super().__init__()
        self.unet: Any = unet
        self.frame_attention = frame_attention
        self.folding = Folding()
        self.tuned: dict[str, Tuned] = {}
        self.norms: dict[str, nn.LayerNorm] = {}  # of the temporal layers, by name; never tuned
        self.undo: list[Callable[[], object]] = []

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the frozen weights and of the computation."""
        dtype: torch.dtype = self.unet.conv_in.weight.dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        device: torch.device = self.unet.conv_in.weight.device
        return device

    def forward(
        self,
        latents: Tensor,
        t: Tensor | int,
        context: Tensor,
        *,
        down_residuals: list[Tensor] | None = None,
        mid_residual: Tensor | None = None,
        adapter_residuals: list[Tensor] | None = None,
    ) -> Tensor:
        """Noise prediction (b c f h w) for latents (b c f h w), timestep(s) t (0-dim or (b,)), context (b n d).

        The residuals are what a 2-D ControlNet (down, mid) or T2I-Adapter returns for the folded frames ((b f) c h w).
        """
        frames = self.folding.frames = latents.shape[2]
        t = torch.as_tensor(t, device=self.device)
        prediction: Tensor = self.unet(
            rearrange(latents.to(self.dtype), "b c f h w -> (b f) c h w"),
            t.repeat_interleave(frames) if t.ndim else t,
            encoder_hidden_states=context.to(self.dtype).repeat_interleave(frames, dim=0),
            down_block_additional_residuals=down_residuals,
            mid_block_additional_residual=mid_residual,
            # diffusers empties this list while it runs: hand it a fresh one
            down_intrablock_additional_residuals=None if adapter_residuals is None else list(adapter_residuals),
        ).sample
        return rearrange(prediction, "(b f) c h w -> b c f h w", f=frames)

    def patiently(self, latents: Tensor, t: int, context: Tensor) -> Tensor:
        """`forward` without gradients; if memory runs out, attention is computed in smaller pieces from then on.

        Raises DeviceMemoryError if pieces of one row do not fit either.
        """
        kernels = self.folding.kernels
        while True:
            with out_of_memory(self.device) as failed, torch.no_grad():
                prediction: Tensor = self(latents, t, context)
            if not failed:
                return prediction
            if kernels.rows == 1:
                raise DeviceMemoryError(
                    f"out of memory on {self.device}: {str(failed[0]).splitlines()[0]}",
                    "take fewer frames or a smaller size",
                )
            kernels.rows = max(1, kernels.rows // 8)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Tensors by the 2-D network's names, plus attn_temp and norm_temp in each transformer block."""
        return self.unet.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The inverse of `state_dict`."""
        return self.unet.load_state_dict(*args, **kwargs)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
        """Parameters under the names of `state_dict`."""
        return self.unet.named_parameters(*args, **kwargs)


def inflate(unet: Any, *, frame_attention: FrameAttention = "sparse-causal", seed: int = 33) -> VideoUNet:
    """Make `unet` (a diffusers UNet2DConditionModel of SD 1.x or 2.x) a video network; `deflate` undoes it.

    The temporal layers' queries, keys and values are drawn from `seed`; their output is zero, so that one frame, and
    equal frames, give exactly what the 2-D network gives. Raises BaseModelError for networks of another kind.
    """
    _refuse(unet)
    video = VideoUNet(unet, frame_attention)
    _freeze(video)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for prefix, part, block in _blocks(unet):
            for index, transformer in enumerate(getattr(block, "attentions", ())):
                for number, inner in enumerate(transformer.transformer_blocks):
                    name = f"{prefix}.attentions.{index}.transformer_blocks.{number}"
                    _inflate_block(video, inner, name, part)
            for resnet in block.resnets:
                _swap(video, resnet, "norm1", ClipGroupNorm(resnet.norm1, video.folding))
                _swap(video, resnet, "norm2", ClipGroupNorm(resnet.norm2, video.folding))
    _swap(video, unet, "conv_norm_out", ClipGroupNorm(unet.conv_norm_out, video.folding))
    video.train(unet.training)
    return video


def deflate(video: VideoUNet) -> Any:
    """The 2-D UNet as it was before `inflate`, bit for bit. The video network must not be used again."""
    while video.undo:
        video.undo.pop()()
    video.tuned.clear()
    video.norms.clear()
    return video.unet


def tuned_parameters(video: VideoUNet, scope: Literal["all", "mid_up"] = "all") -> dict[str, nn.Parameter]:
    """The parameters that tuning changes, by name: attn1 and attn2 queries, and all of attn_temp (not norm_temp).

    `mid_up` leaves out the down blocks, which the official code's default checkpointing cuts off from the gradient.
    """
    parts = ("mid", "up") if scope == "mid_up" else ("down", "mid", "up")
    return {name: tuned.parameter for name, tuned in video.tuned.items() if tuned.part in parts}


def _blocks(unet: Any) -> Iterator[tuple[str, Part, Any]]:
    for index, block in enumerate(unet.down_blocks):
        yield f"down_blocks.{index}", "down", block
    if unet.mid_block is not None:
        yield "mid_block", "mid", unet.mid_block
    for index, block in enumerate(unet.up_blocks):
        yield f"up_blocks.{index}", "up", block


def _refuse(unet: Any) -> None:
    """Raise BaseModelError, before anything is changed, for a UNet that the three swaps do not fit."""
    for _, _, block in _blocks(unet):
        for transformer in getattr(block, "attentions", ()):
            inner = getattr(transformer, "transformer_blocks", None)
            if inner is None or any(one.attn2 is None for one in inner):
                kind = type(transformer).__name__
                raise BaseModelError(f"cannot inflate a UNet with {kind}", "use a Stable Diffusion 1.x or 2.x base")
            if any(hasattr(one, "attn_temp") for one in inner):
                raise BaseModelError("this UNet is inflated already", "use the inflated network, or deflate it first")


def _freeze(video: VideoUNet) -> None:
    learning = [parameter for parameter in video.unet.parameters() if parameter.requires_grad]
    video.unet.requires_grad_(False)
    video.undo.append(lambda: [parameter.requires_grad_(True) for parameter in learning])


def _inflate_block(video: VideoUNet, block: Any, name: str, part: Part) -> None:
    _swap_processor(video, block.attn1, SparseCausalAttention(video.folding, video.frame_attention))
    _swap_processor(video, block.attn2, TextAttention(video.folding))
    for attention in ("attn1", "attn2"):
        _tune_query(video, getattr(block, attention), f"{name}.{attention}.to_q.weight", part)
    _add_temporal(video, block, name, part)


def _swap_processor(video: VideoUNet, attention: Any, processor: Any) -> None:
    plain = attention.processor
    attention.set_processor(processor)
    video.undo.append(lambda: attention.set_processor(plain))


def _tune_query(video: VideoUNet, attention: Any, name: str, part: Part) -> None:
    base = attention.to_q
    query = TunedLinear.copy_of(base)
    query.requires_grad_(False)
    _swap(video, attention, "to_q", query)
    video.tuned[name] = Tuned(query.weight, part, base.weight)


def _add_temporal(video: VideoUNet, block: Any, name: str, part: Part) -> None:
    like = block.attn1.to_k.weight  # (inner_dim, dim), as the temporal projections
    block.attn_temp = TemporalAttention(like.shape[1], block.attn1.heads, like.shape[0], video.folding).to(like.device)
    block.norm_temp = nn.LayerNorm(like.shape[1], device=like.device, dtype=like.dtype)
    block.attn_temp.requires_grad_(False)
    block.norm_temp.requires_grad_(False)
    video.norms[f"{name}.norm_temp"] = block.norm_temp
    for short, parameter in block.attn_temp.named_parameters():
        over_frames = short in ("to_q.weight", "to_k.weight")
        video.tuned[f"{name}.attn_temp.{short}"] = Tuned(parameter, part, None, over_frames)
    handle = block.register_forward_hook(_after_feed_forward)
    video.undo.append(lambda: _remove_temporal(block, handle))


def _after_feed_forward(block: Any, _: Any, hidden_states: Tensor) -> Tensor:
    temporal: Tensor = block.attn_temp(block.norm_temp(hidden_states))
    return hidden_states + temporal


def _remove_temporal(block: Any, handle: Any) -> None:
    handle.remove()
    del block.attn_temp, block.norm_temp


def _swap(video: VideoUNet, owner: nn.Module, name: str, replacement: nn.Module) -> None:
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    video.undo.append(lambda: setattr(owner, name, original))
