"""Stopped or killed at any moment, the same command goes on and its results equal, byte for byte, an uninterrupted run.

TAV_KILLS sets how many moments are tried with `kill -9`.
"""

import json
import os
import pty
import random
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from waiting import wait_for

from tav.events import InvertStep, SampleStep, TuneStep
from tav.settings import SampleSettings
from tav.tensor_files import read_tensors
from tavcli.interrupts import Interrupted, Interrupts, interrupts
from tavcli.methods.edit import make_edits
from tavcli.methods.invert import make_inverted
from tavcli.methods.tune import make_tuned
from tavcli.workspace.folder import Workspace
from tavcli.workspace.session import Session

Call = Callable[..., Any]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KILLS = int(os.environ.get("TAV_KILLS", "1"))
COMMAND = ["edit", "a cat is skiing", "a dog is skiing"]
# What is there when a stage's first save is done.
SAVED = {
    "tune": "tuned/*/state.safetensors",
    "invert": "inverted/*/partial.safetensors",
    "edit": "edits/*/partial.safetensors",
}


class Uninterrupted(NamedTuple):
    """A command's run to its end: the workspace before and after, and how long it took as a process."""

    before: Path
    after: Path
    seconds: float


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, initial: Path, settle: Call, process: Call) -> Uninterrupted:
    """All stages, with steps on both sides of a save (every 50)."""
    before = Path(shutil.copytree(initial, tmp_path_factory.mktemp("run") / "clip"))
    settle(before, {"tune": {"steps": 60}, "invert": {"steps": 52, "check": True}})
    after = Path(shutil.copytree(before, tmp_path_factory.mktemp("run") / "clip"))
    began = time.monotonic()  # to draw moments from
    said = process(after, *COMMAND)
    assert said.code == 0, said.err
    return Uninterrupted(before, after, time.monotonic() - began)  # to draw moments from


@pytest.fixture
def equals(results: Call) -> Callable[[Path, Path], None]:
    """Asserts that two workspaces hold the same bytes, and nothing temporary."""

    def check(folder: Path, other: Path) -> None:
        left = [path for path in folder.rglob("*") if path.name.startswith(".tmp-") or "partial" in path.name]
        assert left == []
        assert list(folder.glob(".locks/*.json")) == []
        found, wanted = results(folder), results(other)
        assert found.keys() == wanted.keys()
        assert [name for name in found if found[name] != wanted[name]] == []
        assert len(list(folder.glob("edits/*/made.json"))) == len(list(other.glob("edits/*/made.json")))

    return check


# --- the handler


@pytest.fixture
def installed(own_handlers: None) -> Iterator[list[str]]:
    """What is said while signals are handled."""
    assert own_handlers is None
    said: list[str] = []
    interrupts.install(lambda: said.append("wait"))
    yield said
    interrupts.pending = False


def deferring(*signals: signal.Signals, reached: list[str], then: type[BaseException] | None = None) -> None:
    with interrupts.deferred():
        for number in signals:
            assert not reached or interrupts.pending
            signal.raise_signal(number)
            reached.append(number.name)
        if then:
            raise then


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_at_once(installed: list[str], number: signal.Signals) -> None:
    with pytest.raises(Interrupted):
        signal.raise_signal(number)
    assert installed == []


@pytest.mark.parametrize("number", SIGNALS)
def test_in_a_long_loop_it_is_noted_and_never_forgotten(installed: list[str], number: signal.Signals) -> None:
    reached: list[str] = []
    with pytest.raises(Interrupted):
        deferring(number, reached=reached)
    assert (reached, installed) == ([number.name], ["wait"])


def test_a_second_signal_stops_at_once(installed: list[str]) -> None:
    reached: list[str] = []
    with pytest.raises(Interrupted):
        deferring(signal.SIGINT, signal.SIGTERM, reached=reached)
    assert (reached, installed) == (["SIGINT"], ["wait"])


def test_an_error_inside_goes_first(installed: list[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        deferring(signal.SIGINT, reached=[], then=ZeroDivisionError)
    assert installed == ["wait"]


def test_what_is_ignored_stays_ignored(own_handlers: None) -> None:
    """`nohup`."""
    assert own_handlers is None
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Interrupts().install(lambda: None)
    signal.raise_signal(signal.SIGHUP)


# --- stopped at a known step


def stop_at(events: Iterator[Any], kind: type, step: int, number: signal.Signals, index: int = 0) -> None:
    """Follow a run and send a signal when this step (of the prompt with this index) is done."""

    def follow() -> None:
        for event in events:
            if isinstance(event, kind) and (event.step, getattr(event, "index", 0)) == (step, index):
                os.kill(os.getpid(), number)

    with pytest.raises(Interrupted):
        follow()


def step_of(file: Path, kind: str) -> int:
    tensors, provenance = read_tensors(file, kind)
    return int(tensors["step"]) if kind == "state" else int(provenance["done"])


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@pytest.mark.parametrize(("number", "step"), list(zip(SIGNALS, (1, 3, 6), strict=True)))
def test_tuning_goes_on_from_the_step_it_reached(
    installed: list[str], done: Call, equals: Call, initial: Path, tuned: Path, copy_of: Call, number: Any, step: int
) -> None:
    folder = copy_of(initial)
    stop_at(make_tuned(Session(Workspace(folder), {})), TuneStep, step, number)
    assert installed == ["wait"]
    assert step_of(only(folder, SAVED["tune"]), "state") == step
    log = [json.loads(line)["step"] for line in only(folder, "tuned/*/steps.jsonl").read_text().splitlines()]
    assert log == list(range(1, step + 1))
    assert not list(folder.glob("tuned/*/attention.safetensors"))
    assert f"going on from step {step} of" in done(folder, "tune").err
    equals(folder, tuned)


@pytest.mark.parametrize("step", [1, 3])
def test_an_inversion_goes_on(
    installed: list[str], done: Call, equals: Call, tuned: Path, edited: Path, copy_of: Call, step: int
) -> None:
    folder = copy_of(tuned)
    stop_at(make_inverted(Session(Workspace(folder), {}), 4, check=False), InvertStep, step, signal.SIGTERM)
    assert installed == ["wait"]
    assert step_of(only(folder, SAVED["invert"]), "latents") == step
    done(folder, "invert")
    done(folder, "edit", "a cat is skiing")
    equals(folder, edited)


@pytest.mark.parametrize("step", [1, 4])
def test_the_check_goes_on(
    installed: list[str], done: Call, equals: Call, edited: Path, copy_of: Call, tmp_path: Path, settle: Call, step: int
) -> None:
    folder = copy_of(edited)
    settle(folder, {"invert": {"check": True}})
    whole = Path(shutil.copytree(folder, tmp_path / "whole"))
    stop_at(make_inverted(Session(Workspace(folder), {}), 4, check=True), SampleStep, step, signal.SIGTERM)
    assert installed == ["wait"]
    assert step_of(only(folder, "inverted/*/check-partial.safetensors"), "latents") == step
    for one in (folder, whole):
        done(one, "invert")
    equals(folder, whole)


@pytest.mark.parametrize("kind", [InvertStep, SampleStep])
def test_an_edit_does_not_forget_the_check_it_began(
    installed: list[str], done: Call, equals: Call, tuned: Path, copy_of: Call, tmp_path: Path, settle: Call, kind: type
) -> None:
    folder = copy_of(tuned)
    settle(folder, {"invert": {"check": True}})
    whole = Path(shutil.copytree(folder, tmp_path / "whole"))
    stop_at(make_inverted(Session(Workspace(folder), {}), 4, check=True), kind, 2, signal.SIGINT)
    assert installed == ["wait"]
    for one in (folder, whole):
        done(one, "edit", "a cat is skiing")
    assert only(folder, "inverted/*/check.json").is_file()
    equals(folder, whole)


@pytest.mark.parametrize("prompts", [["a cat is skiing"], ["a dog is skiing", "a cat is skiing"]])
@pytest.mark.parametrize("step", [1, 4])
def test_an_edit_goes_on(
    installed: list[str], done: Call, edited: Path, copy_of: Call, prompts: list[str], step: int
) -> None:
    folder = copy_of(edited)
    shutil.rmtree(folder / "edits")
    session = Session(Workspace(folder), {})
    events = make_edits(session, prompts, session.settings.sample, 4)
    stop_at(events, SampleStep, step, signal.SIGHUP)
    assert installed == ["wait"]
    assert step_of(only(folder, SAVED["edit"]), "latents") == step
    assert [row["state"] for row in done(folder, "--json", "ls").json()] == ["unfinished"] * len(prompts)
    said = done(folder, "--json", "edit", *prompts)
    assert [row["prompt"] for row in said.json()] == prompts
    assert not list(folder.rglob("*partial*"))
    video = only(folder, "edits/*-a-cat-is-skiing/video.mp4")
    assert video.read_bytes() == only(edited, "edits/*/video.mp4").read_bytes()


def test_stopped_between_two_prompts(installed: list[str], done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    shutil.rmtree(folder / "edits")
    session = Session(Workspace(folder), {})
    prompts = ["a cat is skiing", "a dog is skiing"]
    stop_at(make_edits(session, prompts, SampleSettings(), 4), SampleStep, 2, signal.SIGINT, index=1)
    assert installed == ["wait"]
    assert [row["state"] for row in done(folder, "--json", "ls").json()] == ["done", "unfinished"]
    assert "edit 1 is this very recipe" in done(folder, "edit", *prompts).err
    assert [row["state"] for row in done(folder, "--json", "ls").json()] == ["done", "done"]


# --- stopped from outside


@pytest.mark.slow
def test_a_signal_is_exit_code_130_and_the_same_command_goes_on(
    whole: Uninterrupted, start: Call, done: Call, equals: Call, copy_of: Call
) -> None:
    folder = copy_of(whole.before)
    for (stage, pattern), number in zip(SAVED.items(), SIGNALS, strict=True):
        child = start(folder, *COMMAND)
        wait_for(lambda pattern=pattern: list(folder.glob(pattern)), child)
        child.send_signal(number)
        out, err = child.communicate()
        assert (child.returncode, out) == (130, ""), err
        assert err.endswith("interrupted\n  the same command goes on where it was\n")
        assert not list(folder.rglob(".tmp-*"))
        assert step_of(only(folder, pattern), "state" if stage == "tune" else "latents") >= 50
    done(folder, *COMMAND)
    equals(folder, whole.after)


@pytest.mark.slow
def test_a_terminal_that_goes_away_loses_nothing(
    whole: Uninterrupted, tav_command: list[str], done: Call, results: Call, copy_of: Call
) -> None:
    """Its SIGHUP comes when nothing can be said any more; the step is saved all the same."""
    folder = copy_of(whole.before)
    child, master = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execv(tav_command[0], [*tav_command, "tune"])
    while not list(folder.glob(SAVED["tune"])):
        if select.select([master], [], [], 0.01)[0]:
            os.read(master, 4096)
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    assert step_of(only(folder, SAVED["tune"]), "state") >= 50
    assert not list(folder.glob("tuned/*/attention.safetensors"))
    done(folder, "tune")
    found, wanted = results(folder), results(whole.after)
    tuned = {name for name in wanted if name.startswith("tuned/")}
    assert tuned <= found.keys()
    assert [name for name in tuned if found[name] != wanted[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(KILLS))
def test_killed_at_any_moment(
    whole: Uninterrupted, start: Call, done: Call, equals: Call, copy_of: Call, moment: int
) -> None:
    """Moments are drawn one from each of KILLS equal parts of the run, start-up and end included."""
    folder = copy_of(whole.before)
    delay = (moment + random.Random(moment).random()) / KILLS * whole.seconds
    child = start(folder, *COMMAND)
    time.sleep(delay)  # a moment: any will do
    child.kill()
    child.communicate()
    done(folder, *COMMAND)
    equals(folder, whole.after)
