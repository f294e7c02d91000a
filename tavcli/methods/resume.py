"""Loops that can be resumed: latents are saved now and then and when the user stops; the loop goes on from there."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tav.errors import CheckpointError, TavError
from tav.events import InvertStep, LessAtOnce, SampleStep
from tavcli.events import RunEvent
from tavcli.interrupts import Interrupted, interrupts
from tavcli.methods.loading import memory_guard
from tavcli.workspace.session import Session

if TYPE_CHECKING:
    from torch import Tensor

SAVE_SECONDS, SAVE_STEPS = 60, 50


@dataclass
class SaveClock:
    """Is it time to save?"""

    at: float = field(default_factory=time.monotonic)
    steps: int = 0

    def due(self) -> bool:
        """Count a step; True every minute or 50 steps."""
        self.steps += 1
        if self.steps < SAVE_STEPS and time.monotonic() - self.at < SAVE_SECONDS:
            return False
        self.at, self.steps = time.monotonic(), 0
        return True


def resumable(
    session: Session,
    events: Iterator[InvertStep | LessAtOnce] | Iterator[SampleStep | LessAtOnce],
    partial: Path,
    latents: "Tensor",
) -> "Generator[RunEvent, None, Tensor]":
    """Pass a loop's events on and return its last latents, or `latents` if it has no more steps.

    The last ones are saved too: what comes after them may fail, and the loop need not run again for it.
    """
    clock = SaveClock()
    with interrupts.deferred(), memory_guard(session):
        for event in events:
            yield event
            if isinstance(event, LessAtOnce):
                continue
            latents = event.latents
            if interrupts.pending or clock.due() or event.step == event.total:
                _save(partial, latents, event.step)
            if interrupts.pending:
                raise Interrupted
    return latents


def _save(partial: Path, latents: "Tensor", done: int) -> None:
    from tav.tensor_files import save_tensors

    if not latents.isfinite().all():
        raise TavError(f"the latents of step {done} are not finite", "try --precision fp32")
    save_tensors(partial, "latents", {"latents": latents}, {"done": done})


def read_partial(path: Path, steps: int) -> "tuple[Tensor, int] | None":
    """Latents and steps done of an interrupted loop of `steps`, if there is one. Raises CheckpointError."""
    from tav.tensor_files import read_tensors

    if not path.is_file():
        return None
    tensors, provenance = read_tensors(path, "latents", latents=5)
    done = provenance.get("done")
    if not isinstance(done, int) or not 0 <= done <= steps:
        raise CheckpointError(f"{path.name} does not say how far it is", f"remove {path} and it is made again")
    return tensors["latents"], done
