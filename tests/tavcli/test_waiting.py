"""Two processes, one workspace: whoever comes second waits, says once for whom, and never makes a thing twice."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import told, wait_for

from tavcli.methods.tune import tuned_stage
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import locked
from tavcli.workspace.session import Session

Call = Callable[..., Any]
HOLD = """
import sys
from pathlib import Path
from tavcli.workspace.locks import locked
from tavcli.workspace.folder import Workspace
with locked(Workspace(Path(sys.argv[1])), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def workspace(initial: Path, copy_of: Call) -> Workspace:
    return Workspace(copy_of(initial))


@contextlib.contextmanager
def held(workspace: Workspace, name: str) -> Iterator[threading.Event]:
    """Another thread holds the lock, until the event that is given is set, at the end at the latest."""
    taken, free = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(workspace, name):
            taken.set()
            free.wait()

    with beside(hold):
        taken.wait()
        try:
            yield free
        finally:
            free.set()


@contextlib.contextmanager
def beside(work: Call) -> Iterator[None]:
    """Something is done in another thread meanwhile."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextlib.contextmanager
def once_waited_for(work: Call) -> Iterator[None]:
    """Something is done as soon as the command in this process has said that it waits."""
    over = threading.Event()

    def do() -> None:
        if wait_for(lambda: "waiting: " in told() or over.is_set()) and not over.is_set():
            work()

    with beside(do):
        try:
            yield
        finally:
            over.set()


@contextlib.contextmanager
def held_until_waited_for(workspace: Workspace, name: str, at_the_end: Call = lambda: None) -> Iterator[None]:
    """Somebody else holds the lock until a command waits for it, and does something just before it is free."""

    def end(free: threading.Event) -> None:
        try:
            at_the_end()
        finally:
            free.set()

    with held(workspace, name) as free, once_waited_for(lambda: end(free)):
        yield


def test_who_waits_says_once_for_whom_and_goes_on_by_itself(done: Call, workspace: Workspace) -> None:
    key = tuned_stage(Session(workspace, {})).key
    with held_until_waited_for(workspace, f"tuned-{key}"):
        said = done(workspace.folder, "tune")
    first, second = said.err.splitlines()[:2]
    assert first.startswith(f"waiting: tuned-{key} is being written by process {os.getpid()} on ")
    assert "waiting" not in second
    assert said.err.count("waiting:") == 1
    assert (workspace.tuned / key / "attention.safetensors").is_file()


def test_what_the_other_one_made_is_not_made_again(done: Call, tuned: Path, workspace: Workspace) -> None:
    stage = tuned_stage(Session(workspace, {}))
    theirs = tuned / "tuned" / stage.key
    with held_until_waited_for(workspace, f"tuned-{stage.key}", lambda: shutil.copytree(theirs, stage.folder)):
        said = done(workspace.folder, "tune")
    assert "waiting" in said.err
    assert "loading" not in said.err
    assert stage.result.stat().st_mtime_ns == (theirs / stage.result.name).stat().st_mtime_ns


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_waiting_can_be_stopped_at_once(tav: Call, workspace: Workspace, snapshot: Call, number: Any) -> None:
    before = snapshot(workspace.folder)
    name = f"tuned-{tuned_stage(Session(workspace, {})).key}"
    with held(workspace, name), once_waited_for(lambda: os.kill(os.getpid(), number)):
        said = tav(workspace.folder, "tune")
    assert said.code == 130
    assert said.err.splitlines()[-2:] == ["interrupted", "  the same command goes on where it was"]
    assert snapshot(workspace.folder) == before


def test_a_holder_that_is_killed_is_waited_for_no_more(done: Call, workspace: Workspace) -> None:
    name = f"tuned-{tuned_stage(Session(workspace, {})).key}"
    command = [sys.executable, "-c", HOLD, str(workspace.folder), name]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with once_waited_for(holder.kill):
        said = done(workspace.folder, "tune")
    holder.communicate()
    assert f"waiting: {name} is being written by process {holder.pid} on " in said.err
    assert not list(workspace.locks.glob("*.json"))


def test_the_note_of_a_dead_holder_names_nobody(tav: Call, workspace: Workspace) -> None:
    """It lies there until the new holder has written its own."""
    name = f"tuned-{tuned_stage(Session(workspace, {})).key}"
    dead = {"pid": 2**22 + 1, "host": socket.gethostname(), "command": "tav tune", "since": "then"}
    for note in (json.dumps(dead), json.dumps({**dead, "pid": "x"}), "{", "[" * 5000, "3"):
        with locked(workspace, name):
            (workspace.locks / f"{name}.json").write_text(note)
            said = tav(workspace.folder, "--no-wait", "tune")
        assert said.err == f"error: {name} is being written by another process\n  try again when it is done\n"


# --- edits


def test_different_prompts_wait_for_nobody(done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    with locked(Workspace(folder), "edit-0007"), locked(Workspace(folder), "edit-0001"):
        said = done(folder, "edit", "a dog is skiing")
    assert "waiting" not in said.err


def test_of_several_prompts_the_free_ones_are_made_first(done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    video, other = (folder / "edits" / name / "video.mp4" for name in ("0001-a-cat-is-skiing", "0002-a-dog-is-skiing"))
    video.unlink()

    def finish() -> None:
        assert other.is_file()
        shutil.copy(edited / "edits" / "0001-a-cat-is-skiing" / "video.mp4", video)

    with held_until_waited_for(Workspace(folder), "edit-0001", finish):
        said = done(folder, "--json", "edit", "a cat is skiing", "a dog is skiing")
    assert [row["number"] for row in said.json()] == [1, 2]
    assert said.err.index("edit 2: a dog is skiing") < said.err.index("waiting: edit-0001")
    assert said.err.endswith("edit 1 is this very recipe: nothing to do\n")


def test_an_edit_that_was_given_up_meanwhile_is_claimed_anew(done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    mine = folder / "edits" / "0001-a-cat-is-skiing"
    (mine / "video.mp4").unlink()
    with held_until_waited_for(Workspace(folder), "edit-0001", lambda: shutil.rmtree(mine)):
        assert "waiting" in done(folder, "edit", "a cat is skiing").err
    assert (mine / "video.mp4").read_bytes() == (edited / "edits" / mine.name / "video.mp4").read_bytes()


def test_a_refusal_gives_up_every_claim(tav: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    (folder / "edits" / "0001-a-cat-is-skiing" / "video.mp4").unlink()
    with locked(Workspace(folder), "edit-0001"):
        said = tav(folder, "--no-wait", "edit", "a dog", "a cat is skiing", "a bird")
    assert said.code == 1
    assert [path.name for path in (folder / "edits").iterdir()] == ["0001-a-cat-is-skiing"]


@pytest.mark.slow
def test_two_processes_on_a_new_workspace(
    start: Call, results: Call, done: Call, initial: Path, workspace: Workspace, tmp_path: Path
) -> None:
    """They share the tuning, the inversion and one of the videos."""
    ours, theirs = ["a cat is skiing", "a dog is skiing"], ["a cat is skiing", "a bird is skiing"]
    children = [start(workspace.folder, "edit", *prompts) for prompts in (ours, theirs)]
    for child in children:
        _, err = child.communicate()
        assert child.returncode == 0, err
    alone = Path(shutil.copytree(initial, tmp_path / "alone"))
    done(alone, "edit", *dict.fromkeys(ours + theirs))
    found = results(workspace.folder)
    assert without_numbers(found) == without_numbers(results(alone))
    assert len([name for name in found if name.endswith("video.mp4")]) == 3


def without_numbers(files: dict[str, bytes]) -> dict[str, bytes]:
    """Whose edit comes first is chance."""
    return {f"edits/{name[11:]}" if name.startswith("edits/") else name: data for name, data in files.items()}


def test_settings_never_wait(done: Call, workspace: Workspace) -> None:
    with locked(workspace, "edits"), locked(workspace, f"tuned-{tuned_stage(Session(workspace, {})).key}"):
        done(workspace.folder, "--no-wait", "--dry-run", "tune", "--steps", 3)
        workspace.remember({"tune": {"steps": 3}})
        assert workspace.read()["tune"]["steps"] == 3
