"""The workspace screen: every command in every way, on real edits; the queue is held, so that nobody works."""

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driving import WAYS, Opened, give, text, until
from textual.pilot import Pilot
from workspaces import choose, screen_of, states

from tavcli.queue.queue import Queue
from tavcli.tui.data.sorting import SORTS
from tavcli.tui.screens.bases import Bases
from tavcli.tui.screens.compare import Compare
from tavcli.tui.screens.message import Note
from tavcli.tui.screens.prompts import Prompts
from tavcli.tui.screens.text_input import Line
from tavcli.tui.screens.workspace import WorkspaceScreen
from tavcli.tui.widgets.filter import Filter
from tavcli.workspace.annotations import Marks, read_marks
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]


@pytest.fixture
def held(studio: Path) -> Path:
    """The studio with its queue held: nothing that is queued there is done."""
    Queue(Workspace(studio)).hold()
    return studio


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a desktop's `xdg-open` writes what it was to open."""
    opener, log = tmp_path / "bin" / "xdg-open", tmp_path / "opened"
    opener.parent.mkdir()
    opener.write_text(f'#!/bin/sh\necho "$1" > {shlex.quote(str(log))}.part && mv {log}.part {log}\n')
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", f"{opener.parent}{os.pathsep}{os.environ['PATH']}")
    return log


async def shows(pilot: Pilot[None], screen: type) -> None:
    """This screen comes; then back."""
    await until(pilot, lambda: isinstance(pilot.app.screen, screen))
    await pilot.press("escape")
    await until(pilot, lambda: isinstance(pilot.app.screen, WorkspaceScreen))


# Every command -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_commands_that_open_something(held: Path, opened: Opened, way: str) -> None:
    async with opened(held.parent, held) as pilot:
        for action, screen in (("new", Prompts), ("vary", Prompts), ("copy", Note), ("bases", Bases)):
            await give(pilot, action, way)
            await shows(pilot, screen)
        await give(pilot, "open", way)
        await until(pilot, lambda: isinstance(pilot.app.screen, Compare))
        assert [pane.item.path for pane in pilot.app.screen.panes.order] == [
            held / "source.mp4",
            held / "edits" / "0003-a-robot-is-skiing" / "video.mp4",
        ]
        await shows(pilot, Compare)
        await give(pilot, "filter", way)
        assert isinstance(pilot.app.focused, Filter)


@pytest.mark.parametrize("way", WAYS)
async def test_commands_that_change_what_came_out(held: Path, opened: Opened, desktop: Path, way: str) -> None:
    async with opened(held.parent, held) as pilot:
        await choose(pilot, "2")
        folder = held / "edits" / "0002-a-dog-is-skiing"
        await give(pilot, "star", way)
        await until(pilot, lambda: read_marks(folder).starred and "★" in text(pilot.app))
        await give(pilot, "tags", way)
        await until(pilot, lambda: isinstance(pilot.app.screen, Line))
        await pilot.press(*"snow", "space", *"best", "enter")
        await until(pilot, lambda: read_marks(folder) == Marks(True, ("best", "snow")))
        await give(pilot, "external", way)
        await until(pilot, lambda: desktop.exists() and desktop.read_text().strip() == str(folder / "video.mp4"))
        await give(pilot, "delete", way)
        await until(pilot, lambda: states(pilot.app) == {"3": "done", "1": "done"})
        assert (held / "trash" / f"edits-{folder.name}" / "video.mp4").is_file()
        await give(pilot, "undo", way)
        await until(pilot, lambda: states(pilot.app) == {"3": "done", "2": "done", "1": "done"})
        assert read_marks(folder) == Marks(True, ("best", "snow"))


@pytest.mark.parametrize("way", WAYS)
async def test_marked_ones_are_compared(held: Path, opened: Opened, way: str) -> None:
    async with opened(held.parent, held) as pilot:
        for name in ("1", "2"):
            await choose(pilot, name)
            await give(pilot, "mark", way)
        await choose(pilot, "3")
        await give(pilot, "compare", way)
        await until(pilot, lambda: isinstance(pilot.app.screen, Compare))
        labels = [pane.item.label for pane in pilot.app.screen.panes.order]
        assert labels == ["clip: a man is skiing", "2 a dog is skiing", "1 a cat is skiing"]
        await shows(pilot, Compare)
        await pilot.press("enter")  # plays the chosen one alone, and the marks stay
        await until(pilot, lambda: isinstance(pilot.app.screen, Compare))
        assert len(pilot.app.screen.panes.order) == 2
        await shows(pilot, Compare)
        assert len(screen_of(pilot.app).jobs.marked) == 2


@pytest.mark.parametrize("way", WAYS)
async def test_commands_of_the_queue(held: Path, opened: Opened, way: str) -> None:
    queue = Queue(Workspace(held))
    async with opened(held.parent, held) as pilot:
        app = pilot.app
        await give(pilot, "queue_stage('tune')", way)
        await until(pilot, lambda: states(app).get("tune-1") == "queued")
        await give(pilot, "queue_stage('invert')", way)
        await until(pilot, lambda: list(states(app))[:2] == ["tune-1", "invert-2"])
        await choose(pilot, "tune-1")
        await give(pilot, "move(1)", way)
        await until(pilot, lambda: list(states(app))[:2] == ["invert-2", "tune-1"])
        await give(pilot, "move(-1)", way)
        await until(pilot, lambda: list(states(app))[:2] == ["tune-1", "invert-2"])
        await give(pilot, "pause", way)
        await until(pilot, lambda: states(app)["tune-1"] == "paused")
        await give(pilot, "pause", way)
        await until(pilot, lambda: states(app)["tune-1"] == "queued")
        queue.cancel(["tune-1"])
        await until(pilot, lambda: states(app)["tune-1"] == "cancelled")
        await give(pilot, "retry", way)
        await until(pilot, lambda: states(app)["tune-1"] == "queued")
        for name in ("tune-1", "invert-2"):
            await choose(pilot, name)
            await give(pilot, "delete", way)
            await until(pilot, lambda: name not in states(app))  # noqa: B023
        await give(pilot, "pause_all", way)
        await until(pilot, lambda: not queue.paused and not screen_of(app).snapshot.paused)
        await give(pilot, "pause_all", way)
        await until(pilot, lambda: queue.paused and "the queue is paused" in text(app))


@pytest.mark.parametrize("way", WAYS)
async def test_order_and_the_worker_who_was_sent_away(held: Path, opened: Opened, way: str) -> None:
    async with opened(held.parent, held) as pilot:
        screen = screen_of(pilot.app)
        for sort in (*SORTS[1:], SORTS[0]):
            await give(pilot, "sort", way)
            assert screen.sort == sort
        pilot.app.processes.send_away(Workspace(held))
        await give(pilot, "worker", way)
        assert not pilot.app.processes.rests(Workspace(held))
