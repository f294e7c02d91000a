"""A day in a real terminal: tmux, keys sent, the screen read. Exits with 1 where something is not as expected.

    python benchmarks/day.py --size 80x24

Opens the library and a workspace of the demo's clip on the embedded base (few steps), queues six variants, pauses,
reorders, resumes, swaps the base and carries the tuned weights over (to a base that a few steps of training made of the
embedded one), compares, stars, leaves while the worker goes on, and comes back.
"""

# ruff: noqa: T201
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

from tavcli.queue.queue import Queue
from tavcli.queue.workers import living_workers
from tavcli.workspace.annotations import read_marks
from tavcli.workspace.folder import Workspace

ROOT = Path(__file__).resolve().parents[1]
TAV = [sys.executable, "-P", "-m", "tavcli"]
CLIP, CAPTION = ROOT / "templates" / "demo" / "man-skiing.mp4", "a man is skiing on the snow"


def second_base(folder: Path, steps: int = 4) -> None:
    """What a DreamBooth would do, in small: a few steps of training all of the UNet on noise in the clip's latents."""
    import torch

    from tav.bases import encode_frames, encode_text, load_text, load_unet, load_vae
    from tav.bases.embedded import embedded_folder
    from tav.bases.parts import inspect_base
    from tav.diffusion.schedule import NoiseSchedule, add_noise, training_target
    from tav.settings import ClipSettings
    from tav.video import read_clip

    shutil.copytree(embedded_folder(), folder)
    parts, cpu = inspect_base(embedded_folder()), torch.device("cpu")
    torch.manual_seed(1)
    unet, schedule = load_unet(parts, cpu, torch.float32), NoiseSchedule.from_config(parts.scheduler)
    frames = read_clip(CLIP, ClipSettings(frames=4, stride=1), (128, 128)).frames
    latents = _last(encode_frames(load_vae(parts, cpu, torch.float32), frames)).mean[0].transpose(0, 1)
    context = encode_text(*load_text(parts, cpu, torch.float32), [CAPTION]).expand(len(latents), -1, -1)
    optimiser = torch.optim.AdamW(unet.requires_grad_(True).parameters(), lr=2e-5)
    for number in range(steps):
        noise, t = torch.randn_like(latents), 200 * (number % 4) + 100
        predicted = unet(add_noise(schedule, latents, noise, t), t, encoder_hidden_states=context).sample
        torch.nn.functional.mse_loss(predicted, training_target(schedule, latents, noise, t)).backward()
        optimiser.step()
        optimiser.zero_grad()
    shutil.rmtree(folder / "unet")
    unet.half().save_pretrained(folder / "unet")


def _last(generator):
    """What a generator returns."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


class Terminal:
    """A tmux session of its own."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self.folder, self.size = folder, size
        self.name = f"tav-day-{os.getpid()}"

    def tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-L", self.name, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    def start(self) -> None:
        """`tav ui` in it."""
        width, height = map(str, self.size)
        command = f"cd {self.folder} && {' '.join(map(_quoted, TAV))} ui"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, command)

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        for key in keys:
            self.tmux("send-keys", key)
            # What follows an Escape at once would be taken for one key with it.
            time.sleep(0.6 if key == "Escape" else 0.05)

    def types(self, text: str) -> None:
        """Type a text."""
        self.tmux("send-keys", "-l", text)

    @property
    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    @property
    def gone(self) -> bool:
        return (
            subprocess.run(["tmux", "-L", self.name, "has-session"], capture_output=True, check=False).returncode != 0
        )

    def shows(self, *words: str) -> bool:
        """Are all of them on the screen?"""
        screen = " ".join(self.screen.split())
        return all(word in screen for word in words)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


class Day:
    """Its steps are told as they are done."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal, self.began = terminal, time.monotonic()

    def until(self, what: str, happened: Callable[[], bool], seconds: float = 120) -> None:
        """Wait for it and tell; ends the day where it does not come."""
        end = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > end:
                print(f"NOT SEEN: {what}\n{'' if self.terminal.gone else self.terminal.screen}", flush=True)
                for report in self.terminal.folder.glob("home/cache/reports/*"):
                    print(report.read_text())
                raise SystemExit(1)
            time.sleep(0.1)
        print(f"{time.monotonic() - self.began:6.1f} s  {what}", flush=True)


def main() -> None:
    """Parse the arguments and live the day."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="80x24", help="columns x lines")
    columns, lines = map(int, parser.parse_args().size.split("x"))
    with tempfile.TemporaryDirectory(prefix="tav-day-") as place:
        folder = Path(place)
        os.environ |= {"TAV_HOME": str(folder / "home"), "HOME": str(folder / "home")}
        os.environ |= {"TERM": "xterm-256color", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
        (folder / "home").mkdir()
        terminal = Terminal(folder, (columns, lines))
        try:
            live(folder, terminal, Day(terminal))
        finally:
            subprocess.run(["tmux", "-L", terminal.name, "kill-server"], capture_output=True, check=False)


def live(folder: Path, terminal: Terminal, day: Day) -> None:
    """The day."""
    tav = lambda *words: subprocess.run([*TAV, *words], cwd=folder, check=True, capture_output=True)  # noqa: E731
    tav("init", str(CLIP), "clip", "--caption", CAPTION)
    workspace = Workspace(folder / "clip")
    workspace.remember({"tune": {"steps": 10}, "invert": {"steps": 12, "check": False}})
    second_base(folder / "sketch")
    tav("bases", "add", str(folder / "sketch"))
    queue = Queue(workspace)
    states = lambda: {row.name: row.state for row in queue.rows()}  # noqa: E731
    order = lambda: [row.name for row in queue.rows() if row.state == "queued"]  # noqa: E731

    terminal.start()
    day.until("the library shows the workspace", lambda: terminal.shows("Library", CAPTION))
    terminal.keys("Enter")
    day.until("the workspace is open, and empty", lambda: terminal.shows("Workspace", "No edits yet"))
    terminal.keys("n")
    day.until("the prompt panel is open", lambda: terminal.shows("New edits"))
    terminal.types("a {cat,robot,panda} is skiing on the {snow,beach}")
    day.until("it counts six edits", lambda: terminal.shows("6 edits"))
    terminal.keys("C-s")
    day.until("six are there, the first one runs", lambda: len(states()) == 6 and states().get("1") == "running")
    terminal.keys("P")
    day.until("the queue is paused", lambda: queue.paused and "running" not in states().values())
    day.until("and says so", lambda: terminal.shows("the queue is paused"))
    terminal.keys("End", "S-Up", "S-Up")
    day.until("the last one has moved up", lambda: order()[-1] == "5" and "6" in order())
    terminal.keys("P")
    day.until("it goes on", lambda: "running" in states().values())
    day.until("the first edit is done", lambda: "done" in states().values(), 300)
    day.until("the screen says so", lambda: terminal.shows("done") and terminal.shows("dB"))
    terminal.keys("b")
    day.until("the bases are listed", lambda: terminal.shows("storybook", "sketch"))
    terminal.keys("Down", "Enter")
    day.until("the ways to the other base are told", lambda: terminal.shows("tune again:", "carry over:"), 180)
    terminal.keys("c")
    toml = lambda: tomllib.loads(workspace.settings_file.read_text())  # noqa: E731
    day.until(
        "the base is swapped, the weights carried over", lambda: toml().get("base") == "sketch" and "carried" in toml()
    )
    day.until("the bases say so", lambda: terminal.shows("clip uses sketch"))
    terminal.keys("Escape")
    day.until("back in the workspace", lambda: terminal.shows("Workspace"))
    terminal.keys("n")
    day.until("the panel is open again", lambda: terminal.shows("New edits"))
    terminal.types("a panda is skiing")
    terminal.keys("C-s")
    day.until("the seventh is queued, for the other base", lambda: "7" in states())
    terminal.keys("S-Up", "S-Up", "S-Up", "S-Up", "S-Up")
    day.until("all but the last few are done", lambda: list(states().values()).count("done") >= 3, 600)
    terminal.keys("End", "s")
    day.until("an edit has a star", lambda: any(read_marks(path).starred for path in workspace.edits.iterdir()))
    terminal.keys("Enter")
    day.until("it is compared with the clip", lambda: terminal.shows(f"clip: {CAPTION}"[:20], "Step", "Speed"))
    terminal.keys("Space", ".", ".", "Escape")
    day.until("and back", lambda: terminal.shows("Workspace"))
    terminal.keys("q")
    day.until("leaving asks about the worker", lambda: terminal.shows("Does the worker go on"))
    terminal.keys("g")
    day.until("the screen is gone, the worker is not", lambda: terminal.gone and bool(living_workers(workspace)))
    terminal.start()
    day.until("the library is there again", lambda: terminal.shows("Library", CAPTION))
    terminal.keys("Enter")
    day.until("all seven are done", lambda: set(states().values()) == {"done"} and len(states()) == 7, 900)
    day.until("and the screen says so", lambda: terminal.shows("7 done"))
    recipe = tomllib.loads(next(workspace.edits.glob("0007-*/edit.toml")).read_text())
    day.until(
        "the seventh is carried over", lambda: recipe["base"]["name"] == "sketch" and "carried" in recipe["tuned"]
    )
    terminal.keys("q")
    day.until("it ends without a question", lambda: terminal.gone)
    day.until("and leaves no worker", lambda: not living_workers(workspace), 30)


if __name__ == "__main__":
    main()
