"""`tav ui --web` in a real browser: what a person types and clicks there, and what is left when the page is closed."""

import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from waiting import wait_for

from tavcli.queue import workers
from tavcli.tui.web import HOST
from tavcli.workspace.folder import Workspace

# The page keeps its terminal to itself; this lets the test look into it.
CATCH = """
Object.defineProperty(Object.prototype, "websocket_url", { set(url) {
  Object.defineProperty(this, "websocket_url", { value: url });
  window.shown = this;
}});"""
LINES = """
const seen = window.shown?.terminal.buffer.active;
return seen ? [...Array(seen.length).keys()].map((y) => seen.getLine(y).translateToString()) : []"""
# The middle of a cell, in pixels of the page.
CELL = """
const box = document.querySelector(".xterm-screen").getBoundingClientRect(), { cols, rows } = shown.terminal;
return [(arguments[0] + 0.5) * box.width / cols + box.x, (arguments[1] + 0.5) * box.height / rows + box.y]"""
ASKED = "return performance.getEntriesByType('resource').map((one) => one.name)"
# Keys that the browser then does something with itself, though they were for the application.
LEAKS = """
window.leaked = [];
addEventListener("keydown", (press) => setTimeout(() => press.defaultPrevented || leaked.push(press.key)), true);"""


class Page:
    """The application in the browser."""

    def __init__(self, driver: Any, server: "subprocess.Popen[str]") -> None:
        self.driver, self.server = driver, server

    def __call__(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def lines(self) -> list[str]:
        """What the terminal shows."""
        return self(LINES)

    def shows(self, what: str) -> None:
        """Wait for a pattern to be on the screen."""
        wait_for(lambda: re.search(what, "\n".join(self.lines())), self.server)

    def press(self, *keys: str, holding: str = "") -> None:
        from selenium.webdriver import ActionChains

        actions = ActionChains(self.driver)
        if holding:
            actions.key_down(holding)
        actions.send_keys(*keys)
        if holding:
            actions.key_up(holding)
        actions.perform()

    def click(self, words: str) -> None:
        """With the mouse, on the last line that has these words."""
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        row, line = [(row, line) for row, line in enumerate(self.lines()) if words in line][-1]
        x, y = self(CELL, line.rindex(words), row)
        actions = ActionBuilder(self.driver)
        actions.pointer_action.move_to_location(round(x), round(y)).click()
        actions.perform()


def at_work(folder: Path) -> set[int]:
    """The processes that were started in this folder."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                found.add(int(entry.name))
        except OSError:  # it has ended, or is not ours
            continue
    return found


@pytest.fixture
def folder(films: Path) -> Path:
    """A workspace with one edit."""
    return films / "skiing"


@pytest.fixture
def server(folder: Path, browser: Any, start: Callable[..., "subprocess.Popen[str]"]) -> Iterator[Any]:
    """`tav ui --web` there; after it, nothing of it is left."""
    server = start(folder, "ui", "--web", "--port", free_port())
    yield server
    browser.get("about:blank")
    server.send_signal(signal.SIGINT)
    assert server.wait() == 0
    assert server.stdout.read() == ""
    wait_for(lambda: not at_work(folder))


@pytest.fixture
def page(browser: Any, server: Any) -> Iterator[Page]:
    address = re.search(r"http://\S+", server.stderr.readline())[0]
    caught = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": CATCH + LEAKS})
    resize(browser, 1280, 800)
    browser.get(address)
    page = Page(browser, server)
    page.shows("a cat is skiing")
    yield page
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", caught)


def resize(browser: Any, width: int, height: int) -> None:
    shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_a_variant_is_queued_and_made_and_the_closed_page_leaves_nothing(page: Page, server: Any, folder: Path) -> None:
    from selenium.webdriver import Keys

    page.click("n New")
    page.shows("New edits")
    page.press("a fox is skiing")
    page.shows("1 edit")
    page.press("s", holding=Keys.CONTROL)
    page.shows(r"2  a fox is skiing[^\n]*\n[^\n]*\n.*(▶ *running|✓ *done)")
    page.shows(r"2  a fox is skiing[^\n]*\n[^\n]*\n.*✓ *done +PSNR")
    assert (folder / "edits" / "0002-a-fox-is-skiing" / "video.mp4").is_file()

    asked = page(ASKED)
    assert len(asked) >= 3
    assert {urlsplit(one).hostname for one in asked} == {HOST}
    assert workers.living_workers(Workspace(folder))
    page.driver.get("about:blank")
    wait_for(lambda: at_work(folder) == {server.pid}, server)
    assert not workers.living_workers(Workspace(folder))


@pytest.mark.slow
def test_keys_are_not_the_browsers_and_a_narrow_window_has_80_columns(page: Page) -> None:
    from selenium.webdriver import Keys

    page.press(Keys.F1)
    page.shows("Edits and jobs")
    page.press(Keys.ESCAPE)
    page.shows("q Quit")
    page.press("p", holding=Keys.CONTROL)
    page.shows("Search for commands")
    page.press("s", holding=Keys.CONTROL)
    page.press(Keys.TAB, Keys.ESCAPE)
    wait_for(lambda: page("return leaked.length") == 2, page.server)
    assert set(page("return leaked")) == {"Control"}  # itself no command of theirs

    resize(page.driver, 390, 844)
    page.driver.refresh()
    page.shows("a cat is skiing")
    assert page("return shown.terminal.cols") >= 80
    assert page("return shown.terminal.element.querySelector('.xterm-screen').clientWidth") <= 390
