"""The training loop of all embedded models: limited by time or by steps, and resumable."""

import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tav.atomic import replacing
from tav.compute.device import autocast
from tav.storybook.train.muon import Muon, matrices
from tav.storybook.train.workers import Worker

SAVE_EVERY = 120.0
"""Seconds between checkpoints."""

Loss = Callable[[nn.Module, np.random.Generator, int], tuple[Tensor, dict[str, float]]]
"""`loss(model, rng, step)` is (loss, values to log); `rng` differs between workers and steps."""


@dataclass(frozen=True)
class Plan:
    """The settings of one model's training."""

    name: str
    steps: int
    """Steps in all, those of earlier runs included."""
    rate: float
    """Learning rate; it falls to a twentieth over the last `tail` of the steps."""
    tail: float = 0.3
    warmup: int = 100
    decay: float = 0.999
    """Decay of the weights' running mean, which is shipped."""
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0

    def share_at(self, step: int, since: int) -> float:
        """Factor of the learning rate at `step`, `since` steps after a start with a fresh optimiser."""
        left = (self.steps - step) / max(1, self.steps * self.tail)
        return min(1.0, (since + 1) / self.warmup) * max(0.05, min(1.0, left))


@dataclass(frozen=True)
class Past:
    """The training that shipped weights have had."""

    steps: int = 0
    seconds: float = 0.0


class Progress:
    """A model in training: weights, their running mean, optimisers, steps and seconds done."""

    def __init__(self, plan: Plan, model: nn.Module, folder: Path, worker: Worker, past: Past | None = None) -> None:
        """Load the state in `folder` if there is one; else start with the model's weights and their past."""
        past = past or Past()
        self.plan, self.model, self.path = plan, model, folder / f"{plan.name}.pt"
        self.trained = [p for p in model.parameters() if p.requires_grad]
        inner, others = matrices(model)
        self.optimisers = [
            Muon(inner, worker, plan.rate, 0.95, plan.weight_decay),
            torch.optim.AdamW(others, lr=plan.rate / 2, betas=(0.9, 0.99), weight_decay=0.0, foreach=True),
        ]
        self.mean = [p.detach().clone() for p in self.trained]
        self.step, self.fresh_at, self.seconds = past.steps, past.steps, past.seconds
        if self.path.exists():
            self._load()

    def _load(self) -> None:
        state = torch.load(self.path, map_location=self.trained[0].device, weights_only=True)
        for own, mean, p, m in zip(self.trained, self.mean, state["weights"], state["mean"], strict=True):
            own.data.copy_(p)
            mean.copy_(m)
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self.step, self.fresh_at, self.seconds = state["step"], state["fresh_at"], state["seconds"]

    def save(self) -> None:
        """Write the state to its file, whole or not at all."""
        state: dict[str, Any] = {
            "weights": [p.data for p in self.trained],
            "mean": self.mean,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "fresh_at": self.fresh_at,
            "seconds": self.seconds,
        }
        with replacing(self.path) as temporary:
            torch.save(state, temporary)

    def use_mean(self) -> None:
        """Replace the weights by their running mean."""
        for p, m in zip(self.trained, self.mean, strict=True):
            p.data.copy_(m)

    def advance(self) -> None:
        """Make one optimiser step with the parameters' gradients."""
        torch.nn.utils.clip_grad_norm_(self.trained, self.plan.clip)
        share = self.plan.share_at(self.step, self.step - self.fresh_at)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * share
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        # The decay is small at first, so that the mean forgets the random weights it started with.
        decay = min(self.plan.decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(self.mean, [p.data for p in self.trained], 1 - decay)


def optimise(
    worker: Worker, progress: Progress, loss: Loss, folder: Path, minutes: float, look: Callable[[int], None]
) -> None:
    """Train until the plan's steps are done or `minutes` are over, and save from time to time.

    The leading worker calls `look(step)` at every checkpoint. SIGTERM ends the run after a step, with a checkpoint.
    """
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    plan, model = progress.plan, progress.model
    started = saved = time.monotonic()
    figures: list[dict[str, float]] = []
    while progress.step < plan.steps:
        begun = time.monotonic()
        rng = np.random.default_rng([plan.seed, progress.step, worker.rank])
        with autocast(worker.device):
            value, seen = loss(model, rng, progress.step)
        value.backward()  # type: ignore[no-untyped-call]
        worker.average(progress.trained)
        progress.advance()
        progress.seconds += time.monotonic() - begun
        figures.append({"loss": float(value.detach()), **seen})
        if progress.step % 50 == 0 and worker.leads:
            _log(folder, progress, figures)
        if progress.step % 50 == 0:
            figures.clear()
        over = bool(stop) or time.monotonic() - started > minutes * 60
        if progress.step % 10 == 0 and worker.agree(over):
            break
        if worker.leads and time.monotonic() - saved > SAVE_EVERY:
            progress.save()
            look(progress.step)
            saved = time.monotonic()
    if worker.leads:
        progress.save()
        look(progress.step)


def _log(folder: Path, progress: Progress, figures: list[dict[str, float]]) -> None:
    means = {key: round(float(np.mean([f[key] for f in figures])), 5) for key in figures[0]}
    line = {"step": progress.step, "seconds": round(progress.seconds), **means}
    with (folder / f"{progress.plan.name}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
