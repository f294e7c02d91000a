"""The terminal application with 500 edits and 1,000 jobs in one workspace: how soon it is there, how it scrolls.

    python benchmarks/speed/scale.py

Runs `tav ui` in a pseudo-terminal of 160 x 50 cells that answers nothing, as it starts from nothing: until the rows are
drawn, then Down and PageDown held at 60 a second. Every drawing that Textual sends is one synchronised update.
"""

# ruff: noqa: T201
import argparse
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import numpy as np

from tav.video import write_video
from tavcli.orders import Order, made_into_requests, session_for
from tavcli.presence import Status, present, publish
from tavcli.queue import INDEX, Queue
from tavcli.scores import write_scores
from tavcli.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
TAV = [sys.executable, "-c", "from tavcli.start import main; main()"]
CLIP = ROOT / "templates" / "demo" / "man-skiing.mp4"
EDITS, JOBS, COLUMNS, LINES = 500, 1000, 160, 50
DRAWN, ASKED = b"\x1b[?2026h", b"\x1b[?2026$p"


def make(folder: Path) -> Workspace:
    """A workspace with so many edits and jobs; its queue is held, so that nobody works."""
    subprocess.run(
        [*TAV, "init", str(CLIP), "clip", "--caption", "a man is skiing"], cwd=folder, check=True, capture_output=True
    )
    workspace = Workspace(folder / "clip")
    queue = Queue(workspace)
    queue.hold()
    order = Order(
        tuple(f"a {one} is skiing {place}" for one in ("cat", "dog", "fox") for place in range((EDITS + JOBS) // 3))
    )
    queue.add(made_into_requests(session_for(workspace, order), order))
    video = folder / "video.mp4"
    write_video(video, np.random.default_rng(0).integers(0, 255, (16, 128, 128, 3)).astype(np.uint8), 8)
    rows = [row for row in queue.rows() if row.state == "queued"]
    for row in rows[:EDITS]:
        job = queue.job(row)
        write_scores(job.folder, {"psnr": 10 + row.number % 17})
        job.write(state="done", took=20.0, device="cpu")
        os.link(video, job.folder / "video.mp4")
    for row in rows[EDITS : EDITS + 200]:
        queue.job(row).write(
            state="failed", error="the inversion needs about 9.4 GB of memory", hint="take fewer frames"
        )
    queue.rows()
    return workspace


class Screen:
    """`tav ui` in a pseudo-terminal."""

    def __init__(self, folder: Path) -> None:
        self.began = time.monotonic()
        self.child, self.master = pty.fork()
        if not self.child:
            os.chdir(folder)
            os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(ROOT)}
            os.execv(TAV[0], [*TAV, "ui"])
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.said = b""

    def read(self, seconds: float) -> bytes:
        """What comes in that time."""
        end, found = time.monotonic() + seconds, b""
        while (left := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                found += os.read(self.master, 1 << 16)
        if ASKED in found:  # whether it knows synchronised updates
            os.write(self.master, b"\x1b[?2026;2$y")
        self.said += found
        return found

    def until(self, words: bytes) -> float:
        """Seconds from the start until these are drawn."""
        while words not in self.said:
            self.read(0.01)
            if time.monotonic() - self.began > 60:
                raise SystemExit(f"never drawn: {words!r}")
        return time.monotonic() - self.began

    def hold(self, key: bytes, workspace: Workspace, status: Status, seconds: float) -> float:
        """Updates a second while the key is held at 60 a second, and a worker tells of itself four times a second."""
        updates, began, told = 0, time.monotonic(), 0.0
        while (now := time.monotonic()) - began < seconds:
            os.write(self.master, key)
            if now - told > 0.25:
                told, status.done = now, status.done + 1
                publish(workspace, status)
            updates += self.read(1 / 60).count(DRAWN)
        return updates / seconds

    def taken(self) -> tuple[float, float]:
        """Memory in MB at its peak, and CPU seconds."""
        status = Path(f"/proc/{self.child}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        user, system = Path(f"/proc/{self.child}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return peak / 1000, (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Quit."""
        os.kill(self.child, signal.SIGTERM)
        while True:
            try:
                os.read(self.master, 1 << 16)
            except OSError:
                break
        os.waitpid(self.child, 0)


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory(prefix="tav-scale-") as place:
        folder = Path(place)
        os.environ |= {"TAV_HOME": str(folder / "home"), "HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
        os.environ.pop("NO_COLOR", None)
        workspace = make(folder)
        for number in range(20):
            shutil.copytree(workspace.folder, folder / f"other-{number}", ignore=shutil.ignore_patterns("edits", INDEX))
        measure(folder, workspace)


def measure(folder: Path, workspace: Workspace) -> None:
    """Everything, a line each."""
    opening(folder, b"21 workspaces", "library of 21 workspaces, cards")
    opening(folder, b"500 done", "library, edits of the large one counted")
    for what in ("workspace, index there", "workspace, index deleted"):
        if "deleted" in what:
            (workspace.folder / INDEX).unlink()
        opening(workspace.folder, b"500 done", what)
    screen = Screen(workspace.folder)
    screen.until(b"500 done")
    screen.read(2)
    with present(workspace) as token, subprocess.Popen([sys.executable, "-c", "while True: pass"]) as burner:
        status = Status(
            token, device="cpu", state="working", job="edits/0501-a-dog-is-skiing-0", what="edit 501", total=5000
        )
        # Pages are through the whole list in two seconds.
        for name, key, seconds in (
            ("Down", b"\x1b[B", 4),
            ("Up", b"\x1b[A", 4),
            ("PageDown", b"\x1b[6~", 1.5),
            ("PageUp", b"\x1b[5~", 1.5),
        ):
            rate = screen.hold(key, workspace, status, seconds)
            print(f"{name} held: {rate:.0f} updates a second, beside a busy core")
        burner.kill()
    peak, before = screen.taken()
    screen.read(10)
    print(
        f"memory at its peak: {peak:.0f} MB; idle: {(screen.taken()[1] - before) * 10:.1f} % of a core, players playing"
    )
    screen.end()


def opening(folder: Path, words: bytes, what: str) -> None:
    """From the start of the process to the words, three times."""
    times = []
    for _ in range(3):
        screen = Screen(folder)
        times.append(screen.until(words))
        screen.end()
    print(f"{what}: {sorted(times)[1]:.2f} s ({', '.join(f'{one:.2f}' for one in times)})", flush=True)


if __name__ == "__main__":
    main()
