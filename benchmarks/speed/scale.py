"""How quick the terminal application is with 500 edits and 1,000 other jobs in one workspace, beside 20 small ones.

    python benchmarks/speed/scale.py [--edits 500] [--jobs 1000] [--others 20] [--cells 160x50] [--only open,scroll,...]

The application runs in a pseudo-terminal that takes what is drawn and sends keys; while the list is scrolled it has one
core, a loop that never rests another, and somebody works at a job, four times a second saying how far it is. A frame
is a screen update that draws titles of the list. Wall times depend on what else runs: beside them is the CPU time used.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from many import at_work, make_library
from player import busy

from tavcli.queue.queue import INDEX, Queue
from tavcli.workspace.folder import Workspace

TAV = "from tavcli.__main__ import main; main()"
# The same, but it looks a hundred times as often.
LOOKING = f"from tavcli.tui.screens import workspace\nworkspace._LOOK = 0.005\n{TAV}"
TITLE = b"is dancing"
SYNC = b"\x1b[?2026h"
# What any terminal says when it is asked: that it has colours, how large a cell is, that it can show whole frames.
ANSWERS = {b"\x1b[c": b"\x1b[?62;22c", b"\x1b[16t": b"\x1b[6;20;10t", b"\x1b[?2026$p": b"\x1b[?2026;2$y"}
DOWN, PAGE_DOWN, PAGE_UP, HOME = b"\x1b[B", b"\x1b[6~", b"\x1b[5~", b"\x1b[H"
WHEEL_DOWN = b"\x1b[<65;100;20M"
# Keys are held for as long as the list is long.
SCROLLED = {
    "Down": (DOWN,),
    "PageDown": (PAGE_DOWN, PAGE_UP, PAGE_DOWN),
    "wheel": (WHEEL_DOWN,),
}
RATE = 60


class Terminal:
    """A process in a pseudo-terminal: what it draws, and when."""

    def __init__(self, folder: Path, cells: str, code: str = TAV, words: tuple[str, ...] = ("ui",)) -> None:
        self.drawn: list[tuple[float, bytes]] = []
        self._unanswered = dict(ANSWERS)
        columns, rows = map(int, cells.split("x"))
        self.began = time.perf_counter()
        self.process, self._end = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # who has it installed has it compiled
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", COLUMNS=str(columns), LINES=str(rows))
            os.execv(sys.executable, [sys.executable, "-P", "-c", code, *words])
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def take(self, seconds: float) -> None:
        """What is drawn in that time; what the terminal is asked, it answers."""
        if select.select([self._end], [], [], max(0.0, seconds))[0]:
            try:
                self.drawn.append((time.perf_counter(), os.read(self._end, 1 << 16)))
            except OSError:  # so Linux says that the other end is closed
                raise SystemExit(f"it has ended: {self.text()[-3000:].decode(errors='replace')}") from None
            for question in [one for one in self._unanswered if one in self.text()]:
                self.type(self._unanswered.pop(question))

    def take_for(self, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self.take(left)

    def until(self, words: bytes, seconds: float = 60) -> float:
        """Seconds from its start until it has drawn these."""
        while words not in self.text():
            if time.perf_counter() - self.began > seconds:
                raise SystemExit(f"{words!r} has not come: {self.text()[-2000:]!r}")
            self.take(0.1)
        return self.drawn[-1][0] - self.began

    def text(self) -> bytes:
        return b"".join(data for _, data in self.drawn)

    def type(self, keys: bytes) -> None:
        os.write(self._end, keys)

    def frames(self) -> list[float]:
        """When titles were drawn; forgets what was."""
        found, data = [], b""
        for moment, more in self.drawn:
            *frames, data = (data + more).split(SYNC)
            found += [moment for frame in frames if TITLE in frame]
        self.drawn.clear()
        return found

    def core_seconds(self) -> float:
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def waited_seconds(self) -> float:
        """How long its main thread could have run and got no core: others had it."""
        return int(Path(f"/proc/{self.process}/schedstat").read_text().split()[1]) / 1e9

    def memory(self) -> tuple[int, int]:
        """MB now, and at most."""
        lines = dict(line.split(":") for line in Path(f"/proc/{self.process}/status").read_text().splitlines())
        return int(lines["VmRSS"].split()[0]) // 1024, int(lines["VmHWM"].split()[0]) // 1024

    def end(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self._end)


@contextlib.contextmanager
def shown(folder: Path, cells: str, code: str = TAV) -> Iterator[Terminal]:
    """The application, until the end of the block."""
    terminal = Terminal(folder, cells, code)
    try:
        yield terminal
    finally:
        terminal.end()


def opened(folder: Path, cells: str, words: bytes) -> dict[str, float]:
    """From the start of the process until the screen has these words."""
    with shown(folder, cells) as terminal:
        seconds = terminal.until(words)
        return {
            "seconds": round(seconds, 2),
            "others had the core": round(terminal.waited_seconds(), 2),
            "CPU seconds": round(terminal.core_seconds(), 2),
        }


def opening(large: Workspace, arguments: argparse.Namespace) -> dict[str, Any]:
    """The best of some; without the index, it is deleted before each."""
    index = large.folder / INDEX

    def best(folder: Path, words: bytes, before: Callable[[], None] = lambda: None) -> dict[str, float]:
        found = []
        for _ in range(arguments.runs):
            before()
            found.append(opened(folder, arguments.cells, words))
        return min(found, key=lambda one: one["seconds"])

    with at_work(large):  # or the application would start a worker
        return {
            "library": best(large.folder.parent, b"clip 05"),
            "library without the index": best(large.folder.parent, b"clip 05", index.unlink),
            "workspace": best(large.folder, TITLE),
            "workspace without the index": best(large.folder, TITLE, index.unlink),
        }


def held(terminal: Terminal, keys: tuple[bytes, ...], seconds: float) -> dict[str, float]:
    """Send keys in turn, so many a second: frames a second, and how long it goes on scrolling afterwards."""
    terminal.take_for(1)
    terminal.frames()
    began, used, waited = time.perf_counter(), terminal.core_seconds(), terminal.waited_seconds()
    for number in range(int(seconds * RATE)):
        terminal.take_for(began + number / RATE - time.perf_counter())
        terminal.type(keys[number * len(keys) // int(seconds * RATE)])
    ended, used, waited = time.perf_counter(), terminal.core_seconds() - used, terminal.waited_seconds() - waited
    during = len(terminal.frames())
    terminal.take_for(3)
    late = [moment for moment in terminal.frames() if moment > ended]
    # Somebody works: titles are drawn about twice a second in any case.
    lag = next((a for a, b in zip([ended, *late], [*late, ended + 9], strict=True) if b - a > 0.2), ended) - ended
    return {
        "frames/s": round(during / (ended - began), 1),
        "core %": round(100 * used / (ended - began)),
        "others had the core %": round(100 * waited / (ended - began)),
        "runs on s": round(lag, 2),
    }


def scrolling(large: Workspace, arguments: argparse.Namespace) -> dict[str, Any]:
    """With one core, beside a busy one, somebody at work, videos playing."""
    cores = sorted(os.sched_getaffinity(0))
    with at_work(large), busy(cores[-1]), shown(large.folder, arguments.cells) as terminal:
        os.sched_setaffinity(terminal.process, {cores[0]})
        terminal.until(TITLE)
        terminal.take_for(4)
        found = {"at rest": held(terminal, (b"",), 4)}
        for name, keys in SCROLLED.items():
            terminal.type(HOME)
            found[name] = held(terminal, keys, 4)
        return found


def memory(large: Workspace, arguments: argparse.Namespace) -> dict[str, Any]:
    """After all was seen, and after many looks."""
    with at_work(large), shown(large.folder, arguments.cells, LOOKING) as terminal:
        terminal.until(TITLE)
        terminal.take_for(3)
        found: dict[str, Any] = {"opened": terminal.memory()}
        for turn in range(3):
            terminal.type(HOME)
            for _ in range(1500 // 12):
                terminal.type(PAGE_DOWN)
                terminal.take_for(0.15)
            found[f"seen {turn + 1} times"] = terminal.memory()
            terminal.drawn.clear()
        for turn in range(1, 5):
            terminal.take_for(arguments.rest)
            found[f"after {arguments.rest * turn:g} s more"] = terminal.memory()
            terminal.drawn.clear()
    return {name: {"MB": now, "peak MB": most} for name, (now, most) in found.items()}


def resting(large: Workspace, arguments: argparse.Namespace) -> dict[str, Any]:
    """Nothing is left to be done: percent of a core."""
    queue, found = Queue(large), {}
    waiting = [row.name for row in queue.rows() if row.state == "queued"]
    queue.cancel(waiting)
    for name, words in (("tav ui", ("ui",)), ("tav work --watch", ("work", "--watch"))):
        terminal = Terminal(large.folder, arguments.cells, words=words)
        terminal.take_for(15)
        used = terminal.core_seconds()
        terminal.take_for(arguments.rest)
        found[name] = {"core %": round(100 * (terminal.core_seconds() - used) / arguments.rest, 1)}
        terminal.end()
    queue.retry(waiting)
    return found


PARTS = {"open": opening, "scroll": scrolling, "memory": memory, "rest": resting}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--others", type=int, default=20)
    parser.add_argument("--cells", default="160x50")
    parser.add_argument("--runs", type=int, default=5, help="of each opening; the best counts")
    parser.add_argument("--rest", type=float, default=20, help="seconds")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--folder", type=Path, help="make it here, and leave it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.folder or Path(temporary)
        if (root / "a-large").is_dir():
            large = Workspace(root / "a-large")
        else:
            began = time.perf_counter()
            large = make_library(root, arguments.others, arguments.edits, arguments.jobs)
            sys.stdout.write(f"made in {time.perf_counter() - began:.1f} s\n")
        for part in arguments.only.split(","):
            sys.stdout.write(f"{part}:\n")
            for name, found in PARTS[part](large, arguments).items():
                sys.stdout.write(f"  {name}: {json.dumps(found)}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
