"""The prompt panel: what is typed is what is queued, counted before; bad input is told while it is typed."""

from pathlib import Path

import pytest
from driving import Opened, give, text, until
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Checkbox, Input, Select, TextArea
from workspaces import choose, screen_of, states

from tavcli.queue.queue import Queue
from tavcli.tui.screens.prompts import Prompts
from tavcli.tui.screens.workspace import WorkspaceScreen
from tavcli.workspace.folder import Workspace


@pytest.fixture
def held(studio: Path) -> Path:
    """The studio with its queue held: nothing that is queued there is done."""
    Queue(Workspace(studio)).hold()
    return studio


async def panel(pilot: Pilot[None]) -> Prompts:
    await pilot.press("n")
    await until(pilot, lambda: isinstance(pilot.app.screen, Prompts))
    assert isinstance(pilot.app.screen, Prompts)
    return pilot.app.screen


def write(screen: Prompts, prompts: str, **fields: str) -> None:
    screen.query_one(TextArea).text = prompts
    for name, value in fields.items():
        screen.query_one(f"#{name}", Input).value = value


async def test_a_grid_is_counted_and_queued_as_on_the_command_line(held: Path, opened: Opened) -> None:
    async with opened(held.parent, held) as pilot:
        screen = await panel(pilot)
        write(screen, "a {fox,bear} is skiing\n\na {{ is skiing", guidance="2,7.5", vary="0.3", seed="1..3", steps="2")
        await until(pilot, lambda: "18 edits" in text(pilot.app))
        await give(pilot, "queue", "key")
        await until(pilot, lambda: isinstance(pilot.app.screen, WorkspaceScreen))
        rows = [row for row in Queue(Workspace(held)).rows() if row.state == "queued"]
        made = [(row.summary.title, row.summary.guidance, row.summary.seed, row.summary.steps) for row in rows]
        titles = ["a fox is skiing", "a bear is skiing", "a { is skiing"]
        assert made == [(title, guidance, seed, 2) for title in titles for guidance in (2, 7.5) for seed in (1, 2, 3)]
        await until(pilot, lambda: screen_of(pilot.app).jobs.chosen.name == "4")


@pytest.mark.parametrize(
    ("prompts", "fields", "said"),
    [
        ("a {fox is skiing", {}, "a brace that stands alone"),
        ("a fox", {"guidance": "7,x"}, "guidance: `x` is no number"),
        ("a fox", {"steps": "many"}, "steps: `many` is no whole number"),
        ("a fox", {"steps": "0"}, "steps"),
        ("a fox", {"vary": "2"}, "vary"),
        ("a fox", {"seed": "1..4"}, "4 seeds would give the same video"),
        ("a fox", {"seed": "4..1", "vary": "0.5"}, "is no range"),
        ("", {}, "no prompt yet"),
    ],
)
async def test_what_is_wrong_is_said_and_queues_nothing(
    held: Path, opened: Opened, prompts: str, fields: dict[str, str], said: str
) -> None:
    async with opened(held.parent, held) as pilot:
        screen = await panel(pilot)
        write(screen, prompts, **fields)
        await until(pilot, lambda: said in text(pilot.app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(pilot.app._notifications))
        assert isinstance(pilot.app.screen, Prompts)
        assert screen.query_one(TextArea).text == prompts
        await pilot.press("escape")
        assert list(states(pilot.app).values()) == ["done"] * 3


async def test_the_mouse_the_switches_and_what_is_there_already(held: Path, opened: Opened) -> None:
    async with opened(held.parent, held) as pilot:
        screen = await panel(pilot)
        write(screen, "a fox is skiing", negative="snow", seed="1,2")
        screen.query_one(Checkbox).value = False
        screen.query_one("#preset", Select).value = "draft"
        await until(pilot, lambda: "2 edits" in text(pilot.app))
        await pilot.click("#queue")
        await until(pilot, lambda: list(states(pilot.app))[:2] == ["4", "5"])
        queue = Queue(Workspace(held))
        job = queue.job(queue.find("5"))
        recipe = job.edit.recipe
        assert (recipe["negative_prompt"], recipe["inversion"], recipe["seed"]) == ("snow", False, 2)
        await choose(pilot, "5")
        await pilot.press("v")  # the same again, filled in
        await until(pilot, lambda: isinstance(pilot.app.screen, Prompts))
        again = pilot.app.screen
        assert again.query_one(TextArea).text == "a fox is skiing"
        assert again.query_one("#negative", Input).value == "snow"
        assert again.query_one("#seed", Input).value == "3"
        assert not again.query_one(Checkbox).value
        await pilot.click("#cancel")
        await until(pilot, lambda: isinstance(pilot.app.screen, WorkspaceScreen))
        assert len(states(pilot.app)) == 5


async def test_the_time_is_told_by_the_engine_where_nothing_was_measured(held: Path, opened: Opened) -> None:
    async with opened(held.parent, held) as pilot:
        screen = await panel(pilot)
        write(screen, "a fox is skiing", steps="3")
        await until(pilot, lambda: "1 edit; reckoning the time ..." in text(pilot.app))
        await until(pilot, lambda: "1 edit, about 0:" in text(pilot.app))


async def test_what_is_typed_in_one_go_is_all_queued(held: Path, opened: Opened) -> None:
    """As a terminal gives it when a text is pasted, or typed fast: no pause between the last letter and ctrl+s."""
    async with opened(held.parent, held) as pilot:
        await panel(pilot)
        keys = [*"a fox is skiing", "ctrl+s"]
        for key in keys:
            character = key if len(key) == 1 else None
            pilot.app.post_message(Key("space" if key == " " else key, character))
        await until(pilot, lambda: "4" in states(pilot.app))
        queue = Queue(Workspace(held))
        assert queue.find("4").summary.title == "a fox is skiing"
