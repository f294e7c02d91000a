from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tav.storybook.train.loop import Past, Plan, Progress, optimise
from tav.storybook.train.workers import ALONE, Worker, in_parallel

PLAN = Plan("tiny", steps=30, rate=0.01, warmup=5)


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 2))


def _loss(model: nn.Module, rng: np.random.Generator, _step: int) -> tuple[Tensor, dict[str, float]]:
    x = torch.from_numpy(rng.standard_normal((16, 6), dtype=np.float32))
    error = (model(x).float() - x[:, :2]).pow(2).mean()
    return error, {"error": float(error.detach())}


def _train(folder: Path, steps: int, minutes: float = 10.0) -> Progress:
    folder.mkdir(exist_ok=True)
    progress = Progress(Plan("tiny", steps, 0.01, warmup=5), _model(), folder, ALONE)
    optimise(ALONE, progress, _loss, folder, minutes, lambda _: None)
    return progress


def _weights(progress: Progress) -> list[Tensor]:
    return [p.data for p in progress.trained] + progress.mean


def test_training_that_was_stopped_goes_on_exactly(tmp_path: Path) -> None:
    whole = _train(tmp_path / "whole", 30)
    parts = tmp_path / "parts"
    parts.mkdir()
    for _ in range(4):  # no time at all: ten steps at a sitting
        resumed = Progress(PLAN, _model(), parts, ALONE)
        optimise(ALONE, resumed, _loss, parts, 0.0, lambda _: None)
    assert resumed.step == whole.step == 30
    assert all(torch.equal(a, b) for a, b in zip(_weights(whole), _weights(resumed), strict=True))


def test_training_learns_and_logs(tmp_path: Path) -> None:
    progress = _train(tmp_path, 100)
    lines = (tmp_path / "tiny.jsonl").read_text().splitlines()
    assert len(lines) == 2
    before, after = (float(line.split('"error": ')[1].rstrip("}")) for line in lines)
    assert after < before
    assert progress.seconds > 0


def test_a_start_from_shipped_weights_warms_up_and_counts_on(tmp_path: Path) -> None:
    progress = Progress(PLAN, _model(), tmp_path, ALONE, Past(20, 7.0))
    assert (progress.step, progress.seconds) == (20, 7.0)
    assert PLAN.share_at(20, 0) < PLAN.share_at(20, 4)


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_rate_is_a_share(step: int, since: int) -> None:
    assert 0 < PLAN.share_at(step, since) <= 1


def test_the_mean_weights_can_take_the_place_of_the_weights(tmp_path: Path) -> None:
    progress = _train(tmp_path, 30)
    progress.use_mean()
    assert all(torch.equal(p.data, m) for p, m in zip(progress.trained, progress.mean, strict=True))


def _share_of_work(worker: Worker, folder: Path) -> None:
    x = torch.tensor([1.0 + worker.rank])
    p = nn.Parameter(torch.zeros(1))
    (p * x).sum().backward()
    worker.average([p])
    assert worker.agree(worker.rank == 1)
    torch.save(p.grad, folder / f"{worker.rank}.pt")


@pytest.mark.slow
def test_workers_share_their_gradients(tmp_path: Path) -> None:
    in_parallel(_share_of_work, tmp_path, processes=2)
    assert [float(torch.load(tmp_path / f"{rank}.pt")) for rank in (0, 1)] == [1.5, 1.5]
