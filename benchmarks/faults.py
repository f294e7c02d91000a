"""Random faults while a queue is worked on: is anything lost, run twice, or shown as done that is not?

    python benchmarks/faults.py --count 50 --seed 0

Each run queues a tuning, an inversion and two edits in a new workspace on a small disk, starts a worker, and lets one
to three faults strike at random moments. Then the disk has room again, whatever failed or was interrupted is queued
again, and a last worker drains the queue. Every job must be there and done, each result equal, byte for byte, to that
of commands which nobody disturbed, no job have been in two workers' hands at once, and nothing temporary be left.
Exits with 1 if anything is otherwise. The disk takes root; without it that fault is left out.
"""

import argparse
import json
import os
import pty
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tav.errors import SettingsError, TavError
from tavcli.queue.queue import INDEX, Queue, Row
from tavcli.queue.workers import living_workers
from tavcli.workspace.folder import Workspace

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "templates" / "demo" / "man-skiing.mp4"
PROMPTS = ["a panda is skiing on the snow", "a man is skiing on the beach"]
JOBS = [["queue", "tune"], ["queue", "invert"], ["queue", "add", *PROMPTS]]
DISK = 48 * 2**20  # bytes; a workspace takes a third
# Saves after every second step, so that most faults find something saved and much not; and tells, somewhere that no
# fault reaches, which jobs it has in its hands.
WORK = """
import json, os, time
from tavcli.methods import resume
from tavcli.queue.queue import Queue
resume.SAVE_STEPS = 2
claim, finish = Queue.claim, Queue.finish

def tell(what, job):
    with open(os.environ["TAV_FAULTS"], "a") as log:
        log.write(json.dumps([job.id, what, os.getpid(), time.monotonic()]) + chr(10))

def claimed(queue, token):
    job = claim(queue, token)
    if job:
        tell("taken", job)
    return job

def finished(queue, job, state, **facts):
    tell("left", job)
    finish(queue, job, state, **facts)

Queue.claim, Queue.finish = claimed, finished
from tavcli.__main__ import main
main()
"""


@dataclass
class Worker:
    """A worker process, and when it ended (seconds of the monotonic clock)."""

    child: "subprocess.Popen[bytes]"
    ended: float = 0.0

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None if it still works then."""
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(seconds)
            self.ended = self.ended or time.monotonic()
        return self.child.poll()


@dataclass
class Scene:
    """One workspace on its disk, its workers, and what a fault may do."""

    place: Path
    homes: list[Path]
    dice: random.Random
    seconds: float  # that the whole queue takes
    workers: list[Worker] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    hopeless: set[str] = field(default_factory=set)  # jobs that can only fail
    cancelled: set[str] = field(default_factory=set)

    @property
    def queue(self) -> Queue:
        """Anew each time, as another process would have it."""
        return Queue(Workspace(self.place / "clip"))

    @property
    def log(self) -> Path:
        """What the workers tell; not on the small disk."""
        return self.homes[0] / "faults.log"

    @property
    def living(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.wait(0) is None]

    def work(self, home: int = 0, most: int = 0) -> Worker:
        """Start a worker; `most` bytes of address space, if that is not 0."""
        environment = os.environ | {"TAV_HOME": str(self.homes[home]), "TAV_FAULTS": str(self.log)}
        limit = partial(resource.setrlimit, resource.RLIMIT_AS, (most, most)) if most else None
        with (self.homes[0] / "worker.log").open("ab") as said:
            command = [sys.executable, "-c", WORK, "work"]
            child = subprocess.Popen(
                command, cwd=self.place / "clip", env=environment, stdout=said, stderr=said, preexec_fn=limit
            )
        self.workers.append(Worker(child))
        return self.workers[-1]

    def wait(self, share: float = 0.4) -> None:
        """Some time, up to this share of what all takes."""
        time.sleep(self.dice.uniform(0, share * self.seconds))

    def some_job(self) -> Row:
        return self.dice.choice(self.queue.rows())

    def look(self, undisturbed: Path) -> None:
        """Is what is shown as done really so?"""
        for row in self.queue.rows():
            if row.state == "done" and row.kind == "edit":
                self.wrong += different(self.queue.job(row).folder, undisturbed)


# --- the faults: each takes a scene, does its worst, and leaves a worker at work where it has ended one.


def kill(scene: Scene) -> None:
    """`kill -9`, of all workers at once."""
    for worker in scene.living:
        worker.child.kill()
        worker.wait(60)
    scene.work()


def interrupt(scene: Scene) -> None:
    """Ctrl-C, once or (impatient) twice, or SIGTERM."""
    for worker in scene.living:
        number = scene.dice.choice([signal.SIGINT, signal.SIGTERM])
        for _ in range(scene.dice.choice([1, 1, 2])):
            worker.child.send_signal(number)
            time.sleep(scene.dice.uniform(0, 0.3))
        if worker.wait(60) not in (130, 0):
            scene.wrong.append(f"a worker that was stopped ended with {worker.child.returncode}")
    scene.work()


def second_worker(scene: Scene) -> None:
    """In the same workspace; another home, so that they do not wait for each other at the device."""
    scene.work(home=1)


def lose_index(scene: Scene) -> None:
    """queue.sqlite is deleted, or is junk."""
    index = scene.queue.workspace.folder / INDEX
    if scene.dice.random() < 0.5:
        index.unlink(missing_ok=True)
    else:
        with suppress(OSError):
            index.write_bytes(scene.dice.randbytes(5000))


def fill_disk(scene: Scene) -> None:
    """For a while."""
    filler = scene.place / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65536)):
            pass
    scene.wait()
    filler.unlink()
    scene.work()


def pause(scene: Scene) -> None:
    """The whole queue, and a little later go on."""
    scene.queue.hold()
    scene.wait()
    scene.queue.release()
    scene.work()


def pause_job(scene: Scene) -> None:
    """One job, and a little later go on."""
    name = scene.some_job().name
    with suppress(SettingsError):  # it is done, or failed
        scene.queue.pause([name])
        scene.wait()
        scene.queue.resume([name])
    scene.work()


def cancel(scene: Scene) -> None:
    """One job; half of them are wanted after all."""
    name = scene.some_job().name
    with suppress(SettingsError):
        scene.queue.cancel([name])
        scene.cancelled.add(name)
        if scene.dice.random() < 0.5:
            scene.wait()
            scene.cancelled.discard(name)
            scene.queue.retry([name])


def reorder(scene: Scene) -> None:
    """Somebody else comes first."""
    with suppress(SettingsError):
        scene.queue.move([scene.some_job().name], 1)


def little_memory(scene: Scene) -> None:
    """A worker for which there is not enough."""
    scene.work(home=1, most=scene.dice.randint(1_000, 4_000) * 2**20)


def too_big_a_job(scene: Scene) -> None:
    """One that needs more memory than there is."""
    workspace = scene.queue.workspace
    values = workspace.read()
    workspace.remember({"clip": {"size": [8192, 8192]}})
    run = subprocess.run(
        [*TAV, "queue", "--json", "tune"], cwd=workspace.folder, check=True, capture_output=True, text=True
    )
    scene.hopeless |= {one["job"] for one in json.loads(run.stdout)}
    workspace.remember({"clip": {"size": values["clip"]["size"]}})


def kill_screen(scene: Scene) -> None:
    """`kill -9` of `tav ui`, which has started a worker of its own; half of the time of that too."""
    workspace = scene.queue.workspace
    screen, master = pty.fork()
    if not screen:
        os.environ |= {"TAV_HOME": str(scene.homes[1]), "TERM": "xterm-256color"}
        os.chdir(workspace.folder)
        os.execv(TAV[0], [*TAV, "ui"])
    end = time.monotonic() + 2 + scene.dice.uniform(0, 0.5 * scene.seconds)
    while time.monotonic() < end:  # somebody has to take what it draws
        if select.select([master], [], [], 0.1)[0]:
            os.read(master, 1 << 16)
    os.kill(screen, signal.SIGKILL)
    os.waitpid(screen, 0)
    os.close(master)
    if scene.dice.random() < 0.5:
        ours = {worker.child.pid for worker in scene.workers}
        for status in living_workers(workspace):
            if status.pid not in ours:
                os.kill(status.pid, signal.SIGKILL)
    scene.work()


FAULTS: list[Callable[[Scene], None]] = [
    kill,
    kill,
    interrupt,
    second_worker,
    lose_index,
    fill_disk,
    pause,
    pause_job,
    cancel,
    reorder,
    little_memory,
    too_big_a_job,
    kill_screen,
    kill_screen,
]
TAV = [sys.executable, "-P", "-m", "tavcli"]


# --- a run


def strike(scene: Scene, faults: list[Callable[[Scene], None]], undisturbed: Path) -> None:
    """Each at a moment of its own."""
    for fault in faults:
        scene.wait(1.0 / len(faults))
        scene.struck.append(fault.__name__)
        try:
            fault(scene)
        except (OSError, TavError, subprocess.CalledProcessError) as error:  # on a full disk, say
            scene.struck[-1] += f" (refused: {str(error)[:60]})"
        scene.look(undisturbed)


def settle(scene: Scene) -> None:
    """All can work again: what is open, failed or interrupted is done, by one worker more."""
    scene.queue.release()
    for worker in scene.living:
        if worker.wait(20 * scene.seconds) is None:
            scene.wrong.append("a worker does not end")
            worker.child.kill()
            worker.wait(60)
    end = time.monotonic() + 20 * scene.seconds
    while living_workers(scene.queue.workspace):  # one that a screen has left does what is there
        if time.monotonic() > end:
            scene.wrong.append("the worker of a screen does not end")
            break
        time.sleep(0.5)
    again = [row.name for row in scene.queue.rows() if row.state in ("failed", "interrupted")]
    if again:
        scene.queue.retry(again)
    scene.queue.release()
    if scene.work().wait(20 * scene.seconds) is None:
        scene.wrong.append("the last worker does not end")


def verdict(scene: Scene, jobs: set[str], undisturbed: Path) -> None:
    """Add to what is wrong."""
    rows = {row.name: row for row in scene.queue.rows()}
    scene.wrong += [f"{name} is lost" for name in sorted(jobs - rows.keys())]
    for name, row in rows.items():
        wanted = (
            {"failed"} if name in scene.hopeless else {"done", "cancelled"} if name in scene.cancelled else {"done"}
        )
        if row.state not in wanted:
            scene.wrong.append(f"{name} is {row.state}: {row.summary.error}")
        if name in scene.hopeless and "memory" not in row.summary.error:
            scene.wrong.append(f"{name} failed by {row.summary.error}")
    scene.look(undisturbed)
    scene.wrong += different_stages(scene.queue.workspace.folder, undisturbed)
    scene.wrong += in_two_hands(scene)
    scene.wrong += left_behind(scene.queue.workspace.folder)


def different(edit: Path, undisturbed: Path) -> list[str]:
    """An edit whose video is not that which it should be."""
    (twin,) = undisturbed.glob(f"edits/*-{edit.name[5:]}/video.mp4")
    same = (edit / "video.mp4").is_file() and (edit / "video.mp4").read_bytes() == twin.read_bytes()
    return [] if same else [f"{edit.name} is shown as done and is not what it should be"]


def different_stages(folder: Path, undisturbed: Path) -> list[str]:
    wanted = [*undisturbed.glob("tuned/*/attention.safetensors"), *undisturbed.glob("inverted/*/latents.safetensors")]
    others = {path: folder / path.relative_to(undisturbed) for path in wanted}
    return [
        f"{other.parent.parent.name} differs"
        for path, other in others.items()
        if other.is_file() and other.read_bytes() != path.read_bytes()
    ]


def in_two_hands(scene: Scene) -> list[str]:
    """Jobs that two workers had at once, by what these told; the dead let go when they died."""
    ended = {worker.child.pid: worker.ended for worker in scene.workers}
    lines = [json.loads(line) for line in scene.log.read_text().splitlines()] if scene.log.exists() else []
    spans: dict[str, list[tuple[float, float]]] = {}
    for place, (job, what, process, began) in enumerate(lines):
        if what == "taken":
            left = (at for name, what, who, at in lines[place:] if (name, what, who) == (job, "left", process))
            spans.setdefault(job, []).append((began, next(left, ended[process])))
    return [
        f"{job} was in two hands"
        for job, hands in spans.items()
        if any(later[0] < earlier[1] for earlier, later in zip(sorted(hands), sorted(hands)[1:], strict=False))
    ]


def left_behind(folder: Path) -> list[str]:
    """What only who works needs."""
    patterns = ["**/.tmp-*", "**/*partial*", "**/wish", ".locks/*.json", ".queue/*", f"{INDEX}-journal"]
    # Whoever asks whether a worker lives that is just going makes its lock anew; the next worker removes it.
    found = (path for pattern in patterns for path in folder.glob(pattern) if path.suffix != ".lock")
    return [f"{path.relative_to(folder)} is left" for path in found]


# --- all of it


def tav(folder: Path, *words: str) -> None:
    """Run a command to its end; raises CalledProcessError, with what it said, if it fails."""
    subprocess.run([*TAV, "-q", *words], cwd=folder, check=True, capture_output=True, text=True)


def prepare(place: Path) -> float:
    """A new workspace `start`; one `undisturbed`, by commands in processes of their own; the seconds of a worker."""
    flags = ["--frames", "4", "--size", "64x64", "--base", "storybook"]
    tav(place, "--device", "cpu", "init", str(CLIP), "start", "--caption", "a man is skiing on the snow", *flags)
    Workspace(place / "start").remember({"tune": {"steps": 8}, "invert": {"steps": 6}})
    whole = Path(shutil.copytree(place / "start", place / "undisturbed"))
    for words in (["tune"], ["invert"], ["edit", PROMPTS[0]], ["edit", PROMPTS[1]]):
        tav(whole, *words)
    queued = Path(shutil.copytree(place / "start", place / "queued"))
    for words in JOBS:
        tav(queued, *words)
    began = time.monotonic()
    tav(queued, "work")
    return time.monotonic() - began


@contextmanager
def disk(place: Path) -> Iterator[bool]:
    """A small one; yields whether it could be made."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    small = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield small
    finally:
        if small:
            subprocess.run(["umount", str(place)], check=True)
        shutil.rmtree(place)


def run(place: Path, seconds: float, dice: random.Random) -> Scene:
    """Queue, let faults strike, settle, and judge."""
    homes = [place / "home", place / "home-2"]
    for name in ("faults.log", "worker.log"):
        (homes[0] / name).unlink(missing_ok=True)
    with disk(place / "disk") as small:
        scene = Scene(place / "disk", homes, dice, seconds)
        shutil.copytree(place / "start", scene.place / "clip")
        for words in JOBS:
            tav(scene.place / "clip", *words)
        jobs = {row.name for row in scene.queue.rows()}
        scene.work()
        known = [fault for fault in FAULTS if small or fault is not fill_disk]
        strike(scene, [dice.choice(known) for _ in range(dice.choice([1, 2, 2, 3]))], place / "undisturbed")
        settle(scene)
        verdict(scene, jobs, place / "undisturbed")
        if scene.wrong:
            keep(scene, place)
    return scene


def keep(scene: Scene, place: Path) -> None:
    """For who looks for the reason."""
    kept = Path(tempfile.mkdtemp(prefix="tav-fault-"))
    shutil.copytree(scene.place / "clip", kept / "clip")
    shutil.copytree(place / "home", kept / "home")
    scene.struck.append(f"kept in {kept}")


def main() -> int:
    """Print a row for each run, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wrong = struck = 0
    with tempfile.TemporaryDirectory(prefix="tav-faults-") as name:
        place = Path(name).resolve()
        os.environ["TAV_HOME"] = str(place / "home")
        seconds = prepare(place)
        # Kernels are chosen by measuring, once for each home: other kernels are another rounding.
        shutil.copytree(place / "home", place / "home-2")
        sys.stdout.write(f"undisturbed: {seconds:.1f} s\n\n| # | faults | workers | result |\n|---|---|---|---|\n")
        for number in range(arguments.count):
            # By its own number, so that one run can be had again.
            scene = run(place, seconds, random.Random(f"{arguments.seed} {number}"))
            wrong, struck = wrong + bool(scene.wrong), struck + len(scene.struck)
            told = "; ".join(scene.wrong) or "all there, all equal"
            sys.stdout.write(f"| {number + 1} | {', '.join(scene.struck)} | {len(scene.workers)} | {told} |\n")
            sys.stdout.flush()
    words = f"{wrong} went wrong" if wrong else "nothing lost, nothing run twice, nothing shown done that is not"
    sys.stdout.write(f"\n{arguments.count} runs, {struck} faults (seed {arguments.seed}): {words}\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
