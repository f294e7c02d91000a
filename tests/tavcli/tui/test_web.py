"""`tav ui --web`: served to this machine only, to whoever has the key only, and without a word from elsewhere."""

import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tav.errors import SettingsError
from tavcli.tui.web import HOST, command, serve


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def address(films: Path, port: int, start: Callable[..., "subprocess.Popen[str]"]) -> Iterator[str]:
    """Of a server of `~/films`."""
    server = start(films, "ui", "--web", "--port", port)
    assert server.stderr is not None
    assert server.stdout is not None
    said = server.stderr.readline()
    yield re.search(r"http://\S+", said)[0]
    server.send_signal(signal.SIGINT)
    assert server.wait() == 0
    assert server.stdout.read() == ""


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield session


async def test_the_page_shows_the_library(address: str, browser: aiohttp.ClientSession) -> None:
    page = await (await browser.get(address)).text()
    socket_address = re.search(r'data-session-websocket-url="([^"]+)"', page)[1]
    async with browser.ws_connect(f"{socket_address}?width=80&height=24") as screen:
        seen = b""
        while b"3 workspaces" not in seen:
            seen += await screen.receive_bytes()
        await screen.send_json(["stdin", "q"])
        while not screen.closed:
            await screen.receive()


async def test_it_fetches_nothing_from_elsewhere(address: str, browser: aiohttp.ClientSession) -> None:
    page = await (await browser.get(address)).text()
    fetched = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r'url\("([^"]*)"\)', page)
    assert len(fetched) >= 4
    for one in [one for one in fetched if one not in ("", "data:,")]:
        assert one.startswith(f"{address}static/")
        assert (await browser.get(one)).status == 200
    assert not re.findall(r"https?://(?!127\.0\.0\.1)", page)
    style = await (await browser.get(f"{address}static/css/xterm.css")).text()
    assert "url(" not in style


def origin(address: str) -> str:
    """Without the key."""
    return address[: address.index("/", len("http://"))]


@pytest.mark.parametrize("path", ["", "wrong/", "?key=", "ws", "static/js/textual.js", "download/x", "wrong/../ws"])
async def test_without_the_key_there_is_nothing(address: str, browser: aiohttp.ClientSession, path: str) -> None:
    assert (await browser.get(f"{origin(address)}/{path}")).status == 403


@pytest.mark.parametrize("header", ["Host", "Origin"])
async def test_a_page_of_another_site_gets_nowhere(address: str, browser: aiohttp.ClientSession, header: str) -> None:
    # Its name may have been given this machine's address, and the browser may have the true page open.
    page = await browser.get(address)
    assert page.status == 200
    assert not page.cookies
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await browser.ws_connect(f"{origin(address)}/ws", headers={header: "evil.example:8000"})
    assert refused.value.status == 403


def test_it_listens_to_this_machine_only(address: str, port: int) -> None:
    assert address.startswith(f"http://{HOST}:{port}/")
    for family, place in ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as other, pytest.raises(OSError, match=r"."):
            other.connect((place, port))


def test_a_taken_port_is_said_at_once(port: int) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, port))
        taken.listen()
        with pytest.raises(SettingsError) as caught:
            serve(None, (), port, print)
    assert str(port) in caught.value.message
    assert f"--port {port + 1}" in caught.value.hint


def test_the_command_is_this_application_for_the_same_workspace(films: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a b; touch 'c' $(d)"
    (films / "new").rename(folder)
    words = shlex.split(command(folder, ("--device", "cpu")))
    assert words[0] == sys.executable
    assert words[-5:] == ["-C", str(folder), "--device", "cpu", "ui"]
    listing = command(folder).removesuffix("ui") + "ls --json"
    done = subprocess.run(listing, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[]\n", 0)
    assert not (tmp_path / "c").exists()


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['textual_serve.server'] = None"
    script = f"{hidden}; import tavcli.commands.app as a; sys.exit(a.run(['ui', '--web']))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "tav[web]"' in done.stderr
