"""The library: what it shows of real workspaces, and every command by key, by mouse and from the palette."""

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from driving import SIZES, WAYS, Opened, give, settled, text, until
from textual.app import App
from textual.pilot import Pilot

from tavcli.tui.screens import library
from tavcli.tui.screens.help import Help
from tavcli.tui.screens.library import Library
from tavcli.tui.screens.message import Note
from tavcli.tui.screens.workspace import WorkspaceScreen
from tavcli.tui.widgets.filter import Filter
from tavcli.tui.widgets.workspace_list import Shelf


@pytest.mark.parametrize("size", SIZES)
async def test_it_looks_right(
    films: Path, opened: Opened, size: tuple[int, int], looks_as_before: Callable[[App[None]], None]
) -> None:
    async with opened(films, size=size) as pilot:
        await pilot.press("down")
        await settled(pilot)
        looks_as_before(pilot.app)


@pytest.mark.parametrize("size", SIZES)
async def test_it_says_all_of_each_workspace(films: Path, opened: Opened, size: tuple[int, int]) -> None:
    async with opened(films, size=size) as pilot:
        shown = text(pilot.app)
    for part in ("a man is skiing", "a dog is running on the beach", "trips/night", "tiny", "~/films", "3 workspaces"):
        assert part in shown
    assert "1 done" in shown
    assert "no edits yet" in shown
    assert shown.count("tuned missing") >= 1
    assert shown.count("● tuned fresh") >= 2
    for state in ("● inverted fresh", "○ inverted missing"):
        assert state in shown


async def test_what_changes_made_stale_is_said(films: Path, opened: Opened, settle: Callable[..., None]) -> None:
    settle(films / "skiing", {"tune": {"steps": 9}})
    async with opened(films) as pilot:
        assert "◐ tuned stale" in text(pilot.app)


async def test_without_its_base_a_workspace_is_still_there(
    films: Path, opened: Opened, settle: Callable[..., None]
) -> None:
    settle(films / "skiing", {"base": "/not/there"})
    async with opened(films) as pilot:
        shown = text(pilot.app)
        assert "/not/there" in shown
        assert "1 done" in shown


async def test_the_wide_one_shows_the_highlighted_one(films: Path, opened: Opened) -> None:
    async with opened(films, size=(160, 50)) as pilot:
        assert "~/films/new" in text(pilot.app)
        await pilot.press("down")
        await settled(pilot)
        shown = text(pilot.app)
        assert "~/films/skiing" in shown
        assert "~/films/new" not in shown
        assert "a cat is skiing" in shown  # its edit


def _is_open(app: App[None]) -> bool:
    return isinstance(app.screen, WorkspaceScreen) and app.screen.workspace.folder.name == "new"


OUTCOMES: dict[str, Callable[[App[None]], bool]] = {
    "select": _is_open,
    "filter": lambda app: isinstance(app.focused, Filter),
    "new": lambda app: isinstance(app.screen, Note) and "tav init CLIP" in text(app),
    "refresh": lambda app: "4 workspaces" in text(app),
    "help": lambda app: isinstance(app.screen, Help),
    "quit": lambda app: app.return_code == 0,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("action", OUTCOMES)
async def test_every_command_in_every_way(films: Path, opened: Opened, action: str, way: str) -> None:
    async with opened(films) as pilot:
        assert not OUTCOMES[action](pilot.app)
        shutil.copytree(films / "new", films / "newer")
        await give(pilot, action, way)
        if action != "quit":
            await settled(pilot)
        await until(pilot, lambda: OUTCOMES[action](pilot.app))


async def test_the_first_click_highlights_and_the_second_opens(films: Path, opened: Opened) -> None:
    async with opened(films) as pilot:
        await pilot.click(Shelf, offset=(20, 6))
        assert isinstance(pilot.app.screen, Library)
        assert pilot.app.screen.shelf.chosen.folder == films / "skiing"
        await pilot.click(Shelf, offset=(20, 6))
        await pilot.pause()
        assert isinstance(pilot.app.screen, WorkspaceScreen)
        assert pilot.app.screen.workspace.folder == films / "skiing"


@pytest.mark.parametrize("way", WAYS)
async def test_the_way_back(films: Path, opened: Opened, way: str) -> None:
    async with opened(films) as pilot:
        await pilot.press("enter")
        await settled(pilot)
        if way == "mouse":
            await pilot.click("TitleBar > #name")
            await pilot.pause()
        else:
            await give(pilot, "back", way)
        assert isinstance(pilot.app.screen, Library)


async def _shown(pilot: Pilot[None]) -> list[str]:
    await settled(pilot)
    shelf = pilot.app.screen.query_one(Shelf)
    return [str(Path(option.id).relative_to(shelf.root)) for option in shelf.options]


async def test_filtering(films: Path, opened: Opened) -> None:
    async with opened(films) as pilot:
        await pilot.press("slash", *"DOG beach")
        assert await _shown(pilot) == ["new"]
        await pilot.press("enter")
        assert isinstance(pilot.app.focused, Shelf)
        assert await _shown(pilot) == ["new"]
        await pilot.press("slash", "escape")
        assert await _shown(pilot) == ["new", "skiing", "trips/night"]
        assert not pilot.app.screen.query_one(Filter).display


async def test_what_is_typed_into_the_filter_is_no_command(films: Path, opened: Opened) -> None:
    async with opened(films) as pilot:
        await pilot.press("slash", *"q/rn")
        assert pilot.app.screen.query_one(Filter).value == "q/rn"
        assert isinstance(pilot.app.screen, Library)


async def test_an_empty_folder_says_how_to_begin(tmp_path: Path, films: Path, opened: Opened) -> None:
    async with opened(tmp_path) as pilot:
        assert "tav init CLIP" in text(pilot.app)
        assert "tav demo" in text(pilot.app)
        shutil.copytree(films / "new", tmp_path / "new")
        await pilot.press("r")
        assert await _shown(pilot) == ["new"]
        assert "tav demo" not in text(pilot.app)


async def test_a_broken_workspace_is_shown_and_not_opened(films: Path, opened: Opened) -> None:
    (films / "new" / "tav.toml").write_text("caption = [\n")
    async with opened(films) as pilot:
        assert "! tav.toml is not valid TOML" in text(pilot.app)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Library)
        assert "look at" in text(pilot.app)  # the hint, in the notification


async def test_hostile_text_is_text(films: Path, opened: Opened, settle: Callable[..., None]) -> None:
    settle(films / "new", {"caption": "[bold]a[/nothing] \x1b[31mman ‮ $primary"})
    async with opened(films, size=(160, 50)) as pilot:
        shown = text(pilot.app)
    assert r"[bold]a[/nothing] \u001b[31mman \u202e $primary" in shown
    assert "\x1b" not in shown


async def test_workspaces_deeper_or_hidden_are_left_out(films: Path, opened: Opened) -> None:
    for place in ("a/b/deep", ".hidden", "trips/.tmp-1-00000000"):
        shutil.copytree(films / "new", films / place)
    async with opened(films) as pilot:
        assert await _shown(pilot) == ["new", "skiing", "trips/night"]


async def test_fifty_workspaces_are_read_beside_the_keys(
    films: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is read in the thread that takes the keys."""
    readers: Counter[threading.Thread] = Counter()

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def count(*arguments: object) -> object:
            readers[threading.current_thread()] += 1
            return function(*arguments)

        return count

    for name in ("workspaces", "read", "picture_of", "judged"):
        monkeypatch.setattr(library, name, counted(getattr(library, name)))
    for number in range(47):
        shutil.copytree(films / "new", films / f"more-{number:02}")
    async with opened(films) as pilot:
        await settled(pilot)
        assert len(await _shown(pilot)) == 50
        assert "50 workspaces" in text(pilot.app)
    assert readers.total() >= 3 * 50
    assert threading.main_thread() not in readers
