"""How the application asks, complains and ends."""

from collections.abc import Callable
from pathlib import Path

import pytest
from driving import Opened, give, settled, text, until
from textual.app import App
from textual.binding import Binding
from textual.pilot import Pilot
from textual.worker import WorkerFailed

from tav.errors import TavError
from tavcli.tui.app import TavApp
from tavcli.tui.screens.confirm import Confirm, ask
from tavcli.tui.screens.library import Library
from tavcli.tui.screens.tav_screen import TavScreen

ERROR = TavError("the base [b]x[/b] \x1b[1m is not there", "`tav bases list` shows what is")
SAID = ["the base [b]x[/b]", "`tav bases list` shows what is"]


class Faulty(TavScreen):
    """Fails in every way that a screen can."""

    TITLE = "Faulty"
    BINDINGS = [
        Binding("a", "fail", "Fail", tooltip="Fail in an action"),
        Binding("w", "fail_in_a_worker", "Work", tooltip="Fail in a worker"),
        Binding("o", "miss", "Miss", tooltip="Open a file that is not there"),
        Binding("b", "bug", "Bug", tooltip="Divide by zero"),
        Binding("v", "bug_in_a_worker", "Bug", tooltip="Divide by zero in a worker"),
    ]

    def action_fail(self) -> None:
        raise ERROR

    def action_fail_in_a_worker(self) -> None:
        async def fail() -> None:
            raise ERROR

        self.run_worker(fail())

    def action_miss(self) -> None:
        Path("/not/there").read_text()

    def action_bug(self) -> None:
        1 / 0  # noqa: B018

    def action_bug_in_a_worker(self) -> None:
        async def fail() -> None:
            1 / 0  # noqa: B018

        self.run_worker(fail())


@pytest.mark.parametrize(("action", "way"), [("fail", "key"), ("fail_in_a_worker", "mouse"), ("miss", "palette")])
async def test_expected_errors_are_told_and_nothing_ends(tmp_path: Path, opened: Opened, action: str, way: str) -> None:
    async with opened(tmp_path) as pilot:
        await pilot.app.push_screen(Faulty())
        await settled(pilot)
        await give(pilot, action, way)
        await pilot.pause()
        shown = text(pilot.app)
        for said in ["/not/there: No such file or directory"] if action == "miss" else SAID:
            assert said in shown
        assert "\x1b" not in shown
        assert isinstance(pilot.app.screen, Faulty)
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, Library)


@pytest.mark.parametrize("key", ["b", "v"])
async def test_a_bug_ends_it_and_is_kept(tmp_path: Path, opened: Opened, key: str) -> None:
    apps = []

    async def meet_it() -> None:
        async with opened(tmp_path) as pilot:
            apps.append(pilot.app)
            await pilot.app.push_screen(Faulty())
            await pilot.press(key)
            await pilot.pause()

    with pytest.raises((ZeroDivisionError, WorkerFailed)):  # the pilot, not the application, raises it once more
        await meet_it()
    assert isinstance(apps[0].failure, ZeroDivisionError)


async def _answer(pilot: Pilot[None], *what: str) -> bool:
    """Ask, answer by these keys or by a click on `#button`, return what came of it."""
    worker = pilot.app.run_worker(ask(pilot.app, "Delete [b]x[/b]?", "It is gone then", yes="Delete", no="Keep"))
    await pilot.pause()
    assert isinstance(pilot.app.screen, Confirm)
    assert "Delete [b]x[/b]?" in text(pilot.app)
    for one in what:
        await (pilot.click(one) if one.startswith("#") else pilot.press(one))
    return bool(await worker.wait())


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        (["y"], True),
        (["#yes"], True),
        (["left", "enter"], True),
        (["tab", "enter"], True),
        (["n"], False),
        (["escape"], False),
        (["enter"], False),
        (["#no"], False),
    ],
)
async def test_questions(tmp_path: Path, opened: Opened, what: list[str], answer: bool) -> None:
    async with opened(tmp_path) as pilot:
        assert await _answer(pilot, *what) is answer
        assert isinstance(pilot.app.screen, Library)


async def test_keys_act_in_an_empty_library(tmp_path: Path, opened: Opened) -> None:
    async with opened(tmp_path) as pilot:
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.return_code == 0)


async def test_a_question_looks_right(
    films: Path, opened: Opened, looks_as_before: Callable[[App[None]], None]
) -> None:
    async with opened(films) as pilot:
        question = "Move 3 edits to the trash?"
        pilot.app.run_worker(ask(pilot.app, question, "`u` brings them back", yes="Move", no="Keep"))
        await pilot.pause()
        looks_as_before(pilot.app)
        await pilot.press("n")


class Asking(TavApp):
    """A worker is running, say."""

    async def may_quit(self) -> bool:
        return await ask(self, "A render is running. Stop it?", yes="Stop", no="Stay")


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_quitting_may_be_refused(tmp_path: Path, key: str) -> None:
    app = Asking(tmp_path)
    async with app.run_test() as pilot:
        await settled(pilot)
        for _ in range(2):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, Confirm))
            await pilot.press("n")
            await until(pilot, lambda: isinstance(app.screen, Library))
            assert app.return_code is None
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: app.return_code == 0)


async def test_asking_twice_to_quit_asks_once(tmp_path: Path) -> None:
    app = Asking(tmp_path)
    async with app.run_test() as pilot:
        await pilot.press("ctrl+q", "ctrl+q")
        await pilot.pause()
        assert len(app.screen_stack) == 2
        await pilot.press("n")
        assert isinstance(app.screen, Library)
