"""`tav ui` as a process of its own, in a terminal: how it starts, and how every end gives the terminal back."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CLOSED = b"\x1b[?1049l"  # the terminal's own screen is back
BUG = """
from tavcli.tui.screens.library import Library
Library.action_new = lambda self: 1 / 0
"""


class Terminal:
    """A process in a pseudo-terminal of 80x24."""

    def __init__(self, folder: Path, *arguments: str, before: str = "") -> None:
        self.seen = b""
        self._ours, theirs = pty.openpty()
        code = f"{before}\nfrom tavcli.commands.app import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def shows(self, what: bytes) -> bool:
        """Wait for it; False when the process ends without it."""
        while what not in self.seen:
            try:
                self.seen += os.read(self._ours, 65536)
            except OSError:  # how Linux says that the other side is gone
                break
        return what in self.seen

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def ends(self) -> int:
        """Its exit code, and the rest of what it said in `seen`."""
        self.shows(b"never said")
        return self.process.wait()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._ours)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def terminal(films: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    started = Terminal(films, "ui", before=getattr(request, "param", ""))
    assert started.shows(b"Quit"), started.seen
    yield started
    started.close()


def test_quitting_gives_the_terminal_back(terminal: Terminal) -> None:
    terminal.type(b"q")
    assert terminal.ends() == 0
    after = terminal.seen.partition(CLOSED)[2]
    assert b"\x1b[?25h" in after  # the cursor is seen again
    assert not re.sub(rb"\x1b\[\?[0-9]+[hl]", b"", after).strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_as_it_ends_other_commands(terminal: Terminal, number: signal.Signals) -> None:
    terminal.process.send_signal(number)
    assert terminal.ends() == 130
    said = terminal.seen.partition(CLOSED)[2]
    assert b"interrupted" in said


@pytest.mark.parametrize("terminal", [BUG], indirect=True)
def test_a_bug_leaves_a_line_and_a_report(terminal: Terminal) -> None:
    terminal.type(b"n")
    assert terminal.ends() == 3
    said = terminal.seen.partition(CLOSED)[2].decode()
    assert "bug: ZeroDivisionError" in said
    assert "Traceback" not in said
    report = Path("".join(said.split("please report it with ")[1].split()[0]))
    assert "action_new" in report.read_text() or "<lambda>" in report.read_text()


def test_without_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "tavcli", "ui"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: tav ui needs a terminal\n")
    assert "tav ls" in done.stderr


def test_it_loads_no_tensor_library() -> None:
    script = "import sys, tavcli.commands.app, tavcli.tui.launch; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "diffusers", "transformers"} & set(done.stdout.split())


def test_reading_aside_keeps_nobody_who_leaves() -> None:
    script = """
import asyncio, threading
from tavcli.tui.threads import in_thread
asyncio.run(asyncio.wait_for(in_thread(threading.Event().wait), 0.1))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "TimeoutError" in done.stderr
