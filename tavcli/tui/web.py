"""`tav ui --web`: the same application in a browser on this machine; textual-serve runs it once for each open page.

Every client of the server can do what the user can. So the server listens to this machine only, and asks for the key in
the printed address: neither another user of this machine nor a page of another site has the key.
"""

import secrets
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from tav.errors import SettingsError
from tavcli.config.templates import templates

try:
    from aiohttp import web
    from textual_serve.server import Server
except ImportError as error:
    raise SettingsError("tav ui --web needs textual-serve", 'pip install "tav[web]"') from error

HOST = "127.0.0.1"


def serve(folder: Path | None, flags: tuple[str, ...], port: int, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; `say` gets the line with the address. Raises SettingsError if the port is taken."""
    try:
        LocalServer(command(folder, flags), port, say).serve()
    except OSError as error:
        other = f"choose another one: tav ui --web --port {port + 1 if port < 65535 else 8000}"
        raise SettingsError(f"port {port} cannot be had: {error.strerror}", other) from None


def command(folder: Path | None = None, flags: tuple[str, ...] = ()) -> str:
    """The shell command that runs the application with this Python, for the same workspace."""
    place = [] if folder is None else ["-C", str(folder)]
    # -P: the current folder's files are no modules of tav. -W: without it, Textual warns on the server's terminal of
    # keys that nothing awaited, when a page is closed while keys come in.
    start = [sys.executable, "-P", "-W", "ignore:coroutine:RuntimeWarning", "-m", "tavcli"]
    return shlex.join([*start, *place, *flags, "ui"])


class LocalServer(Server):
    """textual-serve's server, with a key, messages on stderr, and a page that fetches nothing from other sites."""

    def __init__(self, command: str, port: int, say: Callable[[str], None]) -> None:
        super().__init__(command, HOST, port, title="tav", templates_path=templates() / "web")
        self._say = say
        self._key = secrets.token_urlsafe(16)

    @property
    def address(self) -> str:
        """What to open in the browser."""
        return f"{self.public_url}/{self._key}/"

    def serve(self, debug: bool = False) -> None:  # noqa: ARG002  (textual-serve has it)
        """Serve until Ctrl-C; open pages then have a second to end."""
        web.run_app(self._make_app(), host=HOST, port=self.port, print=self._tell, access_log=None, shutdown_timeout=1)

    def _tell(self, *_: object) -> None:
        """Print the address, instead of aiohttp's own line."""
        self._say(f"open {self.address} in a browser on this machine; Ctrl-C ends it")

    async def on_startup(self, _: web.Application) -> None:
        """Print nothing, instead of textual-serve's banner on stdout."""

    async def _make_app(self) -> web.Application:
        # Every path begins with the key, the page's socket too. A cookie would not do: browsers do not tell a machine's
        # ports apart, so they send the cookie to its other servers, and with requests from those servers' pages.
        app = web.Application()
        app.add_subapp(f"/{self._key}", await super()._make_app())
        app.router.add_route("*", "/{path:.*}", _refuse)
        return app


async def _refuse(_: web.Request) -> web.Response:
    return web.Response(status=403, text="open the address that `tav ui --web` printed\n")
