"""A workspace whose files take longer to read than the screen waits between two looks."""

import threading
import time
from pathlib import Path

import pytest
from driving import Opened, until
from textual.app import App
from textual.screen import Screen
from workspaces import states

from tavcli.queue.queue import Queue
from tavcli.tui.data.snapshot import Snapshot, Watcher
from tavcli.tui.screens import workspace as screen
from tavcli.tui.threads import in_thread
from tavcli.workspace.folder import Workspace


async def test_looks_come_one_after_the_other(studio: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once: list[int] = []
    looking = threading.Semaphore(10)

    def slowly(watcher: Watcher) -> Snapshot:
        with looking:
            at_once.append(10 - looking._value)
            time.sleep(0.2)  # the slowness itself
            return looked(watcher)

    looked = Watcher.look
    monkeypatch.setattr(Watcher, "look", slowly)
    monkeypatch.setattr(screen, "_LOOK", 0.01)
    queue = Queue(Workspace(studio))
    queue.hold()
    async with opened(studio.parent, studio) as pilot:
        await until(pilot, lambda: states(pilot.app) == {"1": "done", "2": "done", "3": "done"})
        (studio / "edits" / "0002-a-dog-is-skiing" / "video.mp4").unlink()
        queue.rows()
        await until(pilot, lambda: states(pilot.app)["2"] != "done")
        assert max(at_once) == 1


async def test_a_screen_that_is_left_meanwhile_gets_no_answer() -> None:
    """Its worker may still go on while its parts are taken down."""
    read, told = threading.Event(), []

    class Reading(Screen[None]):
        def on_mount(self) -> None:
            self.run_worker(self.show())

        async def show(self) -> None:
            await in_thread(read.wait)
            told.append("shown")

    async with App[None]().run_test() as pilot:
        for left in (False, True):
            read.clear()
            screen = Reading()
            await pilot.app.push_screen(screen)
            screen._pruning = left
            read.set()
            await until(pilot, lambda: not pilot.app.workers)
            assert told == ["shown"]
