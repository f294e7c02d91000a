"""A library with one large workspace, for benchmarks/speed/scale.py: the demo's clip, its edits done and yet to do.

Jobs come and change by the queue's own code; of what a render would have made, every edit has a link to the same files.
"""

import contextlib
import io
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import tomlkit

from tav.video import contact_sheet, write_video
from tavcli.commands.app import run
from tavcli.config.files import read_toml
from tavcli.config.templates import templates
from tavcli.events import Begin, Preview, Step
from tavcli.queue.batch import Batch, made_into_requests, session_for
from tavcli.queue.jobs import Job
from tavcli.queue.queue import Queue
from tavcli.worker import consumer
from tavcli.workspace.annotations import Marks, write_marks
from tavcli.workspace.edits import RECIPE
from tavcli.workspace.folder import Workspace

CAPTION = "a man is skiing on the snow"
ANIMALS = "cat", "dog", "fox", "robot", "panda", "owl", "bear", "hare", "swan", "mole"
TUNED = {"steps": 10, "key": "0a34d237d0ce", "digest": 64 * "8"}


def make_library(root: Path, others: int, edits: int, jobs: int) -> Workspace:
    """`others` small workspaces beside one of so many done edits and other jobs, which comes first in the library."""
    large = _workspace(root / "a-large", CAPTION)
    _fill(large, edits, jobs)
    small = _workspace(root / "b-00", "clip 00")
    _fill(small, 3, 0)
    for number in range(1, others):
        folder = shutil.copytree(small.folder, root / f"b-{number:02}", copy_function=os.link)
        settings = folder / "tav.toml"
        text = settings.read_text().replace("clip 00", f"clip {number:02}")
        settings.unlink()
        settings.write_text(text)
        (folder / "queue.sqlite").unlink()
        Queue(Workspace(folder)).rows()
    return large


def _workspace(folder: Path, caption: str) -> Workspace:
    with contextlib.redirect_stdout(io.StringIO()):
        clip = str(templates() / "demo" / "man-skiing.mp4")
        assert run(["-q", "init", clip, str(folder), "--caption", caption, "--base", "storybook"]) == 0
    return Workspace(folder)


def _fill(workspace: Workspace, edits: int, jobs: int) -> None:
    """Of the jobs that are not done, a third waits, a third has failed and a third was cancelled."""
    queue = Queue(workspace)
    prompts = tuple(f"a {ANIMALS[n % len(ANIMALS)]} is dancing {n:04}" for n in range(edits + jobs))
    order = Batch(prompts)
    new, _ = queue.add(made_into_requests(session_for(workspace, order), order))
    made = _Made(workspace)
    for row in new[:edits]:
        made.put(queue.job(row))
    for row in new[edits : edits + jobs // 3]:
        queue.job(row).write(state="failed", error="out of memory on cpu", hint="close other programs")
    queue.cancel([row.name for row in new[edits + jobs // 3 : edits + 2 * jobs // 3]])


class _Made:
    """What a render leaves in an edit's folder."""

    def __init__(self, workspace: Workspace) -> None:
        self.place = workspace.folder / ".made"
        self.place.mkdir()
        write_video(self.place / "video.mp4", _pictures(), 8)
        contact_sheet(self.place / "sheet.png", [("a sheet", _pictures())])
        (self.place / "made.json").write_text('{"date": "2026-01-02 03:04:05", "sampling_seconds": 21.0}')

    def put(self, job: Job) -> None:
        recipe = read_toml(job.folder / RECIPE)
        del recipe["state"]
        recipe |= {"tuned": TUNED, "inverted": {"key": "fa66348cd2b6"}}
        (job.folder / RECIPE).write_text(tomlkit.dumps(recipe))
        for name in ("sheet.png", "made.json"):
            os.link(self.place / name, job.folder / name)
        (job.folder / "scores.json").write_text(f'{{"psnr": {15 + job.number % 100 / 10}}}')
        if job.number % 7 == 0:
            write_marks(job.folder, Marks(True, ("best",)))
        os.link(self.place / "video.mp4", job.folder / "video.mp4")
        job.write(state="done", took=59.0 + job.number % 3, device="cpu")


def _pictures() -> np.ndarray:
    """Colours that move, (16 128 128 3) uint8."""
    f, y, x, c = np.ogrid[:16, :128, :128, :3]
    return (127 + 127 * np.sin((x * (c + 1) + y + 40 * f) / 20)).astype(np.uint8)


@contextlib.contextmanager
def at_work(workspace: Workspace) -> Iterator[None]:
    """Somebody works at the first job that waits, says four times a second how far it is, and shows pictures of it."""
    ended = threading.Event()
    with ExitStack() as held:
        desk = consumer.open_consumer(workspace, "cpu", held)
        job = desk.take()
        assert job is not None
        desk.begin(job)

        def work() -> None:
            desk.report(Begin("sampling", 10**6))
            for step in range(10**6):
                if step % 8 == 0:
                    desk.report(Preview(np.roll(_pictures()[:, ::2, ::2], step, axis=2)))
                desk.report(Step(step, 10**6))
                if ended.wait(0.26):
                    return

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield
        finally:
            ended.set()
            worker.join()
