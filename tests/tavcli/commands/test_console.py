"""What is said where: data on stdout, talk on stderr, progress as lines where nobody watches a bar."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.events import NotLearning, TuneStep, VaeStep
from tavcli.commands.console import Output, short
from tavcli.commands.options import Options
from tavcli.events import Begin, Note
from tavcli.queue.events import JobEnded, JobEvent
from tavcli.units import duration, size
from tavcli.workspace.folder import Workspace


def run() -> Iterator[object]:
    yield Note("loading [bold]x[/bold]")
    yield Note("it may fail", warning=True)
    yield Begin("tuning", 8, 4)
    for step in range(5, 9):
        yield TuneStep(step, 8, float(step), 1.0)
    yield NotLearning(8, ("a.weight", "b.weight"), ())
    yield Begin("encoding the clip", 2)
    yield VaeStep(1, 2)
    yield VaeStep(2, 2)
    yield "the result"


def test_progress_in_a_log_is_a_line_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert Output(Options()).follow(run()) == ["the result"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "loading [bold]x[/bold]",
        "warning: it may fail",
        "tuning: 8/8, loss 6.5000, 0:00 elapsed, 0:00 left",
        "warning: after 8 steps a.weight and 1 more have no gradient: the tuning will not be what it should be",
        "encoding the clip: 2/2, 0:00 elapsed, 0:00 left",
    ]


def test_of_several_jobs_at_once_each_line_says_whose(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    one, two = ([JobEvent(Workspace(tmp_path), name, event) for event in run()] for name in ("1", "2"))
    alternating = [event for pair in zip(one, two, strict=True) for event in pair]
    ended = JobEnded(Workspace(tmp_path), "1", "interrupted", 3.0, "it died", "again")
    assert Output(Options()).follow([*alternating, ended]) == ["the result", "the result", ended]
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "tuning:" in line] == [
        f"job {name}: tuning: 8/8, loss 6.5000, 0:00 elapsed, 0:00 left" for name in ("1", "2")
    ]
    assert said[-2:] == ["warning: job 1 interrupted: it died", "warning:   again"]
    assert all("job " in line for line in said[:-1])


def test_lines_come_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of three seconds a look: one line in four steps, and the time left by the speed since the beginning."""
    now = iter(range(0, 3000, 3))
    monkeypatch.setattr("tavcli.commands.console.time.monotonic", lambda: float(next(now)))
    steps = (TuneStep(step, 110, 1.0, 1.0) for step in range(101, 111))
    Output(Options()).follow([Begin("tuning", 110, 100), *steps])
    assert [line.split(", loss")[0] for line in capsys.readouterr().err.splitlines()] == [
        "tuning: 104/110",
        "tuning: 108/110",
        "tuning: 110/110",
    ]


def test_quiet_leaves_warnings_and_results(capsys: pytest.CaptureFixture[str]) -> None:
    talk = Output(Options(quiet=True))
    assert talk.follow(run()) == ["the result"]
    talk.say("x")
    talk.detail("x")
    talk.result({"a": 1}, ["a line"])
    out, err = capsys.readouterr()
    assert out == "a line\n"
    assert [line.split(":")[0] for line in err.splitlines()] == ["warning", "warning"]


def test_results_go_to_stdout_as_told(capsys: pytest.CaptureFixture[str]) -> None:
    data = [{"name": "[red]x", "path": Path("y")}]
    Output(Options(json=True)).table(data, ["name"], [["[red]x"]])
    assert json.loads(capsys.readouterr().out) == [{"name": "[red]x", "path": "y"}]
    Output(Options()).table(data, ["name", "path"], [["[red]x", "y"]])
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [["name", "path"], ["[red]x", "y"]]
    assert err == ""


def test_details_are_for_those_who_ask(capsys: pytest.CaptureFixture[str]) -> None:
    Output(Options()).detail("x")
    Output(Options(verbose=True)).detail("[y]")
    assert capsys.readouterr().err == "[y]\n"


@given(st.integers(0, 10**6), st.floats(0, 0.99))
def test_a_clock_can_be_read_back(seconds: int, fraction: float) -> None:
    text = duration(seconds + fraction)
    assert re.fullmatch(r"(\d+:)?\d?\d:\d\d", text)
    value = 0
    for part in text.split(":"):
        value = 60 * value + int(part)
    assert value == seconds


def test_clock_and_size_in_words() -> None:
    assert [duration(s) for s in (0, 59.9, 75, 3600, 3675)] == ["0:00", "0:59", "1:15", "1:00:00", "1:01:15"]
    assert [size(n) for n in (0, 999, 1000, 149_000_000, 4.27e9)] == ["0 B", "999 B", "1.0 kB", "149.0 MB", "4.3 GB"]


@given(st.integers(0, 10**13))
def test_a_size_is_right_to_its_last_digit(number: int) -> None:
    value, unit = size(number).split()
    scale = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}[unit]
    digit = 1 if unit == "B" else scale / 10
    assert abs(float(value) * scale - number) <= digit / 2 * (1 + 1e-6)


def test_paths_are_short_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert short(tmp_path / "a" / "b") == "a/b"
    assert short(Path("/elsewhere/b")) == "/elsewhere/b"
