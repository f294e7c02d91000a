"""Memory, disk and time are said first; what does not fit is refused with the nearest setting that does."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tav.compute import memory
from tav.errors import DeviceMemoryError, TavError
from tavcli.methods import forecast
from tavcli.methods.forecast import Forecaster, Stopwatch
from tavcli.workspace.folder import Workspace
from tavcli.workspace.session import Session

Call = Callable[..., Any]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`free(bytes)`: the device has this much left."""

    def leave(most: float) -> None:
        monkeypatch.setattr(memory, "free_memory", lambda _: int(most))

    return leave


def forecaster(folder: Path) -> Forecaster:
    return Forecaster(Session(Workspace(folder), {}))


def test_a_dry_run_says_what_every_stage_needs_and_does_nothing(initial: Path, done: Call, snapshot: Call) -> None:
    before = snapshot(initial)
    plan = done(initial, "edit", "a cat", "--dry-run", "--json").json()
    assert [row["stage"] for row in plan] == ["tune", "invert", "edit"]
    for row in plan:
        assert row["memory"] > 50e6  # torch alone is more
        assert row["free_memory"] > row["memory"]
        assert row["disk"] > 0
        assert row["seconds"] >= 0
    assert snapshot(initial) == before
    text = done(initial, "edit", "a cat", "--dry-run").out
    assert re.search(r"about \d+\.\d [MG]B of memory", text)


def test_more_steps_take_more_time_and_more_frames_more_memory(initial: Path) -> None:
    few = forecaster(initial)
    step, forward = few.seconds("learn", few.tune(6).rung), few.seconds("infer")
    assert few.tune(60).seconds - few.tune(6).seconds == pytest.approx(54 * step)
    one, three = few.edit(10, 1, guided=False), few.edit(10, 3, guided=True)
    assert three.seconds - one.seconds > 50 * forward * 0.999
    one = forecaster(initial)
    large = replace(one.shape, frames=16, size=(64, 64))
    assert one._tune(1, large, "none").memory > one._tune(1, one.shape, "none").memory


def test_the_rung_follows_the_free_memory(initial: Path, free: Callable[[float], None]) -> None:
    one = forecaster(initial)
    large = replace(one.shape, frames=14, size=(64, 64))
    one.__dict__["shape"] = large
    needs = {rung: one._tune(1, large, rung).memory - one._now for rung in ("none", "feed-forward", "blocks", "all")}
    for rung, need in needs.items():
        free(one._now / 9 + 1.12 * need)  # a tenth is left to others
        one.__dict__.pop("_free", None)
        assert one.tune(1).rung == rung


def test_what_does_not_fit_is_refused_before_weights_load(
    initial: Path, copy_of: Call, free: Callable[[float], None], tav: Call, snapshot: Call
) -> None:
    folder = copy_of(initial)
    free(1000)
    before = snapshot(folder)
    for command in (["tune"], ["tune", "--fresh"]):
        said = tav(folder, *command)
        assert said.code == 1
        assert "needs about" in said.err
        assert len(said.err.strip().splitlines()) <= 3
        assert "loading" not in said.err
    assert snapshot(folder) == before


def test_the_nearest_setting_that_fits_is_named_and_is_the_nearest(
    initial: Path, free: Callable[[float], None]
) -> None:
    one = forecaster(initial)
    one.__dict__["shape"] = replace(one.shape, frames=14, size=(64, 64))
    needs = {frames: one._tune(1, replace(one.shape, frames=frames, size=(64, 64)), "all").memory for frames in (9, 10)}
    assert needs[9] < needs[10]
    free(needs[10] - one._now - 1)
    one.__dict__.pop("_free", None)
    with pytest.raises(DeviceMemoryError) as refused:
        one.fitting("tuning", one.tune(1))
    assert "9 frames of 64x64 fit" in refused.value.hint


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_disk_that_is_too_small_is_refused(initial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = forecaster(initial)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000, 990, 10))
    with pytest.raises(TavError, match="the disk has 10 B free"):
        one.fitting("tuning", one.tune(1))


def test_a_real_run_is_remembered(initial: Path, copy_of: Call, done: Call, settle: Call) -> None:
    folder = copy_of(initial)
    settle(folder, {"tune": {"steps": 9, "recompute": "blocks"}})
    done(folder, "tune", "--fresh")
    one = forecaster(folder)
    name = one._name("learn", one.shape, "blocks")
    assert one.tune(1001).seconds - one.tune(1).seconds == pytest.approx(1000 * one.steps[name])


def test_a_stopwatch_leaves_out_what_its_consumer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on only where something is done: two seconds a step, a hundred for its consumer."""
    now = [0.0]
    monkeypatch.setattr(forecast, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def events() -> Iterator[int]:
        for event in range(6):
            now[0] += 2
            yield event

    watch, seen = Stopwatch(), []
    for event in watch.watch(events()):
        seen.append(event)
        now[0] += 100
    assert seen == list(range(6))
    assert watch.typical == 2


def test_the_start_of_a_run_says_what_it_needs(initial: Path, copy_of: Call, done: Call) -> None:
    folder = copy_of(initial)
    shutil.rmtree(folder / "tuned", ignore_errors=True)
    said = done(folder, "tune", "--json")
    assert "tuning: about" in said.err
    assert json.loads(said.out)["stage"] == "tuned"


JUNK = (None, 3, "x", [], {}, {"flops": "x"}, {"flops": -1.0, "peak": 3})


def test_junk_in_the_calibration_is_measured_again(initial: Path) -> None:
    one = forecaster(initial)
    assert one.tune(6).memory > 0
    assert one.edit(6, 1, guided=True).memory > 0
    path, junk = one.speeds.path, cycle(JUNK)
    tables = json.loads(path.read_text())
    counted = {name: table for name, table in tables.items() if "kernels" not in name}
    assert sum(map(len, counted.values())) >= len(JUNK)
    broken = {name: {key: next(junk) for key in table} for name, table in counted.items()}
    path.write_text(json.dumps(tables | broken))
    again = forecaster(initial).tune(6)
    assert again.memory > 50e6
    assert again.seconds > 0
