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
    # A browser's has no terminal either, but a driver that needs none.
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and not os.environ.get("TEXTUAL_DRIVER"):
        raise SettingsError("tav ui needs a terminal", "for scripts: `tav ls` and `tav queue ls`, with --json")
    graphics.ask_terminal()
    gc.freeze()  # what was imported stays: nobody need look through it for garbage again and again
    run(application(Path.cwd(), folder, flags))


def application(here: Path, folder: Path | None = None, flags: tuple[str, ...] = ()) -> TavApp:
    """The workspace that was named or that `here` is in; else the library of those below `here`."""
    inside = any((above / SETTINGS).is_file() for above in (here, *here.parents))
    if not (inside or folder or os.environ.get("TAV_WORKSPACE")):
        return TavApp(here, flags=flags)
    workspace = find(here, folder)
    workspace.refuse_newer()
    return TavApp(workspace.folder.parent, workspace, flags)


def run(app: TavApp) -> None:
    """Run it to its end; raises what ended it."""
    asyncio.run(_until_it_ends(app))
    if app.failure is not None:
        raise app.failure
    if app.stopped:
        raise Interrupted


async def _until_it_ends(app: TavApp) -> None:
    for number in _SIGNALS:
        # What is ignored stays ignored, as everywhere; some platforms have no such handlers.
        if signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(NotImplementedError):
                asyncio.get_running_loop().add_signal_handler(number, app.stop)
    await app.run_async()
