"""A workspace in a line: right about its stages, quick with many edits, and never raising."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tavcli.methods.status import Overview, glance, overview
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]


def see(folder: Path) -> Overview:
    return overview(Workspace(folder))


def test_it_says_what_is_there(initial: Path, tuned: Path, edited: Path, tiny_base: Path) -> None:
    states = {folder: (see(folder).tuned, see(folder).inverted) for folder in (initial, tuned, edited)}
    assert list(states.values()) == [("missing", "missing"), ("fresh", "missing"), ("fresh", "fresh")]
    seen = see(edited)
    assert (seen.name, seen.caption, seen.base) == ("clip", "a man is skiing", str(tiny_base))
    assert (seen.done, seen.unfinished, seen.frames, seen.problem) == (1, 0, edited / "frames.png", "")
    assert glance(Workspace(edited)) == Overview(
        edited, seen.caption, seen.base, seen.frames, done=1, unfinished=0, tuned=None, inverted=None
    )


CHANGES: list[dict[str, Any]] = [
    {},
    {"caption": "another"},
    {"precision": "auto"},
    {"precision": "bf16"},
    {"invert": {"steps": 5}},
    {"frame_attention": "full"},
    {"sample": {"guidance_scale": 2.0}},
    {"imported": "0" * 64},
    {"carried": "0" * 64},
]


@pytest.mark.parametrize("values", CHANGES, ids=str)
def test_it_agrees_with_show(values: dict[str, Any], edited: Path, copy_of: Call, done: Call, settle: Call) -> None:
    folder = copy_of(edited)
    settle(folder, values)
    flags = ["--precision", "fp32"] if values.get("precision") == "auto" else []
    shown = done(folder, *flags, "--json", "show").json()["stages"]
    seen = see(folder)
    assert (seen.tuned, seen.inverted) == (shown["tuned"]["state"], shown["inverted"]["state"])


def test_of_an_open_precision_any_counts(edited: Path, copy_of: Call, settle: Call) -> None:
    folder = copy_of(edited)
    settle(folder, {"precision": "auto"})
    assert (see(folder).tuned, see(folder).inverted) == ("fresh", "fresh")
    settle(folder, {"precision": "bf16"})
    assert (see(folder).tuned, see(folder).inverted) == ("stale", "stale")


PROBLEMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no settings": (lambda folder: (folder / "tav.toml").unlink(), "tav.toml cannot be read"),
    "broken": (lambda folder: (folder / "tav.toml").write_text("["), "not valid TOML"),
    "empty": (lambda folder: (folder / "tav.toml").write_text(""), "must be given"),
    "of a newer tav": (lambda folder: (folder / "tav.toml").write_text("format = 99"), "newer tav"),
    "no base": (lambda folder: Workspace(folder).remember({"base": "/nowhere"}), "no folder /nowhere"),
    "a base of a wrong type": (lambda folder: Workspace(folder).remember({"base": 3}), "base"),
    "no clip": (lambda folder: (folder / "source.mp4").unlink(), "clip source.mp4 is gone"),
}


@pytest.mark.parametrize("what", PROBLEMS)
def test_problems_are_said_in_a_line(what: str, edited: Path, copy_of: Call) -> None:
    spoil, words = PROBLEMS[what]
    folder = copy_of(edited)
    spoil(folder)
    seen = see(folder)
    assert (words in seen.problem, seen.problem.count("\n")) == (True, 0)
    assert (seen.tuned, seen.inverted, seen.done) == (None, None, 1)
    assert seen.frames == folder / "frames.png"


def test_nothing_there_is_nothing_counted(initial: Path, copy_of: Call) -> None:
    folder = copy_of(initial)
    (folder / "frames.png").unlink()
    seen = see(folder)
    assert (seen.done, seen.unfinished, seen.frames, seen.problem) == (0, 0, None, "")


def test_edits_are_counted_without_reading_their_recipes(edited: Path, copy_of: Call) -> None:
    """There may be many."""
    folder = copy_of(edited)
    for number in range(2, 22):
        other = folder / "edits" / f"{number:04d}-x"
        other.mkdir()
        (other / "edit.toml").write_bytes(b"\xff[")
        if number % 5:
            (other / "video.mp4").touch()
    (folder / "edits" / "notes").mkdir()
    (folder / "edits" / "0600-claimed-by-nobody").mkdir()
    seen = see(folder)
    assert (seen.done, seen.unfinished) == (17, 4)


def test_it_loads_no_torch(edited: Path) -> None:
    script = "import sys; from pathlib import Path; from tavcli.methods.status import overview; "
    script += "from tavcli.workspace.folder import Workspace; print(overview(Workspace(Path(sys.argv[1]))).tuned, "
    script += "sorted({'torch', 'numpy'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script, edited], capture_output=True, text=True, check=True)
    assert said.stdout == "fresh []\n"
