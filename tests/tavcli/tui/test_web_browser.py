"""`tav ui --web` in a browser, from the printed address to the finished edit. Reads what the page is sent to draw."""

import contextlib
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tavcli import presence
from tavcli.queue import Queue
from tavcli.tui.web import HOST
from tavcli.workspace import Workspace

# Keeps all that comes through the page's socket, as text without its colours.
LISTEN = """
window.drawn = "";
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    const decoder = new TextDecoder();
    this.addEventListener("message", async (event) => {
      const data = event.data instanceof Blob ? await event.data.arrayBuffer() : event.data;
      const text = typeof data === "string" ? data : decoder.decode(data, { stream: true });
      window.drawn += text.replace(/\\x1b\\[[0-9;?]*[a-zA-Z]/g, "");
    });
  }
};
"""


@pytest.fixture
def address(studio: Path, start: Callable[..., "subprocess.Popen[str]"]) -> Iterator[str]:
    """Of a server of the studio."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    server = start(studio, "ui", "--web", "--port", port)
    assert server.stderr is not None
    yield re.search(r"http://\S+", server.stderr.readline())[0]
    server.send_signal(signal.SIGINT)
    assert server.wait(30) == 0


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The browser, at the address."""
    listening = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LISTEN})
    browser.set_window_size(1280, 800)
    browser.get(address)
    yield browser
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", listening)
    with contextlib.suppress(Exception):
        browser.get("about:blank")


def draws(page: Any, *words: str, since: int = 0, seconds: float = 60) -> int:
    """Wait until the page was sent these words, behind `since`; returns how much it was sent."""
    end = time.monotonic() + seconds
    while not all(word in page.execute_script("return window.drawn")[since:] for word in words):
        assert time.monotonic() < end, (words, page.execute_script("return window.drawn")[since:][-2000:])
        time.sleep(0.1)
    return len(page.execute_script("return window.drawn"))


def press(page: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    for key in keys:
        ActionChains(page).send_keys(key).perform()


def control(page: Any, key: str) -> None:
    from selenium.webdriver import ActionChains, Keys

    ActionChains(page).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()


@pytest.mark.slow
def test_a_variant_is_queued_and_seen_to_finish(studio: Path, page: Any) -> None:
    draws(page, "a robot is skiing", "3 done")
    press(page, "n")
    drawn = draws(page, "New edits")
    press(page, *"a fox is skiing")
    drawn = draws(page, "1 edit")
    control(page, "s")
    draws(page, "running", since=drawn)
    draws(page, "4 done", "PSNR", since=drawn)
    (row,) = [row for row in Queue(Workspace(studio)).rows() if row.name == "4"]
    assert (row.state, row.summary.title) == ("done", "a fox is skiing")
    # By mouse: the last line of the terminal is the footer.
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    terminal = page.find_element(By.CSS_SELECTOR, ".xterm-screen")
    drawn = len(page.execute_script("return window.drawn"))
    width, height = terminal.size["width"], terminal.size["height"]
    ActionChains(page).move_to_element_with_offset(terminal, -width / 2 + 100, height / 2 - 8).click().perform()
    draws(page, "New edits", since=drawn)
    fetched = page.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert fetched
    assert all(re.match(rf"(http|ws)://{HOST}:|data:|blob:", one) for one in fetched)
    page.get("about:blank")  # closing the page ends its application, and with it the worker that waits for nothing
    end = time.monotonic() + 30
    while presence.workers(Workspace(studio)):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_another_name_for_this_machine_gets_nothing(address: str) -> None:
    """A page of another site cannot use a name of its own for 127.0.0.1 (DNS rebinding): it has no key."""
    import http.client

    port = int(re.search(r":(\d+)/", address)[1])
    for path, headers in (
        ("/", {"Host": "evil.example"}),
        ("/ws", {"Host": "evil.example", "Origin": "http://evil.example"}),
    ):
        connection = http.client.HTTPConnection(HOST, port)
        connection.request("GET", path, headers=headers)
        assert connection.getresponse().status == 403
