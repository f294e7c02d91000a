"""What a person does with the application, and sees of it."""

import asyncio
import contextlib
import html
import re
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot
from textual.widgets._footer import FooterKey
from textual.worker import WorkerCancelled
from waiting import LOOK_EVERY

from tavcli.tui.command_palette import Command, commands

Opened = Callable[..., contextlib.AbstractAsyncContextManager[Pilot[None]]]
# The three ways to give a command.
WAYS = ("key", "mouse", "palette")
SIZES = ((80, 24), (160, 50))


async def settled(pilot: Pilot[None]) -> None:
    """Wait until nothing is being read, and all is drawn."""
    with contextlib.suppress(WorkerCancelled):  # one of a kind: a later one has taken its place
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def until(pilot: Pilot[Any], happened: Callable[[], object]) -> None:
    """Wait for something that the application or one of its processes does; fails when the application ends first."""
    while not happened():
        assert pilot.app.is_running, f"the application has ended; on its screen was:\n{text(pilot.app)}"
        await pilot.pause(LOOK_EVERY)


async def afterwards(happened: Callable[[], object]) -> None:
    """Wait for something that goes on when the application has ended."""
    while not happened():
        await asyncio.sleep(LOOK_EVERY)


async def give(pilot: Pilot[None], action: str, way: str) -> None:
    """Give a command by its `key`, with the `mouse`, or from the `palette`.

    The mouse clicks in the footer or, for what is not shown there, on More, and then on what that lists; the way back
    is a click on the screen's name.
    """
    command = next(one for one in commands(pilot.app.screen) if one.action == action)
    if way == "key":
        key = next(key for key, active in pilot.app.screen.active_bindings.items() if active.binding.action == action)
        await pilot.press(key)
    elif way == "mouse":
        await _click(pilot, command)
    else:
        await pilot.press("ctrl+p")
        await _search(pilot, command)
        await pilot.press("enter")
    await pilot.pause()


async def _click(pilot: Pilot[None], command: Command) -> None:
    await settled(pilot)
    if any(one.action == command.action for one in pilot.app.screen.query(FooterKey)):
        await click_in_footer(pilot, lambda key: key.action == command.action)
    elif command.action == "back":
        await pilot.click("TitleBar > #name")
    else:
        await click_in_footer(pilot, lambda key: key.has_class("-command-palette"))
        await _search(pilot, command)
        await pilot.click(CommandList, offset=(4, 1))


async def click_in_footer(pilot: Pilot[None], is_it: Callable[[FooterKey], bool]) -> None:
    """Once it is steady: the footer is made anew whenever a screen comes back, or what can be done changes."""
    before: list[FooterKey] = []
    while True:
        keys = list(pilot.app.screen.query(FooterKey))
        shown = [key for key in keys if is_it(key)]
        if shown and keys == before and await pilot.click(shown[0]):
            return
        before = keys
        await pilot.pause()


async def _search(pilot: Pilot[None], command: Command) -> None:
    """Type its name into the palette; half of it, if that is enough for it to be the first that is found."""
    await until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette))
    half = len(command.name) // 2
    for part in (command.name[:half], command.name[half:]):
        await pilot.press(*("space" if character == " " else character for character in part))
        await settled(pilot)
        if command.name in _first_found(pilot.app.screen.query_one(CommandList)):
            break
    await until(pilot, lambda: command.name in _first_found(pilot.app.screen.query_one(CommandList)))
    await settled(pilot)


def _first_found(found: CommandList) -> str:
    return str(found.get_option_at_index(0).prompt) if found.option_count else ""


def text(app: App[None]) -> str:
    """What is on the screen, line by line."""
    lines: dict[float, list[tuple[float, str]]] = {}
    for x, y, said in re.findall(r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', app.export_screenshot()):
        lines.setdefault(float(y), []).append((float(x), html.unescape(said).replace("\xa0", " ")))
    return "\n".join("".join(said for _, said in sorted(parts)) for _, parts in sorted(lines.items()))
