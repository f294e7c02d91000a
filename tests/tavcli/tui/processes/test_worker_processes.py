"""The workers of the screen: real ones. One story each, since every worker loads the engine."""

import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from driving import Opened, text, until
from textual.pilot import Pilot
from waiting import halted
from workspaces import choose, order, screen_of, states

from tavcli.queue import workers
from tavcli.queue.queue import Queue
from tavcli.tui.app import TavApp
from tavcli.tui.processes.workers import WorkerProcesses
from tavcli.tui.screens.confirm import Confirm
from tavcli.tui.widgets.player import Player
from tavcli.tui.widgets.progress import Progress
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]


def playing(pilot: Pilot[None]) -> bool:
    """Is there a picture in the large player?"""
    return screen_of(pilot.app).query_one("#edit", Player).footage is not None


@contextlib.asynccontextmanager
async def halted_in_flight(pilot: Pilot[None], folder: Path, name: str) -> AsyncIterator[tuple[int, Callable[[], str]]]:
    """Once the job's first steps are done and a picture of it is there, its worker stands still.

    Given are the worker's process and what tells whether the job is asked to stop.
    """
    queue = Queue(Workspace(folder))

    def worker() -> workers.Status | None:
        for one in workers.living_workers(queue.workspace):
            begun = one.job.startswith(f"edits/{int(name):04d}-") and one.done >= 10
            if begun and workers.preview_file(queue.workspace, one.token).is_file():
                return one
        return None

    await until(pilot, worker)
    at_work = worker()
    assert at_work is not None
    with halted(at_work.pid):
        yield at_work.pid, lambda: queue.wished(queue.job(queue.find(name)))


@pytest.mark.slow
async def test_a_prompt_becomes_a_video(studio: Path, opened: Opened, settle: Call) -> None:
    settle(studio, {"invert": {"steps": 120}})
    async with opened(studio.parent, studio, (120, 40)) as pilot:
        app = pilot.app
        await order(pilot, "a {fox,bear} is skiing")
        assert list(states(app).items())[:2] == [("4", "queued"), ("5", "queued")]
        assert screen_of(app).jobs.chosen.name == "4"
        async with halted_in_flight(pilot, studio, "4") as (_, asked):
            await until(pilot, lambda: playing(pilot) and states(app).get("4") == "running")  # the preview
            await until(pilot, lambda: re.search(r"edit 4 ━+─* +\d+/120, \d+:\d\d left", text(app)))
            shown = text(app)
            assert re.search(r"running *\d+ %", shown), shown
            assert "1 queued · 3 done" in shown
            assert "worker on cpu" in shown
            await pilot.press("p")
            await until(pilot, asked)
        await until(pilot, lambda: states(app).get("4") == "paused")
        assert (studio / "edits" / "0004-a-fox-is-skiing" / "partial.safetensors").is_file()
        async with halted_in_flight(pilot, studio, "5") as (_, asked):  # it does the next one meanwhile
            await choose(pilot, "5")
            await until(pilot, lambda: playing(pilot))
            await pilot.press("d")
            await until(pilot, lambda: isinstance(app.screen, Confirm))
            assert "Stop job 5?" in text(app)
            await pilot.press("y")
            await until(pilot, asked)
        await until(pilot, lambda: states(app).get("5") == "cancelled")

        await choose(pilot, "4")
        await pilot.press("p", "P")  # on, and at once the whole queue is held
        await until(pilot, lambda: all(one.state == "paused" for one in screen_of(app).snapshot.workers))
        assert "the queue is paused" in text(app)
        assert states(app)["4"] in ("queued", "paused")
        await pilot.press("P")
        await until(pilot, lambda: states(app).get("4") == "done")
        await until(pilot, lambda: re.search(r"a fox is skiing.*\n.*\n.*done *PSNR \d+\.\d dB", text(app)))
        assert playing(pilot)
        assert (studio / "edits" / "0004-a-fox-is-skiing" / "video.mp4").is_file()


@pytest.mark.slow
async def test_failures_and_deaths(studio: Path, opened: Opened, settle: Call) -> None:
    (weights,) = studio.glob("tuned/*/attention.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    settle(studio, {"invert": {"steps": 80}})
    async with opened(studio.parent, studio, (120, 40)) as pilot:
        app = pilot.app
        await order(pilot, "a fox is skiing")
        await until(pilot, lambda: states(app).get("4") == "failed")
        assert "attention.safetensors" in text(app)
        weights.write_bytes(whole)
        await pilot.press("r")
        async with halted_in_flight(pilot, studio, "4") as (worker, _):
            await until(pilot, lambda: states(app).get("4") == "running" and playing(pilot))
            os.kill(worker, signal.SIGKILL)
        await until(pilot, lambda: states(app).get("4") == "interrupted")
        assert "! interrupted" in text(app)
        assert not (studio / "edits" / "0004-a-fox-is-skiing" / "video.mp4").exists()
        await pilot.press("r")
        await until(pilot, lambda: states(app).get("4") == "done")
        await pilot.press("w")  # sent away, it ends and nobody comes in its place
        await until(pilot, lambda: not workers.living_workers(Workspace(studio)))
        await pilot.press("T")
        await until(pilot, lambda: states(app).get("tune-1") == "done")  # who queues asks for work
        await pilot.press("w")
        await until(pilot, lambda: not workers.living_workers(Workspace(studio)))


def test_a_worker_that_always_dies_is_not_started_for_ever(studio: Path) -> None:
    workspace = Workspace(studio)
    crew = WorkerProcesses(("--no-such-flag",))
    for _ in range(3):
        assert crew.ensure(workspace, done=0)
        (child,) = crew.children
        assert child.wait() != 0
    assert not crew.ensure(workspace, done=0)
    assert "no-such-flag" in (workers.queue_folder(workspace) / "worker.log").read_text()
    crew.wake(workspace)
    assert crew.ensure(workspace, done=0)
    crew.children[0].wait()
    assert crew.ensure(workspace, done=1)  # it got somewhere
    crew.children[0].wait()


async def test_who_is_sent_away_does_not_come_back(studio: Path, opened: Opened) -> None:
    async with opened(studio.parent, studio) as pilot:
        app = pilot.app
        assert isinstance(app, TavApp)
        app.processes.send_away(Workspace(studio))
        Queue(Workspace(studio)).hold()
        await pilot.press("T")
        await until(pilot, lambda: states(app).get("tune-1") == "queued")
        app.processes.send_away(Workspace(studio))
        Queue(Workspace(studio)).release()
        await until(pilot, lambda: "the worker was sent away   w calls it back" in text(app))
        assert app.processes.children == []
        assert screen_of(app).query_one(Progress).display
