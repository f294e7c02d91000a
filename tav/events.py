"""Events that the engine's loops yield. The caller shows progress, cancels and saves."""

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
    """Names of the tuned parameters that had no gradient, or did not move, in the first steps."""

    step: int
    without_gradient: tuple[str, ...]
    not_moved: tuple[str, ...]


@dataclass(frozen=True)
class Recomputing:
    """Memory ran out in `step`: that step was repeated, and later ones run, with the recomputation of `rung`."""

    step: int
    rung: str


@dataclass(frozen=True)
class LessAtOnce:
    """Memory ran out: attention is now computed in pieces of at most `rows` rows (batch entries times heads)."""

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

    `preview` is the clean latents that the step's prediction expects, where previews were asked for.
    """

    index: int
    step: int
    total: int
    latents: "Tensor"
    preview: "Tensor | None" = None


@dataclass(frozen=True)
class VaeStep:
    """The VAE has encoded or decoded `frames` of `total` frames."""

    frames: int
    total: int


Event = TuneStep | NotLearning | Recomputing | LessAtOnce | InvertStep | SampleStep | VaeStep
