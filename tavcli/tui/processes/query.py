"""Answers from the engine, given by a `tav` process of its own: the screen loads no torch and never waits."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tav.errors import TavError
from tavcli.tui.threads import end_if_left


async def ask_tav(folder: Path, *arguments: str) -> Any:
    """The JSON that `tav ARGUMENTS --json` prints in the workspace `folder`. Raises TavError with the error it prints.

    Cancelling kills the process; a screen that was closed meanwhile gets no answer.
    """
    command = [sys.executable, "-P", "-m", "tavcli", "-C", str(folder), "--json"]
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *command, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, cwd=folder
    )
    try:
        out, err = await child.communicate()
    except asyncio.CancelledError:
        child.kill()
        raise
    end_if_left()
    if child.returncode != 0:
        raise _complaint(err.decode(errors="replace"))
    return json.loads(out)


def _complaint(said: str) -> TavError:
    """The last error in the text of stderr, with its hint."""
    lines = [line for line in said.splitlines() if line.strip()]
    place = next((n for n in reversed(range(len(lines))) if lines[n].startswith(("error: ", "bug: "))), None)
    if place is None:
        return TavError(lines[-1] if lines else "tav ended without a word")
    return TavError(lines[place].split(": ", 1)[1], lines[place + 1].strip() if place + 1 < len(lines) else "")
