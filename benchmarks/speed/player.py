"""How many frames a second the player draws in a real terminal, beside cores that are busy.

    python benchmarks/speed/player.py CLIP [--cells 80x40] [--seconds 10]

The application runs in a pseudo-terminal of that size, whose other end only takes the bytes; it and a loop that never
rests are held to one core each, then all to the same one. Asked for are 60 frames a second. The first lap draws every
frame anew, later ones find them kept.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pty
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.strip import Strip

from tavcli.tui.playback.footage import read_footage
from tavcli.tui.widgets.player import BOX, Player

ASKED = 60


class Counting(Player):
    """Counts the frames that the screen takes, and those after the first lap."""

    drawn, last, laps = 0, -1, 0

    def render_lines(self, crop: Region) -> list[Strip]:
        if self.shown != self.last:
            self.drawn, self.laps = self.drawn + 1, self.laps + (self.shown < self.last)
            self.last = self.shown
        return super().render_lines(crop)


class Playing(App[dict[str, Any]]):
    """Plays frames for some seconds, and returns what it measured."""

    def __init__(self, clip: Path, seconds: float) -> None:
        super().__init__()
        self.player, self.clip, self.seconds = Counting(), clip, seconds

    def compose(self) -> ComposeResult:
        yield self.player

    async def on_mount(self) -> None:
        self.player.show(read_footage(self.clip, BOX).frames, ASKED)
        self.set_timer(0.5, self.begin)

    def begin(self) -> None:
        self.player._drawn.clear()
        self.player.clock.go_to(0)
        self.marks = [self.mark()]
        lap = len(self.player.footage.frames) / ASKED
        self.set_timer(lap, lambda: self.marks.append(self.mark()))
        self.set_timer(lap + self.seconds, self.end)

    def mark(self) -> tuple[float, float, int]:
        return time.perf_counter(), time.process_time(), self.player.drawn

    def end(self) -> None:
        (t0, c0, n0), (t1, c1, n1) = self.marks
        t2, c2, n2 = self.mark()
        kept, memory = len(self.player._drawn), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        first, later = self.said(t1 - t0, c1 - c0, n1 - n0), self.said(t2 - t1, c2 - c1, n2 - n1)
        self.exit({"first lap": first, "later laps": later, "frames kept": kept, "peak memory MB": round(memory)})

    @staticmethod
    def said(seconds: float, used: float, frames: int) -> dict[str, float]:
        return {"frames/s": round(frames / seconds, 1), "core %": round(100 * used / seconds)}


def play(clip: Path, seconds: float, result: Path) -> None:
    """In the pseudo-terminal."""
    result.write_text(json.dumps(Playing(clip, seconds).run()))


def measure(arguments: argparse.Namespace, colours: str, player_core: int, busy_core: int) -> dict[str, Any]:
    """Start it in a terminal of its own, the player and the busy loop each on the core named."""
    columns, rows = map(int, arguments.cells.split("x"))
    with tempfile.TemporaryDirectory() as folder, busy(busy_core):
        result = Path(folder) / "result.json"
        child, terminal = pty.fork()
        if child == 0:
            os.sched_setaffinity(0, {player_core})
            os.environ.update(TERM="xterm-256color", COLORTERM=colours, COLUMNS=str(columns), LINES=str(rows))
            options = ["--result", str(result), "--seconds", str(arguments.seconds)]
            os.execv(sys.executable, [sys.executable, __file__, str(arguments.clip), *options])
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        taken = drain(terminal)
        os.waitpid(child, 0)
        return {**json.loads(result.read_text()), "MB written": round(taken / 1e6, 1)}


def drain(terminal: int) -> int:
    """Take everything that is written until its end; how many bytes that were."""
    taken = 0
    with contextlib.suppress(OSError):  # Linux says so when the other end is closed
        while data := os.read(terminal, 1 << 16):
            taken += len(data)
    return taken


@contextlib.contextmanager
def busy(core: int) -> Iterator[None]:
    """A process that never rests, on `core`."""
    loop = subprocess.Popen([sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"])
    try:
        yield
    finally:
        loop.send_signal(signal.SIGKILL)
        loop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--cells", default="80x40")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--result", type=Path)
    arguments = parser.parse_args()
    if arguments.result:
        play(arguments.clip, arguments.seconds, arguments.result)
        return
    cores = sorted(os.sched_getaffinity(0))
    for name, colours, other in [
        ("true colours, other core busy", "truecolor", cores[-1]),
        ("true colours, same core busy", "truecolor", cores[0]),
        ("256 colours, other core busy", "", cores[-1]),
    ]:
        found = measure(arguments, colours, cores[0], other)
        sys.stdout.write(f"{arguments.cells}, {name}: {json.dumps(found)}\n")


if __name__ == "__main__":
    main()
