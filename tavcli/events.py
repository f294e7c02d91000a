"""What a run says: the engine's events, and the application's own, yielded for whoever shows them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tav.events import Event


@dataclass(frozen=True)
class Begin:
    """A piece of work of `total` steps starts, `done` of them done before; `what` is for people."""

    what: str
    total: int
    done: int = 0


@dataclass(frozen=True)
class Step:
    """`step` of `total` steps are done, elsewhere: what the engine says, without its latents."""

    step: int
    total: int


@dataclass(frozen=True)
class Note:
    """Something a person should know; `warning` if it may spoil the result."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Preview:
    """What is being rendered, as small pictures (f h w 3) uint8."""

    frames: Any


@dataclass(frozen=True)
class Checked:
    """How well the inversion gives the clip back: PSNR in dB, beside that of the VAE alone, its ceiling."""

    psnr: float
    vae_psnr: float
    sheet: Path


RunEvent = Event | Begin | Step | Note | Preview | Checked
