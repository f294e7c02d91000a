"""The worker: its edits are those of `tav edit`, a job that fails stops nothing, and it gives back what it was at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tavcli.queue import Queue
from tavcli.workspace import Workspace

Call = Callable[..., Any]


def states(folder: Path) -> dict[str, str]:
    """Of every job, by its name."""
    return {row.name: row.state for row in Queue(Workspace(folder)).rows()}


def video(folder: Path, number: int) -> bytes:
    (found,) = folder.glob(f"edits/{number:04d}-*/video.mp4")
    return found.read_bytes()


def by_prompt(folder: Path) -> dict[str, bytes]:
    """Every video of a workspace."""
    return {path.parent.name[5:]: path.read_bytes() for path in folder.glob("edits/*/video.mp4")}


# --- what it makes


def test_a_queue_is_drained_in_one_process(done: Call, initial: Path, edited: Path, copy_of: Call) -> None:
    folder = copy_of(initial)
    done(folder, "queue", "add", "a cat is skiing")
    done(folder, "queue", "tune")
    done(folder, "queue", "invert")
    said = done(folder, "work")
    assert states(folder) == {"1": "done", "tune-1": "done", "invert-1": "done"}
    assert said.err.count("loading ") == 1
    assert by_prompt(folder) == by_prompt(edited)
