"""The queue against a model of it, whatever is done to its index, its files and its disk.

TAV_QUEUES sets how many random histories are tried.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tav.errors import SettingsError, TavError
from tavcli.queue import workers
from tavcli.queue.jobs import JobRequest
from tavcli.queue.queue import INDEX, Queue
from tavcli.queue.trash import bring_back, throw_away
from tavcli.workspace.edits import JOB
from tavcli.workspace.folder import SETTINGS, Workspace

Call = Callable[..., Any]
SEEDS = int(os.environ.get("TAV_QUEUES", "10"))
WAITING = ("queued", "paused")


def request(prompt: str, kind: str = "edit") -> JobRequest:
    recipe = {"prompt": prompt, "caption": "x", "steps": 4, "precision": "fp32", "guidance_scale": 7.0}
    recipe |= {"negative_prompt": "", "vary": 0.0, "seed": 0, "inversion": True}
    return JobRequest(kind, {"caption": "x", "base": "b"}, recipe if kind == "edit" else None)


def make(folder: Path) -> Queue:
    folder.mkdir(exist_ok=True)
    (folder / SETTINGS).touch()
    return Queue(Workspace(folder))


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return make(tmp_path / "clip")


def names(queue: Queue) -> list[str]:
    return [row.name for row in queue.rows()]


def states(queue: Queue) -> dict[str, str]:
    return {row.name: row.state for row in queue.rows()}


# --- against a model


class Model:
    """A queue, and what it should be: the state of each job (of a running one with its worker), the order it has."""

    def __init__(self, queue: Queue, dice: random.Random) -> None:
        self.queue, self.dice, self.held = queue, dice, False
        self.states: dict[str, str] = {}
        self.order: list[str] = []
        self.workers: dict[str, Any] = {}

    def run(self, steps: int) -> None:
        """Do anything, so often, and look each time whether all is as it should be."""
        doing = [self.add, self.come, self.claim, self.claim, self.finish, self.finish, self.go, self.change]
        doing += [self.change, self.move, self.hold, self.release, self.release, self.spoil, self.look_from_elsewhere]
        for _ in range(steps):
            self.dice.choice(doing)()
            self.agrees()

    def some(self, *states: str) -> list[str]:
        return [name for name in self.order if self.states[name].split()[0] in states]

    def add(self) -> None:
        wanted = [request(f"prompt {len(self.states) + one}") for one in range(self.dice.randint(1, 3))]
        added, twins = self.queue.add([*wanted, wanted[0]])
        assert ([row.summary.title for row in added], twins) == ([one.recipe["prompt"] for one in wanted], [])
        again, twins = self.queue.add(wanted[:1])
        assert (again, [row.name for row in twins]) == ([], [added[0].name])
        self.states |= {row.name: "queued" for row in added}

    def come(self) -> None:
        if len(self.workers) < 3:
            worker = workers.registered(self.queue.workspace)
            self.workers[worker.__enter__()] = worker

    def claim(self) -> None:
        for token in list(self.workers)[:1]:
            job, waiting = self.queue.claim(token), [] if self.held else self.some("queued")
            assert (job and job.name) == next(iter(waiting), None)
            if job:
                self.states[job.name] = f"running {token}"

    def finish(self) -> None:
        for name in self.some("running")[:1]:
            job = self.queue.job(self.queue.find(name))
            self.states[name] = self.dice.choice(["done", "failed", "cancelled", "paused", "queued"])
            if self.states[name] == "done":
                (job.folder / "video.mp4").touch()
            self.queue.finish(job, self.states[name])

    def go(self) -> None:
        """A worker ends and gives back what it was at, or dies."""
        if not self.workers:
            return
        token, gives_back = self.dice.choice(list(self.workers)), self.dice.random() < 0.5
        if gives_back:
            self.queue.requeue(token)
        self.workers.pop(token).__exit__(None, None, None)
        after = "queued" if gives_back else "interrupted"
        self.states = {name: after if state == f"running {token}" else state for name, state in self.states.items()}

    def change(self) -> None:
        what = self.dice.choice(list(CHANGES))
        sources, after = CHANGES[what]
        chosen = [self.dice.choice(self.order) for _ in range(self.dice.randint(1, 3)) if self.order]
        if all(self.states[name].split()[0] in sources for name in chosen):
            getattr(self.queue, what)(chosen)
            idle = [name for name in chosen if not self.states[name].startswith("running")]
            self.states |= dict.fromkeys(idle, after)
            for name in set(chosen) - set(idle):
                assert self.queue.wished(self.queue.job(self.queue.find(name))) == ("pause" if self.held else what)
        else:
            with pytest.raises(SettingsError, match=r"job .* is "):
                getattr(self.queue, what)(chosen)

    def move(self) -> None:
        waiting = self.some(*WAITING)
        chosen = self.dice.sample(waiting, min(len(waiting), self.dice.randint(1, 3)))
        place = self.dice.choice([-1, 1, 2, 3, 9])
        self.queue.move(chosen, place)
        others = [name for name in waiting if name not in chosen]
        at = len(others) if place == -1 else place - 1
        moved = [*others[:at], *chosen, *others[at:]]
        assert [row.name for row in self.queue.rows() if row.state in WAITING] == moved

    def hold(self) -> None:
        self.queue.hold()
        self.held = True

    def release(self) -> None:
        self.queue.release()
        self.held = False
        self.states |= dict.fromkeys(self.some("paused"), "queued")

    def spoil(self) -> None:
        spoil(self.queue.workspace.folder / INDEX, self.dice.choice(list(SPOILT)), self.dice)

    def look_from_elsewhere(self) -> None:
        """Nothing is in the memory of one process only."""
        self.queue = Queue(Workspace(self.queue.workspace.folder))

    def agrees(self) -> None:
        rows = self.queue.rows()
        assert {row.name: f"{row.state} {row.worker}".strip() for row in rows} == self.states
        # Where a job stands is kept while it does not wait, and it comes back there.
        self.order = sorted(self.states, key={row.name: (row.position, row.number) for row in rows}.__getitem__)
        assert [row.name for row in rows if row.state in WAITING] == self.some(*WAITING)
        assert self.queue.waits() == (not self.held and bool(self.some("queued")))


CHANGES = {
    "cancel": (("queued", "paused", "interrupted", "running"), "cancelled"),
    "pause": (("queued", "running"), "paused"),
    "resume": (("paused", "interrupted"), "queued"),
    "retry": (("failed", "cancelled", "interrupted"), "queued"),
}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_is_done_the_queue_is_what_it_should_be(queue: Queue, seed: int) -> None:
    """Nothing is lost, nothing is claimed twice, order is kept, and the index may be spoilt at any moment."""
    Model(queue, random.Random(seed)).run(60)


SPOILT = ("gone", "junk", "cut", "old", "empty")


def spoil(path: Path, how: str, dice: random.Random) -> None:
    """The index as it should not be."""
    if how == "gone":
        path.unlink(missing_ok=True)
    elif how == "junk":
        path.write_bytes(dice.randbytes(dice.choice([1, 99, 4096, 10000])))
    elif how == "cut" and path.exists():
        path.write_bytes(path.read_bytes()[: dice.randrange(1, 8192)])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "old":
        with closing(sqlite3.connect(path.with_name("old.sqlite"))) as other:
            other.execute("CREATE TABLE jobs (a)")
            other.execute(f"PRAGMA user_version = {dice.randrange(5)}")
        path.with_name("old.sqlite").replace(path)


# --- many at once


CLAIMS = """
import sys
from pathlib import Path
from tavcli.queue.workers import registered
from tavcli.queue.queue import Queue
from tavcli.workspace.folder import Workspace
workspace = Workspace(Path(sys.argv[1]))
queue = Queue(workspace)
with registered(workspace) as token:
    while job := queue.claim(token):
        print(job.name, flush=True)
        (job.folder / "video.mp4").touch()
        queue.finish(job, "done")
"""


@pytest.mark.parametrize("spoilt", [False, True])
def test_several_processes_never_get_the_same_job(queue: Queue, spoilt: bool) -> None:
    queue.add([request(f"prompt {number}") for number in range(12)])
    command = [sys.executable, "-c", CLAIMS, str(queue.workspace.folder)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    dice = random.Random(0)
    while spoilt and any(child.poll() is None for child in children):
        spoil(queue.workspace.folder / INDEX, dice.choice(SPOILT), dice)
        assert len(queue.rows()) == 12
    claimed = [name for child in children for name in child.communicate()[0].split()]
    assert [child.returncode for child in children] == [0] * 3
    assert sorted(map(int, claimed)) == list(range(1, 13))
    assert set(states(queue).values()) == {"done"}
    assert list(workers.queue_folder(queue.workspace).iterdir()) == []


def test_throwing_away_and_adding_at_once_wait_for_each_other_in_one_order(queue: Queue) -> None:
    """Both hold two locks."""
    queue.add([request(f"prompt {number}") for number in range(8)])
    script = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); import test_queue as t\n"
    adds = "for n in range(8): t.make(Path(sys.argv[1])).add([t.request(f'more {n}')])"
    throws = "for n in range(1, 9): t.throw_away(t.make(Path(sys.argv[1])), str(n))"
    command = [sys.executable, "-c"]
    where = [str(queue.workspace.folder), str(Path(__file__).parent)]
    children = [subprocess.Popen([*command, script + code, *where]) for code in (adds, throws, adds)]
    assert [child.wait() for child in children] == [0] * 3
    assert sorted(map(int, names(queue))) == list(range(9, 17))


# --- what the files say


def test_a_job_whose_writer_died_between_file_and_index(queue: Queue) -> None:
    """The file is written first, and counts."""
    queue.add([request("a"), request("b"), request("c")])
    queue.rows()
    jobs = {row.name: queue.job(row) for row in queue.rows()}
    jobs["1"].write(state="cancelled")
    jobs["2"].write(position=9.0)
    assert states(queue) == {"1": "cancelled", "2": "queued", "3": "queued"}
    with workers.registered(queue.workspace) as token:
        assert [job.name for job in iter(lambda: queue.claim(token), None)] == ["3", "2"]


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"\xff\xfe", b'{"kind": "edit"}', b'{"format": 99}', b"9" * 5000])
@pytest.mark.parametrize("name", [JOB, "edit.toml", "wish", "marks.json", "scores.json", "made.json"])
def test_junk_in_a_jobs_files_hides_no_other_job(queue: Queue, name: str, junk: bytes) -> None:
    queue.add([request("a"), request("b"), request("t", "tune")])
    with workers.registered(queue.workspace) as token:
        first = queue.claim(token)
        assert first is not None
        (first.folder / name).write_bytes(junk)
        assert queue.wished(first) == ""
        assert len(queue.rows()) == 3
        queue.touch(first)
        rest = [job.name for job in iter(lambda: queue.claim(token), None)]
        assert rest == ["2", "tune-3"] or rest == ["2", "tune-1"]
        (queue.workspace.folder / INDEX).unlink()
        assert len(queue.rows()) == 3
    assert set(states(queue).values()) == {"interrupted"}
    queue.retry(names(queue))
    assert set(states(queue).values()) == {"queued"}


@pytest.mark.parametrize(
    "recipe",
    ["seed = inf", "guidance_scale = 'x'", "prompt = 3", "steps = 99999999999999999999", "a" * 99, "[[[[", "base = 4"],
)
def test_a_recipe_that_tav_did_not_write_is_said_to_be_so(queue: Queue, recipe: str) -> None:
    (row,), _ = queue.add([request("a")])
    job = queue.job(row)
    text = (job.folder / "edit.toml").read_text().replace("caption", "caption2") + recipe
    (job.folder / "edit.toml").write_text(text)
    queue.touch(job)
    assert "unreadable recipe" in queue.find("1").summary.error


def test_what_is_no_job_is_none(queue: Queue) -> None:
    queue.add([request("a")])
    for parent in (queue.workspace.edits, queue.workspace.jobs):
        for name in ("12abc", "2 notes", "0009-empty", f"{'9' * 40}-x", ".tmp-1-aabbccdd", "x"):
            (parent / name).mkdir()
        (parent / "0010-file").touch()
    assert names(queue) == ["1"]
    assert queue.add([request("b")])[0][0].number > 1


def test_a_job_that_runs_by_nobody_is_interrupted(queue: Queue) -> None:
    (row,), _ = queue.add([request("a")])
    queue.job(row).write(state="running")
    assert states(queue) == {"1": "interrupted"}


def test_an_edits_video_alone_says_done(queue: Queue) -> None:
    (row,), _ = queue.add([request("a")])
    job = queue.job(row)
    job.write(state="done")
    assert states(queue) == {"1": "interrupted"}
    (job.folder / "video.mp4").touch()
    assert states(queue) == {"1": "done"}
    (job.folder / "video.mp4").unlink()
    assert states(queue) == {"1": "interrupted"}


def test_a_stage_that_is_done_may_be_queued_again(queue: Queue) -> None:
    """What it made may be gone."""
    (row,), _ = queue.add([request("t", "tune")])
    queue.finish(queue.job(row), "done")
    assert len(queue.add([request("t", "tune")])[0]) == 1
    assert len(queue.add([request("t", "tune")])[1]) == 1


def test_a_job_that_is_removed_while_it_runs_does_not_come_back(queue: Queue) -> None:
    queue.add([request("a")])
    with workers.registered(queue.workspace) as token:
        job = queue.claim(token)
        assert job is not None
        shutil.rmtree(job.folder)
        queue.finish(job, "failed", error="x")
    assert queue.rows() == []


def test_what_is_thrown_away_comes_back_as_it_was(queue: Queue) -> None:
    queue.add([request("a"), request("b"), request("t", "tune")])
    before = queue.rows()
    places = [throw_away(queue, name) for name in names(queue)]
    assert queue.rows() == []
    assert queue.add([request("c")])[0][0].name == "3"
    for place in places:
        bring_back(queue.workspace, place)
    assert [row for row in queue.rows() if row.name != "3"] == before


def test_jobs_can_be_moved_for_ever(queue: Queue) -> None:
    """Places between two others run out."""
    queue.add([request(prompt) for prompt in "abcd"])
    for _ in range(30):
        for name in ("2", "3"):
            queue.move([name], 2)
    assert names(queue) == ["1", "3", "2", "4"]


def test_names_of_jobs(queue: Queue) -> None:
    queue.add([request("a cat"), request("t", "tune")])
    for name in ("1", "0001", "edits/0001-a-cat", "0001-a-cat"):
        assert queue.find(name).id == "edits/0001-a-cat"
    assert queue.find("tune-1").id == "jobs/0001-tune"
    for name in ("2", "", "x", "-1", "1.0", "tune", "²", "9" * 5000):
        with pytest.raises(SettingsError, match="there is no such job"):
            queue.find(name)


# --- places where nothing, or not much, can be written


def test_a_folder_in_the_indexs_place(queue: Queue) -> None:
    (queue.workspace.folder / INDEX).mkdir()
    queue.add([request("a"), request("b")])
    queue.move(["2"], 1)
    queue.pause(["1"])
    with workers.registered(queue.workspace) as token:
        job = queue.claim(token)
        assert job is not None
        assert job.name == "2"
        assert queue.claim(token) is None


@pytest.mark.parametrize("indexed", [True, False])
def test_a_workspace_that_may_only_be_read_can_be_looked_at(
    queue: Queue, mounted: Call, tmp_path: Path, indexed: bool
) -> None:
    queue.add([request("a"), request("b")])
    with workers.registered(queue.workspace) as token:
        queue.claim(token)
        shutil.copytree(queue.workspace.folder, tmp_path / "dead")
    seen = states(queue)
    if not indexed:
        (tmp_path / "dead" / INDEX).unlink()
    with mounted(tmp_path / "mount", "--bind", tmp_path / "dead") as place:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        other = Queue(Workspace(place))
        assert states(other) == seen == {"1": "interrupted", "2": "queued"}
        for change in (lambda: other.add([request("c")]), lambda: other.cancel(["2"]), lambda: other.claim("x")):
            with pytest.raises((OSError, TavError)):
                change()
        assert states(other) == seen


def fill(file: Path) -> None:
    """Until nothing is left of the disk."""
    with file.open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(4096)):
            pass


def test_on_a_full_disk_nothing_is_lost(tmp_path: Path, mounted: Call) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m", "tmpfs") as place:
        queue = make(place / "clip")
        queue.add([request("a"), request("b")])
        (queue.workspace.folder / INDEX).unlink()
        fill(place / "filler")
        assert states(queue) == {"1": "queued", "2": "queued"}
        for change in (lambda: queue.add([request("c")]), lambda: queue.cancel(["1"]), lambda: queue.claim("x")):
            with pytest.raises((OSError, TavError)):
                change()
            assert states(queue) == {"1": "queued", "2": "queued"}
        assert list(place.rglob(".tmp-*")) == []
        (place / "filler").unlink()
        queue.add([request("c")])
        assert states(queue) == {"1": "queued", "2": "queued", "3": "queued"}
