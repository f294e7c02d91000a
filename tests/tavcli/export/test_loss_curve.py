"""The loss curve: whatever the log holds, lines within their frame."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavcli.export.loss_curve import WINDOW, read_curve

LOSSES = st.lists(st.floats(0, 1e6), min_size=2, max_size=1000)


def log_of(folder: Path, lines: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "steps.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def step(number: int, loss: float) -> str:
    return json.dumps({"step": number, "loss": loss, "grad_norm": 1.0})


def points(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log")


@given(LOSSES)
def test_both_lines_go_from_the_first_step_to_the_last_within_the_frame(folder: Path, losses: list[float]) -> None:
    curve = read_curve(log_of(folder, [step(number, loss) for number, loss in enumerate(losses, 1)]))
    assert curve is not None
    assert curve.steps == len(losses)
    for line in map(points, (curve.each, curve.mean)):
        across = [x for x, _ in line]
        assert across == sorted(across)
        assert (across[0], across[-1]) == (0, 1000)
        assert all(0 <= y <= 100 for _, y in line)
    kept = losses[-curve.window :]
    assert curve.last == pytest.approx(sum(kept) / len(kept), rel=1e-6, abs=1e-6 * max(losses))


@given(st.floats(0.001, 1e3), st.integers(2, 600))
def test_a_loss_that_stays_is_a_level_line(folder: Path, loss: float, steps: int) -> None:
    curve = read_curve(log_of(folder, [step(number, loss) for number in range(steps)]))
    assert curve is not None
    assert curve.first == pytest.approx(loss)
    assert curve.last == pytest.approx(curve.top) == pytest.approx(loss)
    assert {y for _, y in points(curve.mean)} == {0}


def test_a_mean_is_of_a_quarter_of_a_short_run_and_of_so_many_steps_at_most(folder: Path) -> None:
    windows = [read_curve(log_of(folder, [step(n, 1) for n in range(steps)])).window for steps in (2, 40, 4000)]
    assert windows == [1, 10, WINDOW]


@given(st.lists(st.text() | st.just("[" * 9999) | st.just('{"loss": NaN}') | st.just('{"loss": "1"}')))
def test_what_is_no_step_is_left_out(folder: Path, lines: list[str]) -> None:
    steps = [step(1, 0.5), step(2, 0.25)]
    clean = [line for line in lines if line.strip() not in {"", *steps}]
    assert read_curve(log_of(folder, [steps[0], *clean, steps[1]])) == read_curve(log_of(folder, steps))


def test_without_steps_there_is_no_curve(folder: Path) -> None:
    assert read_curve(folder / "gone") is None
    for lines in ([], [step(1, 0.5)]):
        assert read_curve(log_of(folder, lines)) is None
    (folder / "steps.jsonl").write_bytes(b"\xff\xfe")
    assert read_curve(folder) is None
