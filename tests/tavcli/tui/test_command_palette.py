"""A command is declared once; footer, palette and help say the same of it."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driving import Opened, settled, text
from textual.app import App
from textual.binding import Binding
from textual.command import CommandList
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.widgets._footer import FooterKey

import tavcli.tui
from tavcli.tui.command_palette import commands
from tavcli.tui.screens.help import Help


def _own_nodes() -> Iterator[type[DOMNode]]:
    for module in pkgutil.walk_packages(tavcli.tui.__path__, "tavcli.tui."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, DOMNode) and value.__module__ == module.name:
                yield value


@pytest.mark.parametrize("node", sorted(set(_own_nodes()), key=lambda node: node.__name__))
def test_what_the_footer_shows_says_what_it_does(node: type[DOMNode]) -> None:
    if issubclass(node, ModalScreen):
        pytest.skip("a dialog has no footer: its buttons and its text say all")
    for binding in node.__dict__.get("BINDINGS", ()):
        assert isinstance(binding, Binding)
        assert binding.tooltip or not (binding.show or binding.description), binding
        assert not binding.tooltip.endswith("."), binding


@pytest.mark.parametrize("where", ["library", "filter", "workspace"])
async def test_footer_palette_and_help_agree(films: Path, opened: Opened, where: str) -> None:
    async with opened(films) as pilot:
        await pilot.press(*{"library": [], "filter": ["slash"], "workspace": ["enter"]}[where])
        await settled(pilot)
        known = commands(pilot.app.screen)
        footer = {key.description for key in pilot.app.screen.query(FooterKey)}
        assert footer - {"More"} <= {command.name for command in known}
        assert {"More", "Help"} <= footer
        await pilot.press("ctrl+p")
        await settled(pilot)
        hits = pilot.app.screen.query_one(CommandList).options
        assert {hit.prompt.plain.splitlines()[1].strip() for hit in hits} == {command.tooltip for command in known}
        await pilot.press("escape", "f1")
        await settled(pilot)
        said = str(pilot.app.screen.query_one(".keys", Static).content)
        assert all(command.tooltip in " ".join(said.split()) for command in known)


async def test_help_is_about_what_has_the_focus(films: Path, opened: Opened) -> None:
    async with opened(films) as pilot:
        await pilot.press("f1")
        assert "first frame" in text(pilot.app)
        await pilot.press("escape", "slash", "f1")
        assert isinstance(pilot.app.screen, Help)
        assert "Only rows that have all the words" in text(pilot.app)


async def test_the_palette_finds_by_what_a_command_does(films: Path, opened: Opened) -> None:
    async with opened(films) as pilot:
        await pilot.press("ctrl+p", *"some words")
        await settled(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert pilot.app.focused is not None
        assert type(pilot.app.focused).__name__ == "Filter"


@pytest.mark.parametrize("key", ["f1", "ctrl+p", "n"])
async def test_they_look_right(
    films: Path, opened: Opened, key: str, looks_as_before: Callable[[App[None]], None]
) -> None:
    async with opened(films) as pilot:
        await pilot.press(key)
        await settled(pilot)
        for cursor in pilot.app.screen.query("CommandInput"):
            cursor.cursor_blink = False
        await pilot.pause()
        looks_as_before(pilot.app)
