"""GroupNorm over all frames of a clip jointly: statistics over channels in a group, frames, height and width."""

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tav.nets.attention import Folding


class ClipGroupNorm(nn.GroupNorm):
    """A GroupNorm with the parameters of `norm` whose statistics are over all frames of a clip."""

    def __init__(self, norm: nn.GroupNorm, folding: Folding) -> None:
        super().__init__(norm.num_groups, norm.num_channels, eps=norm.eps, affine=norm.affine, device="meta")
        self.weight, self.bias = norm.weight, norm.bias
        self.folding = folding

    def forward(self, input: Tensor) -> Tensor:
        """(b f) c h w -> (b f) c h w."""
        clips = rearrange(input, "(b f) c h w -> b c f h w", f=self.folding.frames)
        normed = F.group_norm(clips, self.num_groups, self.weight, self.bias, self.eps)
        return rearrange(normed, "b c f h w -> (b f) c h w")
