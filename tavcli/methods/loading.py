"""What runs share: the network, the clip's latents, the prompts' texts; each is loaded once, and kept."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tav.nets.inflate import VideoUNet


@dataclass
class Network:
    """The inflated network, and the key of the tuned weights in it: none, those of a stage, or half-made ones."""

    video: "VideoUNet"
    weights: str = ""
