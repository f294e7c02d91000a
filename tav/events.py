"""What the verbs yield while they run: small frozen facts. The caller owns progress bars, cancelling and saving."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TuneStep:
    """One optimiser step is done; `step` counts from 1 to `total`."""

    step: int
    total: int
    loss: float
    grad_norm: float


@dataclass(frozen=True)
class NotLearning:
    """After the first steps these tuned parameters had no gradient yet, or were not moved by the optimiser."""

    step: int
    without_gradient: tuple[str, ...]
    not_moved: tuple[str, ...]


@dataclass(frozen=True)
class Recomputing:
    """Memory ran out in `step`: it was done again, and all later ones are done, with this much recomputed."""

    step: int
    rung: str


@dataclass(frozen=True)
class LessAtOnce:
    """Memory ran out: attention goes on in pieces of this many rows (batch entries times heads)."""

    rows: int


@dataclass(frozen=True)
class InvertStep:
    """The latents (1 c f h w) after `step` of `total` inversion steps; the last ones are the inverted latents."""

    step: int
    total: int
    latents: "Tensor"


@dataclass(frozen=True)
class SampleStep:
    """The latents (1 c f h w) after `step` of `total` denoising steps of prompt number `index` (from 0).

    `preview` is the clean video the network expects at this point, as latents, when previews were asked for.
    """

    index: int
    step: int
    total: int
    latents: "Tensor"
    preview: "Tensor | None" = None


@dataclass(frozen=True)
class VaeStep:
    """`frames` of `total` frames have gone through the VAE."""

    frames: int
    total: int


Event = TuneStep | NotLearning | Recomputing | LessAtOnce | InvertStep | SampleStep | VaeStep
