"""`tav ui --web`: the same application in a browser on this machine; textual-serve runs it once for each open page.

Whoever can talk to the server can do what its user can. So it listens to this machine only, and answers only those who
have the key in the address that is printed: neither another user of this machine nor a page of another site has it.
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
    """Serve until Ctrl-C; `say` is told the address. Raises SettingsError if the port is taken."""
    try:
        LocalServer(command(folder, flags), port, say).serve()
    except OSError as error:
        other = f"choose another one: tav ui --web --port {port + 1 if port < 65535 else 8000}"
        raise SettingsError(f"port {port} cannot be had: {error.strerror}", other) from None


def command(folder: Path | None = None, flags: tuple[str, ...] = ()) -> str:
    """The shell command that runs this very application, by this very Python, for the same workspace."""
    place = [] if folder is None else ["-C", str(folder)]
    # -P: what lies in the folder one is in is no module of ours. -W: of a page that goes while keys come in, Textual
    # says on the server's terminal that nothing awaited them.
    start = [sys.executable, "-P", "-W", "ignore:coroutine:RuntimeWarning", "-m", "tavcli"]
    return shlex.join([*start, *place, *flags, "ui"])


class LocalServer(Server):
    """textual-serve's, with a page that fetches nothing from elsewhere, talk on stderr, and a key."""

    def __init__(self, command: str, port: int, say: Callable[[str], None]) -> None:
        super().__init__(command, HOST, port, title="tav", templates_path=templates() / "web")
        self._say = say
        self._key = secrets.token_urlsafe(16)

    @property
    def address(self) -> str:
        """What to open in the browser."""
        return f"{self.public_url}/{self._key}/"

    def serve(self, debug: bool = False) -> None:  # noqa: ARG002  (textual-serve has it)
        """Until Ctrl-C; pages that are open then have a second to end."""
        web.run_app(self._make_app(), host=HOST, port=self.port, print=self._tell, access_log=None, shutdown_timeout=1)

    def _tell(self, *_: object) -> None:
        """In the place of what aiohttp says when it listens."""
        self._say(f"open {self.address} in a browser on this machine; Ctrl-C ends it")

    async def on_startup(self, _: web.Application) -> None:
        """In the place of a banner on stdout."""

    async def _make_app(self) -> web.Application:
        # The key is in the path of everything, the page's socket too. A cookie would be sent to, and with requests from
        # the pages of, whatever else listens on this machine: browsers do not tell its ports apart.
        app = web.Application()
        app.add_subapp(f"/{self._key}", await super()._make_app())
        app.router.add_route("*", "/{path:.*}", _refuse)
        return app


async def _refuse(_: web.Request) -> web.Response:
    return web.Response(status=403, text="open the address that `tav ui --web` printed\n")
