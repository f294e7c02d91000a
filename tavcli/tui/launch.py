"""`tav ui` in this terminal: what it opens, and how it ends."""

import asyncio
import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from tav.errors import SettingsError
from tavcli.interrupts import Interrupted
from tavcli.tui import graphics
from tavcli.tui.app import TavApp
from tavcli.workspace.folder import SETTINGS, find

_SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]


def open_here(folder: Path | None, flags: tuple[str, ...]) -> None:
    """Show the application until it ends; `folder` names a workspace, `flags` go to workers.

    Raises SettingsError without a terminal, Interrupted after a signal.
    """
    # In a browser there is no terminal either, but textual-serve sets a driver that needs none.
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and not os.environ.get("TEXTUAL_DRIVER"):
        raise SettingsError("tav ui needs a terminal", "for scripts: `tav ls` and `tav queue ls`, with --json")
    graphics.ask_terminal()
    gc.freeze()  # imported objects live to the end: the garbage collector need not visit them
    run(application(Path.cwd(), folder, flags))


def application(here: Path, folder: Path | None = None, flags: tuple[str, ...] = ()) -> TavApp:
    """The application on the workspace that was named or that holds `here`; else on the library below `here`."""
    inside = any((above / SETTINGS).is_file() for above in (here, *here.parents))
    if not (inside or folder or os.environ.get("TAV_WORKSPACE")):
        return TavApp(here, flags=flags)
    workspace = find(here, folder)
    workspace.refuse_newer()
    return TavApp(workspace.folder.parent, workspace, flags)


def run(app: TavApp) -> None:
    """Run the application to its end. Raises the bug that ended it, or Interrupted after a signal."""
    asyncio.run(_until_it_ends(app))
    if app.failure is not None:
        raise app.failure
    if app.stopped:
        raise Interrupted


async def _until_it_ends(app: TavApp) -> None:
    for number in _SIGNALS:
        # An ignored signal stays ignored, as everywhere in tav; some platforms have no such handlers.
        if signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(number, app.stop)
    await app.run_async()
