"""How the screens of a workspace look, as stored pictures. Nothing in them moves: still clips, fixed times."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import SIZES, Opened, settled, text, until
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input, TextArea
from workspaces import choose, screen_of

from tav.video import write_video
from tavcli.queue import workers
from tavcli.queue.queue import Queue
from tavcli.tui.screens.bases import Bases, Ways
from tavcli.tui.screens.prompts import Prompts
from tavcli.tui.screens.quit import Leaving
from tavcli.tui.screens.workspace import WorkspaceScreen
from tavcli.workspace.annotations import Marks, write_marks
from tavcli.workspace.folder import Workspace
from tavcli.workspace.scores import write_scores

Call = Callable[..., Any]
Looks = Callable[[App[None]], None]
MADE = "2026-11-25 12:00:00"
COLOURS = {"cat": (226, 149, 60), "dog": (120, 94, 70), "robot": (130, 150, 170), "source": (86, 150, 233)}


def still(path: Path, colour: tuple[int, int, int]) -> None:
    """Three equal frames: a square on snow. Large areas of one colour come back the same from any codec."""
    frames = np.full((3, 32, 32, 3), 250, np.uint8)
    frames[:, :16] = (120, 180, 240)
    frames[:, 8:24, 8:24] = colour
    write_video(path, frames, 8)


@pytest.fixture
def scene(studio: Path, done: Call) -> Path:
    """`~/films/studio`: done, starred, failed, queued, cancelled; nobody works, and it is always the same noon."""
    still(studio / "source.mp4", COLOURS["source"])
    for number, name in enumerate(("cat", "dog", "robot"), start=1):
        folder = studio / "edits" / f"{number:04d}-a-{name}-is-skiing"
        still(folder / "video.mp4", COLOURS[name])
        (folder / "made.json").write_text(json.dumps({"date": MADE}))
        write_scores(folder, {"psnr": 20.0 + number})
    write_marks(studio / "edits" / "0002-a-dog-is-skiing", Marks(True, ("best",)))
    queue = Queue(Workspace(studio))
    queue.hold()
    done(
        studio,
        "queue",
        "add",
        "--vary",
        "0.3",
        "--seed",
        "1..2",
        "a fox is skiing",
        "a [b]bear[/b] is skiing on the beach",
    )
    for row in queue.rows():
        if row.state == "queued":
            queue.job(row).write(queued=MADE)
    queue.cancel(["6"])
    (failed,) = [row for row in queue.rows() if row.name == "7"]
    facts = {"error": "the inversion needs about 9.4 GB of memory, and cuda has 8.1 GB"}
    queue.job(failed).write(
        state="failed", **facts, hint="16 frames of 512x512 fit: set frames under [clip] in tav.toml"
    )
    return studio


@pytest.fixture
def rendering(scene: Path) -> Iterator[Path]:
    """The same while edit 4 is rendered: a worker is present, and says so."""
    workspace = Workspace(scene)
    queue = Queue(workspace)
    queue.release()
    with workers.registered(workspace) as token:
        queue.claim(token).write(began=MADE)
        frames = np.linspace(0, 255, 16 * 16 * 3).reshape(1, 16, 16, 3).astype(np.uint8)
        with workers.preview_file(workspace, token).open("wb") as file:
            np.save(file, frames)
        edit = "edits/0004-a-fox-is-skiing"
        what = {"what": "edit 4: a fox is skiing", "done": 21, "total": 50, "left": 12.4}
        workers.publish(workspace, workers.Status(token, device="cpu", state="working", job=edit, **what))
        yield scene


async def judged(pilot: Pilot[None]) -> None:
    """Wait until the title bar says what is fresh: that is read after all the rest."""
    workspace = screen_of(pilot.app)
    await until(pilot, lambda: "inverted" in str(workspace.sub_title))


@pytest.mark.parametrize("size", SIZES)
async def test_a_workspace(scene: Path, opened: Opened, looks_as_before: Looks, size: tuple[int, int]) -> None:
    async with opened(scene.parent, scene, size) as pilot:
        await judged(pilot)
        await choose(pilot, "2")
        await until(pilot, lambda: screen_of(pilot.app).query_one("#edit").footage is not None)
        await until(pilot, lambda: size[0] < 100 or len(screen_of(pilot.app).jobs.pictures) == 3)
        await settled(pilot)
        looks_as_before(pilot.app)


@pytest.mark.parametrize("size", SIZES)
async def test_a_render_in_flight(
    rendering: Path, opened: Opened, looks_as_before: Looks, size: tuple[int, int]
) -> None:
    async with opened(rendering.parent, rendering, size) as pilot:
        await judged(pilot)
        await choose(pilot, "4")
        await until(pilot, lambda: "21/50" in text(pilot.app))
        await until(pilot, lambda: screen_of(pilot.app).query_one("#edit").footage is not None)
        await until(pilot, lambda: size[0] < 100 or len(screen_of(pilot.app).jobs.pictures) == 4)
        await settled(pilot)
        looks_as_before(pilot.app)


@pytest.mark.parametrize("size", SIZES)
async def test_an_empty_workspace(films: Path, opened: Opened, looks_as_before: Looks, size: tuple[int, int]) -> None:
    still(films / "new" / "source.mp4", COLOURS["source"])
    async with opened(films, films / "new", size) as pilot:
        await until(pilot, lambda: "No edits yet" in text(pilot.app) and "tuned missing" in text(pilot.app))
        await settled(pilot)
        looks_as_before(pilot.app)


@pytest.mark.parametrize("size", SIZES)
async def test_the_prompt_panel(scene: Path, opened: Opened, looks_as_before: Looks, size: tuple[int, int]) -> None:
    shutil.rmtree(scene / "edits")  # what lies behind the panel is another matter
    async with opened(scene.parent, scene, size) as pilot:
        await judged(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, Prompts))
        screen = pilot.app.screen
        screen.query_one(TextArea).text = "a {cat,robot} is skiing"
        screen.query_one("#seed", Input).value = "1..4"
        await until(pilot, lambda: "4 seeds would give the same video" in text(pilot.app))
        await settled(pilot)
        looks_as_before(pilot.app)


@pytest.mark.parametrize("size", SIZES)
async def test_bases(scene: Path, opened: Opened, looks_as_before: Looks, done: Call, size: tuple[int, int]) -> None:
    done(scene, "bases", "add", Path.home() / "bases" / "tiny", "--name", "photo")
    try:
        async with opened(scene.parent, scene, size) as pilot:
            await judged(pilot)
            await pilot.press("b")
            await until(pilot, lambda: isinstance(pilot.app.screen, Bases) and "photo" in text(pilot.app))
            await pilot.press("down")
            await settled(pilot)
            looks_as_before(pilot.app)
    finally:
        done(scene, "bases", "remove", "photo", "--yes")


PLAN: dict[str, Any] = {
    "was": "stable-diffusion-v1-5",
    "base": "dreambooth-corgi",
    "stale": ["tuned", "inverted"],
    "tune_again": {"seconds": 1510.0, "tune": {}, "invert": {}},
    "carry_over": {"seconds": 95.0, "tune": None, "invert": {"seconds": 95.0}},
    "refused": None,
}
PLAN["tune_again"] |= {"tune": {"seconds": 1415.0}, "invert": {"seconds": 95.0}}


@pytest.mark.parametrize("name", ["ways", "leaving"])
async def test_dialogs(films: Path, opened: Opened, looks_as_before: Looks, name: str) -> None:
    async with opened(films) as pilot:
        await pilot.app.push_screen(
            Ways(PLAN) if name == "ways" else Leaving(["studio: 4 a fox is skiing, and 2 more jobs"])
        )
        await settled(pilot)
        looks_as_before(pilot.app)


async def test_the_screen_of_a_broken_workspace_says_so(films: Path, opened: Opened) -> None:
    (films / "new" / "tav.toml").write_text("caption = [")
    async with opened(films) as pilot:
        await pilot.press("enter")
        await settled(pilot)
        assert not isinstance(pilot.app.screen, WorkspaceScreen)
        assert "not valid TOML" in text(pilot.app)
