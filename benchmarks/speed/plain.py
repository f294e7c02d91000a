"""The plain reference: the same network written as the method's formulas read, with nothing saved anywhere.

Keys and values are copied for every frame, attention weights are written out, text is projected once per frame, both
branches of the guidance run in one batch, and every resnet and transformer is computed again in the backward pass.
"""

from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor

from tav.nets.inflate import VideoUNet, inflate


def plain(unet: Any) -> VideoUNet:
    """Inflate `unet` and put the plain forms in place of tav's; the weights keep their names."""
    video = inflate(unet)
    for module in unet.modules():
        if hasattr(module, "attn_temp"):
            module.attn1.set_processor(_FrameAttention(video))
            module.attn2.set_processor(_TextAttention())
            module.attn_temp.forward = _Temporal(module.attn_temp, video)
    # The library's own switch: every resnet and every transformer, non-reentrant.
    unet.train()
    unet.enable_gradient_checkpointing()
    return video


def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v on (b n d) and (b m d)."""
    return torch.softmax(q @ k.transpose(1, 2) * q.shape[-1] ** -0.5, dim=-1) @ v


def _heads(x: Tensor, heads: int) -> Tensor:
    return rearrange(x, "b n (h d) -> (b h) n d", h=heads).contiguous()


def _finished(attn: Any, out: Tensor) -> Tensor:
    out = rearrange(out, "(b h) n d -> b n (h d)", h=attn.heads)
    for layer in attn.to_out:
        out = layer(out)
    return out


class _FrameAttention:
    def __init__(self, video: VideoUNet) -> None:
        self.video = video

    def __call__(self, attn: Any, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        frames = self.video.folding.frames
        former = torch.arange(frames) - 1
        former[0] = 0

        def gathered(x: Tensor) -> Tensor:
            x = rearrange(x, "(b f) n c -> b f n c", f=frames)
            return rearrange(torch.cat([x[:, [0] * frames], x[:, former]], dim=2), "b f n c -> (b f) n c")

        q, k, v = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        q, k, v = (_heads(x, attn.heads) for x in (q, gathered(k), gathered(v)))
        return _finished(attn, softmax_attention(q, k, v))


class _TextAttention:
    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        text = encoder_hidden_states
        q, k, v = (_heads(x, attn.heads) for x in (attn.to_q(hidden_states), attn.to_k(text), attn.to_v(text)))
        return _finished(attn, softmax_attention(q, k, v))


class _Temporal:
    def __init__(self, attn: Any, video: VideoUNet) -> None:
        self.attn, self.video = attn, video

    def __call__(self, hidden_states: Tensor) -> Tensor:
        x = rearrange(hidden_states, "(b f) n c -> (b n) f c", f=self.video.folding.frames)
        q, k, v = (_heads(to(x), self.attn.heads) for to in (self.attn.to_q, self.attn.to_k, self.attn.to_v))
        out = _finished(self.attn, softmax_attention(q, k, v))
        return rearrange(out, "(b n) f c -> (b f) n c", n=hidden_states.shape[1])


def guided(video: VideoUNet, latents: Tensor, t: int, context: Tensor, negative: Tensor, scale: float) -> Tensor:
    """One guided prediction, both branches in one batch."""
    both = video(repeat(latents, "1 ... -> 2 ..."), t, torch.cat([negative, context]))
    uncond, text = both.chunk(2)
    return uncond + scale * (text - uncond)
