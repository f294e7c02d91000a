"""What a person does with the application, and sees of it."""

import contextlib
import html
import re
import time
from collections.abc import Callable

from textual.app import App
from textual.command import CommandList
from textual.pilot import Pilot
from textual.widgets._footer import FooterKey
from textual.worker import WorkerCancelled

from tavcli.tui.palette import Command, commands

Opened = Callable[..., contextlib.AbstractAsyncContextManager[Pilot[None]]]
# The three ways to give a command.
WAYS = ("key", "mouse", "palette")
SIZES = ((80, 24), (160, 50))


async def settled(pilot: Pilot[None]) -> None:
    """Wait until nothing is being read, and all is drawn."""
    with contextlib.suppress(WorkerCancelled):  # one of a kind: a later one has taken its place
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def until(pilot: Pilot[None], happened: Callable[[], bool]) -> None:
    """Wait for something that takes a few turns of the loop; fails when it does not come."""
    for _ in range(100):
        if happened():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"it did not happen; on the screen is:\n{text(pilot.app)}")


async def eventually(pilot: Pilot[None], happened: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something that another process does; fails when it does not come."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"it did not happen; on the screen is:\n{text(pilot.app)}"
        await pilot.pause(0.05)


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
        await pilot.press("ctrl+p", *_typed(command.name))
        await settled(pilot)
        await pilot.press("enter")
    await pilot.pause()


async def _click(pilot: Pilot[None], command: Command) -> None:
    shown = [one for one in pilot.app.screen.query(FooterKey) if one.action == command.action]
    if shown:
        await pilot.click(shown[0])
        return
    if command.action == "back":
        await pilot.click("TitleBar > #name")
        return
    await pilot.click(next(one for one in pilot.app.screen.query(FooterKey) if one.has_class("-command-palette")))
    await pilot.press(*_typed(command.name))
    await settled(pilot)
    await pilot.click(CommandList, offset=(4, 1))


def _typed(name: str) -> list[str]:
    return ["space" if character == " " else character for character in name]


def text(app: App[None]) -> str:
    """What is on the screen, line by line."""
    lines: dict[float, list[tuple[float, str]]] = {}
    for x, y, said in re.findall(r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', app.export_screenshot()):
        lines.setdefault(float(y), []).append((float(x), html.unescape(said).replace("\xa0", " ")))
    return "\n".join("".join(said for _, said in sorted(parts)) for _, parts in sorted(lines.items()))
