"""Bases on the screen, and leaving it: against real bases, real stages and a real worker."""

import signal
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driving import Opened, afterwards, text, until
from textual.pilot import Pilot
from workspaces import order, states

from tavcli.queue import workers
from tavcli.tui.app import TavApp
from tavcli.tui.screens.bases import Bases, Ways
from tavcli.tui.screens.confirm import Confirm
from tavcli.tui.screens.quit import Leaving
from tavcli.tui.screens.text_input import Line
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]


def toml(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "tav.toml").read_text())


@pytest.mark.slow
async def test_a_base_is_added_chosen_with_what_was_tuned_and_taken_out(
    studio: Path, opened: Opened, make_tiny_base: Call
) -> None:
    other = make_tiny_base(Path.home() / "bases" / f"other-{studio.stat().st_ino}", seed=5)
    async with opened(studio.parent, studio, (120, 36)) as pilot:
        app = pilot.app
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, Bases) and "storybook" in text(app))
        assert "this workspace's base has no name here" in text(app)
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, Line))
        await pilot.press(*str(other), "enter")
        await until(pilot, lambda: isinstance(app.screen, Bases) and other.name in [b.name for b in app.screen.known])
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, Ways))
        await until(pilot, lambda: "becomes stale: tuned, inverted" in " ".join(text(app).split()))
        assert "tune again: " in text(app)
        assert "carry over: " in text(app)
        await pilot.press("c")
        await until(pilot, lambda: toml(studio)["base"] == other.name)
        await until(pilot, lambda: isinstance(app.screen, Bases) and app.screen.present == other.name)
        assert "carried" in toml(studio)
        await pilot.press("escape")
        await order(pilot, "a fox is skiing")
        await until(pilot, lambda: states(app).get("4") == "done")
        recipe = tomllib.loads((studio / "edits" / "0004-a-fox-is-skiing" / "edit.toml").read_text())
        assert recipe["base"]["name"] == other.name
        assert recipe["tuned"]["carried"] == toml(studio)["carried"]
        await until(pilot, lambda: "carried over" in text(app))
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, Bases) and other.name in text(app))
        await pilot.press("down", "d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(
            pilot, lambda: isinstance(app.screen, Bases) and other.name not in [b.name for b in app.screen.known]
        )
        assert other.is_dir()


async def asked_on_leaving(pilot: Pilot[None], folder: Path) -> None:
    """Press q while edit 4 is rendered; it is held, not to be done before we have looked."""
    app = pilot.app
    assert isinstance(app, TavApp)
    await until(pilot, lambda: states_on_disk(folder).get("4") == "running")
    app.processes.children[0].send_signal(signal.SIGSTOP)
    await until(pilot, lambda: states(app).get("4") == "running")
    await pilot.press("q")
    await until(pilot, lambda: isinstance(app.screen, Leaving))


async def answer(pilot: Pilot[None], key: str) -> None:
    assert isinstance(pilot.app, TavApp)
    await pilot.press(key)
    pilot.app.processes.children[0].send_signal(signal.SIGCONT)


@pytest.mark.slow
async def test_leaving_while_something_is_rendered(studio: Path, opened: Opened, settle: Call) -> None:
    settle(studio, {"invert": {"steps": 40}})
    video = studio / "edits" / "0004-a-fox-is-skiing" / "video.mp4"
    async with opened(studio.parent, studio) as pilot:
        await order(pilot, "a fox is skiing")
        await asked_on_leaving(pilot, studio)
        assert "a fox is skiing" in text(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Leaving))
        assert pilot.app.is_running
        await pilot.press("q")
        await until(pilot, lambda: isinstance(pilot.app.screen, Leaving))
        await answer(pilot, "s")  # the worker stops
        await afterwards(lambda: not workers.living_workers(Workspace(studio)))
        assert states_on_disk(studio)["4"] == "queued"
        assert not video.exists()
    async with opened(studio.parent, studio) as pilot:  # and coming back
        await asked_on_leaving(pilot, studio)
        await answer(pilot, "g")  # it goes on
        await afterwards(video.is_file)
        await afterwards(lambda: states_on_disk(studio)["4"] == "done")
    async with opened(studio.parent, studio) as pilot:
        await until(pilot, lambda: states(pilot.app).get("4") == "done")


def states_on_disk(folder: Path) -> dict[str, str]:
    from tavcli.queue.queue import Queue

    return {row.name: row.state for row in Queue(Workspace(folder)).rows()}
