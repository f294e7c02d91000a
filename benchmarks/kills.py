"""`kill -9` at random moments over tune, invert and edit on the embedded base: is anything lost or left behind?

    python benchmarks/kills.py --count 100 --seed 0

Each kill starts from a copy of the workspace as it was before the command, strikes at a moment drawn evenly over the
command's whole run (start-up and end included), up to three times in a row, then lets the command run to its end, and
compares every byte with a run that nobody disturbed. Exits with 1 if one of them differs.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "templates" / "demo" / "man-skiing.mp4"
CAPTION = "a man is skiing on the snow"
COMMANDS = {
    "tune": ["tune", "--steps", "8"],
    "invert": ["invert", "--steps", "6"],
    "edit": ["edit", "a panda is skiing on the snow", "a man is skiing on the beach"],
}
# Saves after every second step, so that most kills find something saved and much not.
TAV = [
    sys.executable,
    "-c",
    "import tavcli.methods.resume as k; k.SAVE_STEPS = 2; from tavcli.__main__ import main; main()",
]


@dataclass(frozen=True)
class Run:
    """An undisturbed run of a command: the workspace before and after it, and its seconds."""

    before: Path
    after: Path
    seconds: float


@dataclass(frozen=True)
class Kill:
    """What came of one: the moments (seconds), what was saved by then, and what is wrong at the end."""

    command: str
    moments: tuple[float, ...]
    saved: str
    wrong: str


def tav(folder: Path, *words: str) -> None:
    """Run a command to its end; raises CalledProcessError, with what it said, if it fails."""
    subprocess.run([*TAV, "-q", *words], cwd=folder, check=True, capture_output=True, text=True)


def undisturbed(place: Path) -> dict[str, Run]:
    """Run the three commands one after the other."""
    clip = ["--frames", "4", "--size", "64x64"]
    tav(place, "--device", "cpu", "init", str(CLIP), "start", "--caption", CAPTION, "--base", "storybook", *clip)
    before, runs = place / "start", {}
    for name, words in COMMANDS.items():
        after = Path(shutil.copytree(before, place / f"after-{name}"))
        began = time.monotonic()
        tav(after, *words)
        runs[name] = Run(before, after, time.monotonic() - began)
        before = after
    return runs


def kill(name: str, run: Run, folder: Path, dice: random.Random) -> Kill:
    """Kill the command one to three times, run it to its end, compare."""
    shutil.copytree(run.before, folder)
    moments = tuple(dice.uniform(0, run.seconds) for _ in range(dice.choice([1, 1, 2, 3])))
    for moment in moments:
        child = subprocess.Popen(
            [*TAV, "-q", *COMMANDS[name]], cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        time.sleep(moment)
        child.kill()
        child.wait()
    saved = saved_by(folder, run)
    try:
        tav(folder, *COMMANDS[name])
    except subprocess.CalledProcessError as error:
        return Kill(name, moments, saved, f"it does not go on: {' '.join(error.stderr.split())}")
    return Kill(name, moments, saved, difference(folder, run.after))


def saved_by(folder: Path, run: Run) -> str:
    """What a kill found: how many files there are beyond those of before, and how many half-written."""
    new = files(folder).keys() - files(run.before).keys()
    half = [name for name in new if ".tmp" in name]
    partial = [name for name in new if name.endswith(("state.safetensors", "partial.safetensors"))]
    return f"{len(new) - len(half)} new, {len(partial)} to go on from, {len(half)} half-written"


def files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def difference(folder: Path, other: Path) -> str:
    """What differs, in words, or nothing. When an edit was made may differ, and lock files are there for good."""
    found, wanted = files(folder), files(other)
    names = {name for name in found.keys() ^ wanted.keys() if not name.endswith(".lock")}
    if names:
        return f"only in one of them: {', '.join(sorted(names))}"
    same = {name for name in found.keys() & wanted.keys() if not name.endswith((".lock", "made.json"))}
    return ", ".join(sorted(name for name in same if found[name].read_bytes() != wanted[name].read_bytes()))


def main() -> int:
    """Print a row for each kill, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dice, wrong, struck = random.Random(arguments.seed), 0, 0
    with tempfile.TemporaryDirectory(prefix="tav-kills-") as name:
        place = Path(name).resolve()
        runs = undisturbed(place)
        told = ", ".join(f"{command} {run.seconds:.1f} s" for command, run in runs.items())
        sys.stdout.write(
            f"undisturbed: {told}\n\n| # | command | killed after (s) | found | result |\n|---|---|---|---|---|\n"
        )
        for number in range(arguments.count):
            command = list(COMMANDS)[number % len(COMMANDS)]
            one = kill(command, runs[command], place / "killed", dice)
            shutil.rmtree(place / "killed")
            wrong, struck = wrong + bool(one.wrong), struck + len(one.moments)
            moments = ", ".join(f"{moment:.2f}" for moment in one.moments)
            sys.stdout.write(f"| {number + 1} | {command} | {moments} | {one.saved} | {one.wrong or 'equal'} |\n")
            sys.stdout.flush()
    verdict = f"{wrong} differ" if wrong else "all equal, byte for byte, nothing left behind"
    sys.stdout.write(f"\n{arguments.count} runs, killed {struck} times (seed {arguments.seed}): {verdict}\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
