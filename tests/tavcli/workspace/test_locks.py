"""One writer for each thing; the loser is told who the winner is."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tavcli.methods.tune import tuned_stage
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import Busy, locked
from tavcli.workspace.session import Session

Call = Callable[..., Any]

CLAIMS = """
import sys
from pathlib import Path
from tavcli.workspace.edits import claim
from tavcli.workspace.folder import Workspace
recipe = {"steps": 4, "caption": "x", "precision": "fp32", "tuned": {"key": "k"}, "inverted": {},
          "guidance_scale": 1.0, "negative_prompt": "",
          "vary": 0.0, "seed": 0, "inversion": True}
for number in range(5):
    print(claim(Workspace(Path(sys.argv[1])), {"prompt": f"{sys.argv[2]} {number}", **recipe}).number)
"""


@pytest.fixture
def workspace(initial: Path, copy_of: Call) -> Workspace:
    return Workspace(copy_of(initial))


def test_a_second_writer_is_told_who_the_first_is(process: Call, workspace: Workspace, snapshot: Call) -> None:
    key, before = tuned_stage(Session(workspace, {})).key, snapshot(workspace.folder)
    with locked(workspace, f"tuned-{key}"):
        said = process(workspace.folder, "--no-wait", "tune")
    assert (said.code, said.out) == (1, "")
    error, hint = said.err.splitlines()
    assert error.startswith(f"error: tuned-{key} is being written by process {os.getpid()} on ")
    assert hint == "  try again when it is done"
    assert snapshot(workspace.folder) == before


def test_whoever_waits_or_looks_is_not_stopped(tav: Call, workspace: Workspace) -> None:
    key = tuned_stage(Session(workspace, {})).key
    with locked(workspace, f"tuned-{key}"):
        for command in (["ls"], ["show"], ["--dry-run", "edit", "x"]):
            assert tav(workspace.folder, *command).code == 0


def test_an_edit_in_the_making_is_left_to_who_makes_it(tav: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    (folder / "edits" / "0001-a-cat-is-skiing" / "video.mp4").unlink()
    (folder / "edits" / "0001-a-cat-is-skiing" / "sheet.png").unlink()
    (folder / "edits" / "0001-a-cat-is-skiing" / "made.json").unlink()
    with locked(Workspace(folder), "edit-0001"):
        said = tav(folder, "--no-wait", "edit", "a dog is skiing", "a cat is skiing")
    assert said.code == 1
    assert "edit-0001 is being written by process" in said.err
    assert [path.name for path in (folder / "edits").iterdir()] == ["0001-a-cat-is-skiing"]


def test_a_lock_is_free_again_whatever_happens(workspace: Workspace) -> None:
    with pytest.raises(ZeroDivisionError), locked(workspace, "x"):
        raise ZeroDivisionError
    with locked(workspace, "x"), pytest.raises(Busy, match=f"process {os.getpid()}"), locked(workspace, "x"):
        pass
    with locked(workspace, "x"), locked(workspace, "y"):
        pass
    assert [path.suffix for path in workspace.locks.iterdir()] == [".lock"] * 2


def test_a_killed_holder_holds_nothing(workspace: Workspace) -> None:
    (workspace.locks).mkdir()
    (workspace.locks / "x.json").write_text("{")
    (workspace.locks / "x.lock").touch()
    (workspace.locks / ".tmp-999999999-abcdef01.json").touch()
    with locked(workspace, "x"):
        pass
    assert {path.name for path in workspace.locks.iterdir()} == {"x.lock"}


def test_numbers_claimed_at_once_are_distinct_and_consecutive(workspace: Workspace) -> None:
    command = [sys.executable, "-c", CLAIMS, str(workspace.folder)]
    children = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "abcd"]
    claimed = [list(map(int, child.communicate()[0].split())) for child in children]
    assert sorted(number for numbers in claimed for number in numbers) == list(range(1, 21))
    assert all(numbers == sorted(numbers) for numbers in claimed)
    assert len(list(workspace.edits.iterdir())) == 20
    again = subprocess.run([*command, "a"], stdout=subprocess.PIPE, text=True, check=True)
    assert list(map(int, again.stdout.split())) == claimed[0]


def test_clean_leaves_alone_what_is_being_written(tav: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    (state,) = folder.glob("tuned/*/state.safetensors")
    with locked(Workspace(folder), f"tuned-{state.parent.name}"):
        said = tav(folder, "clean", "--yes")
    assert state.is_file()
    assert not (folder / "cache").exists()
    assert "left alone" in said.err
    size = state.stat().st_size
    said = tav(folder, "clean", "--yes")
    assert not state.exists()
    assert f"removed {size / 1000:.1f} kB" in said.err or f"removed {size / 1e6:.1f} MB" in said.err


def test_what_a_killed_process_left_beside_whole_results_is_removed(done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    keys = {name: next((folder / name).iterdir()) for name in ("tuned", "inverted", "edits")}
    names = [f"tuned-{keys['tuned'].name}", f"inverted-{keys['inverted'].name}", "edit-0001"]
    for name in names:
        (folder / ".locks" / f"{name}.json").write_text("{}")
    for place in (folder, folder / "cache", folder / ".locks", *keys.values()):
        (place / ".tmp-999999999-abcdef01").mkdir()
    for command in (["tune"], ["invert"], ["edit", "a cat is skiing"], ["edit", "a dog"]):
        done(folder, *command)
    assert not list(folder.rglob(".tmp-*"))
    assert not list(folder.glob(".locks/*.json"))
