"""`tav ui --web` in a real browser: what a person types and clicks there, and what is left when the page is closed."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tavcli.queue import Queue
from tavcli.tui.web import HOST
from tavcli.workspace import Workspace

Server = tuple["subprocess.Popen[str]", str]
# The page keeps its terminal to itself; this gives it to the test as `terminal`, and the last key as `pressed`.
CATCH = """
Object.defineProperty(Object.prototype, "websocket_url", { set(url) {
  Object.defineProperty(this, "websocket_url", { value: url });
  Object.defineProperty(window, "terminal", { get: () => this.terminal });
}});
addEventListener("keydown", (event) => { window.pressed = event; }, true);
"""
LINES = """
const seen = window.terminal?.buffer?.active;
return seen ? [...Array(seen.length).keys()].map((y) => seen.getLine(y)?.translateToString() ?? "") : []"""
CELL = """
const box = document.querySelector(".xterm-screen").getBoundingClientRect();
const [width, height] = [box.width / terminal.cols, box.height / terminal.rows];
return [box.x + (arguments[0] + 0.5) * width, box.y + (arguments[1] + 0.5) * height]"""
PASTED = "navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](`${error}`))"


class Page:
    """The application in the browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    @property
    def lines(self) -> list[str]:
        """What is on the screen; nothing before there is one."""
        return list(self.driver.execute_script(LINES))

    def shows(self, what: str, seconds: float = 40) -> None:
        """Wait for a pattern to be on the screen."""
        end = time.monotonic() + seconds
        while not re.search(what, screen := "\n".join(self.lines)):
            assert time.monotonic() < end, f"{what!r} is not on the screen:\n{screen}"
            time.sleep(0.05)

    def hides(self, what: str) -> None:
        """Wait for a pattern to be on the screen no longer."""
        self.shows(rf"\A(?!(.|\n)*{what})")

    def type(self, keys: str, held: str = "") -> None:
        """Press keys one after the other, with another one `held` down."""
        from selenium.webdriver import ActionChains

        chain = ActionChains(self.driver)
        for key in held:
            chain.key_down(key)
        chain.send_keys(keys)
        for key in held:
            chain.key_up(key)
        chain.perform()

    def click(self, word: str) -> None:
        """With the mouse, on the last place where this word is."""
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        row, line = [(row, line) for row, line in enumerate(self.lines) if word in line][-1]
        x, y = self.driver.execute_script(CELL, line.rindex(word), row)
        mouse = ActionBuilder(self.driver)
        mouse.pointer_action.move_to_location(round(x), round(y)).click()
        mouse.perform()

    @property
    def kept_key(self) -> bool:
        """Was the last key kept from the browser, which would have saved, printed or explained the page?"""
        return bool(self.driver.execute_script("return pressed.defaultPrevented"))

    @property
    def spoken_to(self) -> set[str]:
        """Every host that the page has sent anything to, since this was read last."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [one["params"] for one in events if one["method"] == "Network.requestWillBeSent"]
        sockets = [one["params"]["url"] for one in events if one["method"] == "Network.webSocketCreated"]
        addresses = [*sockets, *(one["request"]["url"] for one in sent)]
        return {urlsplit(one).netloc for one in addresses if not one.startswith(("data:", "blob:"))}


@pytest.fixture
def server(studio: Path, start: Callable[..., "subprocess.Popen[str]"]) -> Iterator[Server]:
    """One of the studio, and the address it printed."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    process = start(studio, "ui", "--web", "--port", port)
    assert process.stderr is not None
    yield process, re.search(r"http://\S+", process.stderr.readline())[0]
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Page]:
    """Opened in a tab of its own."""
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    browser.set_window_size(1280, 800)
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": CATCH})
    allowed = {"permissions": ["clipboardReadWrite"], "origin": server[1]}
    browser.execute_cdp_cmd("Browser.grantPermissions", allowed)
    browser.get_log("performance")
    browser.get(server[1])
    own = browser.current_window_handle
    yield Page(browser)
    if own in browser.window_handles:
        browser.close()
    browser.switch_to.window(first)


def processes(folder: Path) -> set[int]:
    """Those that were started in a folder."""
    found = set()
    for one in Path("/proc").iterdir():
        try:
            if one.name.isdigit() and Path(os.readlink(one / "cwd")) == folder:
                found.add(int(one.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def until_only(left: set[int], folder: Path, seconds: float = 30) -> None:
    """Wait until no other processes are there."""
    end = time.monotonic() + seconds
    while (there := processes(folder)) != left:
        assert time.monotonic() < end, f"{there} instead of {left}"
        time.sleep(0.1)


def test_a_variant_is_queued_and_seen_to_finish(studio: Path, server: Server, page: Page) -> None:
    from selenium.webdriver import Keys

    page.shows("a robot is skiing(.|\n)*3 done")
    page.click("New")
    page.shows("New edits")
    page.type("a fox is skiing")
    page.shows("a fox is skiing(.|\n)*1 edit")
    page.type("s", held=Keys.CONTROL)
    assert page.kept_key
    page.shows("a fox is skiing(.|\n)*running")
    page.shows("a fox is skiing(.|\n)*PSNR(.|\n)*4 done")
    assert {(row.name, row.state) for row in Queue(Workspace(studio)).rows()} == {(n, "done") for n in "1234"}
    assert len(processes(studio)) == 3  # the server, the application, its worker
    page.driver.close()
    until_only({server[0].pid}, studio)


def test_the_keys_are_the_applications_and_copies_are_the_browsers(server: Server, page: Page) -> None:
    from selenium.webdriver import Keys

    page.shows("a robot is skiing(.|\n)*3 done")
    for key, held, shown in ((Keys.F1, "", "Edits and jobs"), ("p", Keys.CONTROL, "Search"), ("y", "", "as a command")):
        page.type(key, held=held)
        page.shows(shown)
        assert page.kept_key
        if key != "y":
            page.type(Keys.ESCAPE)
            page.hides(shown)
    assert page.driver.execute_async_script(PASTED).startswith("tav edit 'a robot is skiing'")
    assert page.spoken_to == {urlsplit(server[1]).netloc}


def test_a_small_window_scrolls_and_a_large_one_is_filled(page: Page) -> None:
    page.shows("a robot is skiing(.|\n)*3 done")
    for width, height in ((500, 400), (1600, 1000)):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        page.shows("^(?!(.|\n)*Quit(.|\n)*Quit)(.|\n)*More")
        lines = page.lines
        assert len(lines) >= 24
        assert len(lines[0]) >= 80
        assert "More" in lines[-1]
    assert len(lines) > 40


def test_ctrl_c_ends_the_pages_that_are_open(studio: Path, server: Server, page: Page) -> None:
    from selenium.webdriver.common.by import By

    page.shows("a robot is skiing")
    server[0].send_signal(signal.SIGINT)
    until_only(set(), studio)
    assert page.driver.find_element(By.CSS_SELECTOR, ".ended").is_displayed()


@pytest.mark.parametrize("header", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
@pytest.mark.parametrize("path", ["/", "/ws"])
def test_a_page_of_another_site_gets_nothing(server: Server, header: dict[str, str], path: str) -> None:
    """It may have a name of its own for 127.0.0.1 (DNS rebinding): it has no key."""
    connection = http.client.HTTPConnection(urlsplit(server[1]).netloc)
    connection.request("GET", path, headers={"Upgrade": "websocket", "Connection": "Upgrade", **header})
    assert connection.getresponse().status == 403
