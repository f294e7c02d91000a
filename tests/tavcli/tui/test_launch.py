"""What `tav ui` opens, by where it is called and what is named; and how it looks without colours."""

import re
from pathlib import Path

import pytest
from driving import Opened, settled

from tav.errors import SettingsError
from tavcli.tui.launch import application

# Of the window that is drawn around a screenshot.
FRAME = {"#ff5f57", "#febc2e", "#28c840", "#c5c8c6"}


def test_inside_a_workspace_it_opens_that(films: Path) -> None:
    for here in (films / "skiing", films / "skiing" / "edits"):
        app = application(here)
        assert app.workspace is not None
        assert (app.root, app.workspace.folder) == (films, films / "skiing")


def test_elsewhere_it_opens_the_library(films: Path, tmp_path: Path) -> None:
    for here in (films, films / "trips", tmp_path):
        app = application(here)
        assert (app.root, app.workspace) == (here, None)


def test_a_named_workspace_wins(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = application(tmp_path, films / "new")
    assert app.workspace is not None
    assert app.workspace.folder == films / "new"
    monkeypatch.setenv("TAV_WORKSPACE", str(films / "skiing"))
    app = application(films / "new")
    assert app.workspace is not None
    assert app.workspace.folder == films / "skiing"
    with pytest.raises(SettingsError):
        application(films, tmp_path)


async def test_a_workspace_opens_on_top_of_the_library(films: Path, opened: Opened) -> None:
    async with opened(films, films / "skiing") as pilot:
        assert [type(screen).__name__ for screen in pilot.app.screen_stack] == ["Library", "WorkspaceScreen"]


async def test_without_colours_it_is_grey_and_the_choice_is_seen(
    films: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(films) as pilot:
        svg = pilot.app.export_screenshot()
        await pilot.press("down")
        await settled(pilot)
        other = pilot.app.export_screenshot()
    colours = set(re.findall("#[0-9a-f]{6}", svg)) - FRAME
    assert len(colours) > 5
    assert all(colour[1:3] == colour[3:5] == colour[5:7] for colour in colours)
    assert "text-decoration: underline" in svg
    assert re.sub(r"terminal-\d+", "", svg) != re.sub(r"terminal-\d+", "", other)
