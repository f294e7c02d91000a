"""`tav work --ray` on a local Ray of two workers: side by side, killed, retried, stopped, and equal to `tav work`."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from waiting import halted, wait_for

import tav as package
from tav.atomic import is_running
from tavcli.queue import workers
from tavcli.queue.queue import Queue
from tavcli.queue.workers import Status
from tavcli.worker.ray_task import Outcome, perform
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]
# Sampling is saved every 50 steps: long enough to be stopped behind that.
STEPS = 80
RAY = """
import sys, ray
told = ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
print(told.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def ray_folder() -> Iterator[Path]:
    """Everything that Ray writes lies here, or in the guarded home; names of its sockets have to be short."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(folder))
        patch.setenv("RAY_AUTH_MODE", "disabled")
        # Sums depend on it: as many as here, since Ray leaves what is set as it is.
        patch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def address(ray_folder: Path) -> Iterator[str]:
    """A cluster of two cores."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", RAY], text=True, cwd=ray_folder, **streams) as child:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
        child.communicate()


@pytest.fixture(scope="module")
def queued(tmp_path_factory: pytest.TempPathFactory, ray_folder: Path, tuned: Path, settle: Call, done: Call) -> Path:
    """A tuned workspace, and two jobs that need the same inversion."""
    assert ray_folder.is_dir()
    folder = Path(shutil.copytree(tuned, tmp_path_factory.mktemp("queued") / "clip"))
    settle(folder, {"invert": {"steps": STEPS}})
    done(folder, "queue", "add", "a cat is skiing", "a dog is skiing")
    return folder


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, queued: Path, done: Call) -> Path:
    """The same after plain `tav work`."""
    folder = Path(shutil.copytree(queued, tmp_path_factory.mktemp("worked") / "clip"))
    done(folder, "work")
    return folder


@pytest.fixture
def working(start: Call) -> Iterator[Call]:
    """`working(folder, address)`: `tav work --ray` at it, until the end of the test at most."""
    with contextlib.ExitStack() as ends:

        def begin(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
            child: subprocess.Popen[str] = start(folder, "work", "--ray", *arguments)
            ends.callback(child.communicate)
            ends.callback(child.kill)
            return child

        yield begin


def states(folder: Path) -> dict[str, str]:
    return {row.name: row.state for row in Queue(Workspace(folder)).rows()}


def sampling(folder: Path, *names: str, past: int = 0) -> list[Status] | None:
    """What is said of these edits, once all of them are being sampled and are past a step."""
    said = [one for one in workers.living_workers(Workspace(folder)) if one.what.startswith("edit") and one.done > past]
    there = {str(int(Path(one.job).name[:4])): one for one in said}
    return [there[name] for name in names] if set(names) <= there.keys() else None


def process_at(folder: Path, name: str) -> int:
    """Which process makes this edit."""
    return int(json.loads((folder / ".locks" / f"edit-{int(name):04d}.json").read_text())["pid"])


@contextlib.contextmanager
def halted_at_first(folder: Path, child: "subprocess.Popen[str]") -> Iterator[str]:
    """The number of the edit that is sampled first; its process stands still meanwhile."""
    first = wait_for(lambda: next((name for name in "12" if sampling(folder, name)), ""), child)
    with halted(process_at(folder, first)):
        yield first


def videos(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("edits/*/video.mp4")}


@pytest.mark.slow
def test_a_killed_submitter_or_process_loses_nothing(
    address: str, queued: Path, worked: Path, copy_of: Call, done: Call, working: Call
) -> None:
    folder = copy_of(queued)
    shutil.copytree(worked / "inverted", folder / "inverted")
    submitter = working(folder, address)
    with halted_at_first(folder, submitter):
        one, two = wait_for(lambda: sampling(folder, "1", "2"), submitter)
        orphans = process_at(folder, "1"), process_at(folder, "2")
        assert one.token != two.token
        assert states(folder) == {"1": "running", "2": "running"}
        submitter.kill()
        submitter.wait()
        assert states(folder) == {"1": "interrupted", "2": "interrupted"}
    wait_for(lambda: not any(map(is_running, orphans)))
    done(folder, "queue", "retry", "1", "2")

    submitter = working(folder, address, "--watch")
    wait_for(lambda: sampling(folder, "2", past=50), submitter)
    os.kill(process_at(folder, "2"), signal.SIGKILL)
    wait_for(lambda: states(folder) == {"1": "done", "2": "interrupted"}, submitter)
    done(folder, "queue", "retry", "2")
    (two,) = wait_for(lambda: sampling(folder, "2", past=-1), submitter)
    assert two.done >= 50
    wait_for(lambda: states(folder)["2"] == "done", submitter)
    submitter.send_signal(signal.SIGINT)
    assert submitter.wait() == 130
    assert "job 2 interrupted" in submitter.communicate()[1]
    assert len(videos(folder)) == 2
    assert videos(folder) == videos(worked)


@pytest.mark.slow
def test_on_this_machine_alone_jobs_fail_and_stop_one_by_one_and_ctrl_c_saves(
    ray_folder: Path, queued: Path, worked: Path, copy_of: Call, done: Call, working: Call, monkeypatch: Any
) -> None:
    """Two of them need the same inversion: one makes it, the other waits for it."""
    monkeypatch.setenv("RAY_TMPDIR", str(ray_folder / "alone"))
    folder = copy_of(queued)
    done(folder, "queue", "add", "a man is flying")
    done(folder, "queue", "move", "3")
    (facts,) = folder.glob("edits/0003-*/job.json")
    facts.write_text(facts.read_text().replace(json.loads(facts.read_text())["settings"]["base"], "/nowhere"))

    child = working(folder, "local")
    with halted_at_first(folder, child) as first:
        other = "21"[int(first) - 1]
        wait_for(lambda: states(folder) == {first: "running", other: "running", "3": "failed"}, child)
        done(folder, "queue", "cancel", first)
    wait_for(lambda: sampling(folder, other), child)
    with halted(process_at(folder, other)):
        child.send_signal(signal.SIGINT)
        queue = Queue(Workspace(folder))
        wait_for(lambda: queue.wished(queue.job(queue.find(other))), child)
    assert child.wait() == 130
    assert states(folder) == {first: "cancelled", other: "queued", "3": "failed"}
    assert "/nowhere" in child.communicate()[1]
    assert len(list(folder.glob("edits/*/partial.safetensors"))) == 2
    assert list((ray_folder / "alone").glob("ray/session_*"))
    wait_for(lambda: not started_with(ray_folder / "alone"))

    done(folder, "work")
    assert states(folder) == {first: "cancelled", other: "done", "3": "failed"}
    (name,) = videos(folder)
    assert videos(folder)[name] == videos(worked)[name]


def started_with(folder: Path) -> list[str]:
    """The processes that have this folder for Ray's."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"RAY_TMPDIR={folder}\0".encode() in environment.read_bytes():
                found.append(environment.parent.name)
    return found


# --- refused


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("given", ["nowhere", "ray://127.0.0.1:10001", "http://h:1", ":1", "127.0.0.1:", "{dead}"])
def test_where_no_cluster_answers_is_told_at_once(queued: Path, tav: Call, given: str) -> None:
    said = tav(queued, "work", "--ray", given.format(dead=f"127.0.0.1:{free_port()}"))
    assert (said.code, said.out) == (1, "")
    assert "HOST:PORT" in said.err
    assert set(states(queued).values()) == {"queued"}


def test_an_address_goes_with_its_flag(queued: Path, tav: Call) -> None:
    said = tav(queued, "work", "local")
    assert said.code == 1
    assert "tav work --ray local" in said.err


def test_without_ray_its_extra_is_named(queued: Path, tav: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    said = tav(queued, "work", "--ray")
    assert said.code == 1
    assert 'pip install "tav[cluster]"' in said.err


@pytest.mark.parametrize(("version", "place", "why"), [("0", "", "has tav"), (package.__version__, "gone", "not see")])
def test_a_machine_that_cannot_do_the_job_says_why(
    queued: Path, version: str, place: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["worker"])
    _, outcome = perform(version, str(queued / place), "edits/0001-a-cat-is-skiing", {})
    assert isinstance(outcome, Outcome)
    assert outcome.state == "failed"
    assert why in outcome.told["error"]
    assert outcome.told["hint"]
