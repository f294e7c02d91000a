"""Training and testing of the reader."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tav.compute.device import autocast
from tav.storybook.train.augment import worn
from tav.storybook.train.labels import UNKNOWN, centres, numbers, shown
from tav.storybook.train.pixels import as_input
from tav.storybook.train.reader import Reader, read
from tav.storybook.world import Scene

BATCH = 64
LEARNING_RATE = 2.5e-3
# Weight of a pixel of position error; that of a unit of cross-entropy is 1.
PIXEL = 0.15


class Shelf(Protocol):
    """Pictures by number: uint8, (128, 128, 3)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Lesson:
    """One optimiser step is done; `step` counts from 1 to `total`. The loss is of that step's batch."""

    step: int
    total: int
    loss: float


def teach(
    reader: Reader, pictures: Shelf, scenes: Sequence[Scene], steps: int, seed: int, batch: int = BATCH
) -> Iterator[Lesson]:
    """Train `reader` on augmented pictures of `scenes` (one scene a picture); AdamW with warmup and cosine decay."""
    truth, places = numbers(scenes), torch.from_numpy(centres(scenes))
    generator, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
    reader.train().requires_grad_(True)
    for step in range(steps):
        chosen = rng.integers(0, len(scenes), batch)
        soft, shifts = worn(as_input(np.stack([pictures[index] for index in chosen.tolist()])), generator)
        wanted = {name: torch.from_numpy(known[chosen]) for name, known in truth.items()}
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * _rate(step / steps)
        loss = _loss(reader, soft, wanted, places[chosen] + shifts)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        yield Lesson(step + 1, steps, loss.item())
    reader.eval().requires_grad_(False)


def _rate(done: float) -> float:
    """Factor of the learning rate: up over the first twentieth, then down along a cosine to zero."""
    return done * 20 if done < 0.05 else 0.5 + 0.5 * math.cos(math.pi * (done - 0.05) / 0.95)


def _loss(reader: Reader, batch: Tensor, wanted: dict[str, Tensor], places: Tensor) -> Tensor:
    with autocast(batch.device):
        logits, found = reader(batch)
    named = (_cross_entropy(logits[name], words) for name, words in wanted.items())
    return sum(named, PIXEL * F.smooth_l1_loss(found, places))


def _cross_entropy(logits: Tensor, words: Tensor) -> Tensor:
    return F.cross_entropy(logits, words, ignore_index=UNKNOWN, label_smoothing=0.03)


def examine(
    reader: Reader, pictures: NDArray[np.uint8], scenes: Sequence[Scene], shifts: NDArray[np.float32] | float = 0.0
) -> dict[str, float]:
    """The share of words read right, per attribute, and `centre`: the mean distance in pixels of the figures' centres.

    Scenes that have no word of the vocabulary for an attribute are left out of its share. `shifts`: how far the
    pictures (n h w 3) were moved from where they were drawn, (n, 2).
    """
    reading, truth = read(reader, pictures), numbers(scenes)
    off = np.linalg.norm(reading.centres - centres(scenes) - shifts, axis=1)
    return {name: _share(reading.words[name], scenes, name, truth) for name in truth} | {"centre": float(off.mean())}


def _share(words: list[str | None], scenes: Sequence[Scene], name: str, truth: dict[str, NDArray[np.int64]]) -> float:
    asked = [index for index, number in enumerate(truth[name].tolist()) if number != UNKNOWN]
    return float(np.mean([words[index] == shown(scenes[index])[name] for index in asked]))
