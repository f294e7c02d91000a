"""The worker: its edits are those of `tav edit`, a job that fails stops nothing, and it gives back what it was at."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_for

from tav.events import InvertStep, SampleStep, TuneStep
from tav.tensor_files import read_tensors
from tavcli.events import Begin, Note
from tavcli.interrupts import interrupts
from tavcli.methods.loading import network_inputs
from tavcli.queue import workers
from tavcli.queue.events import JobEnded
from tavcli.queue.queue import Queue
from tavcli.worker.consumer import Consumer
from tavcli.worker.local import Worker
from tavcli.workspace.folder import Workspace
from tavcli.workspace.model_cache import ModelCache
from tavcli.workspace.session import Session

Call = Callable[..., Any]


def states(folder: Path) -> dict[str, str]:
    """Of every job, by its name."""
    return {row.name: row.state for row in Queue(Workspace(folder)).rows()}


def video(folder: Path, number: int) -> bytes:
    (found,) = folder.glob(f"edits/{number:04d}-*/video.mp4")
    return found.read_bytes()


def by_prompt(folder: Path) -> dict[str, bytes]:
    """Every video of a workspace."""
    return {path.parent.name[5:]: path.read_bytes() for path in folder.glob("edits/*/video.mp4")}


# --- what it makes


def test_a_queue_is_drained_in_one_process(done: Call, initial: Path, edited: Path, copy_of: Call) -> None:
    folder = copy_of(initial)
    done(folder, "queue", "add", "a cat is skiing")
    done(folder, "queue", "tune")
    done(folder, "queue", "invert")
    said = done(folder, "work")
    assert states(folder) == {"1": "done", "tune-1": "done", "invert-2": "done"}
    assert said.err.count("loading ") == 1
    assert by_prompt(folder) == by_prompt(edited)


def test_what_is_queued_keeps_its_settings(
    done: Call, initial: Path, edited: Path, copy_of: Call, settle: Call
) -> None:
    folder = copy_of(initial)
    done(folder, "queue", "add", "a cat is skiing")
    settle(folder, {"tune": {"steps": 3}, "sample": {"guidance_scale": 1.0}, "caption": "a dog"})
    done(folder, "work")
    assert by_prompt(folder) == by_prompt(edited)


@pytest.mark.slow
def test_a_warm_worker_makes_what_fresh_processes_make(
    done: Call, initial: Path, settle: Call, make_tiny_base: Call, tmp_path: Path
) -> None:
    """Two workspaces under one folder, two bases, two tunings, in turn: nothing of one stays in the other."""
    other = make_tiny_base(tmp_path / "other", seed=1)
    changes = [
        {"tune": {"steps": 6}},
        {"base": str(other)},
        {"tune": {"steps": 4, "scope": "mid_up"}, "base": str(other)},
    ]
    changes += [{"frame_attention": "full"}]
    places = {name: Path(shutil.copytree(initial, tmp_path / name / "a")) for name in ("warm", "fresh")}
    shutil.copytree(initial, tmp_path / "warm" / "b")
    for turn, some in enumerate((changes, changes[:2])):
        for number, change in enumerate(some):
            prompt = f"a cat is skiing {turn} {number}"
            for place in (*places.values(), tmp_path / "warm" / "b"):
                settle(place, change)
            done(places["warm"] if number % 2 else tmp_path / "warm" / "b", "queue", "add", prompt, "--steps", 2 + turn)
            done(places["fresh"], "edit", prompt, "--steps", 2 + turn)
    done(tmp_path / "warm", "work")
    found = by_prompt(places["warm"]) | by_prompt(tmp_path / "warm" / "b")
    assert found.keys() == by_prompt(places["fresh"]).keys()
    assert found == by_prompt(places["fresh"])


def test_the_same_edit_is_made_once(done: Call, edited: Path, copy_of: Call) -> None:
    """Queued while it is there, or while it is queued."""
    folder = copy_of(edited)
    done(folder, "queue", "add", "a dog is skiing", "a dog is skiing", "a cat is skiing")
    assert "job 2 is this very one already (queued)" in done(folder, "queue", "add", "a dog is skiing").err
    said = done(folder, "work")
    assert "edit 1 is this very recipe: its video is taken" in said.err
    assert states(folder) == {"1": "done", "2": "done", "3": "done"}
    assert video(folder, 3) == video(folder, 1)
    took = {row.name: row.summary.took for row in Queue(Workspace(folder)).rows()}
    assert took["2"]
    assert took["3"] is None


# --- what fails


def test_a_job_that_fails_stops_no_other(
    tav: Call, done: Call, edited: Path, copy_of: Call, settle: Call, tiny_base: Path, tmp_path: Path
) -> None:
    folder, base = copy_of(edited), shutil.copytree(tiny_base, tmp_path / "base")
    settle(folder, {"base": str(base)})
    done(folder, "queue", "add", "a dog is skiing")
    shutil.rmtree(base)
    settle(folder, {"base": str(tiny_base), "imported": "0123"})
    done(folder, "queue", "add", "a fox is skiing")
    Workspace(folder).settings_file.write_text(
        Workspace(folder).settings_file.read_text().replace('imported = "0123"', "")
    )
    done(folder, "queue", "add", "a cow is skiing", "a pig is skiing")
    pig = next(folder.glob("edits/*a-pig*"))
    (pig / "edit.toml").write_text("prompt = 3")
    said = tav(folder, "work")
    assert said.code == 1
    assert said.err.splitlines()[-2:] == [
        "error: failed: 2, 3, 5",
        "  `tav queue ls` says why, `tav queue retry` does them again",
    ]
    assert states(folder) == {"1": "done", "2": "failed", "3": "failed", "4": "done", "5": "failed"}
    told = {row["job"]: (row["error"], row["hint"]) for row in done(folder, "--json", "queue", "ls").json()}
    assert "no folder" in told["2"][0]
    assert "imported weights are gone" in told["3"][0]
    assert all(all(words) for words in told.values())
    shutil.copytree(tiny_base, base)
    done(folder, "queue", "retry", "2")
    done(folder, "work")
    assert states(folder)["2"] == "done"


def test_broken_weights_and_a_bug_fail_their_jobs_alone(
    tav: Call, done: Call, edited: Path, copy_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(edited)
    (weights,) = folder.glob("tuned/*/attention.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:99])
    done(folder, "queue", "add", "a dog is skiing", "--no-inversion")
    assert tav(folder, "work").code == 1
    weights.write_bytes(whole)
    with monkeypatch.context() as patch:
        patch.setattr("tav.video.contact_sheet", lambda *_: 1 / 0)
        done(folder, "queue", "add", "a cow is skiing")
        assert tav(folder, "work").code == 1
    rows = {row.name: row for row in Queue(Workspace(folder)).rows()}
    assert "attention.safetensors" in rows["2"].summary.error
    assert rows["3"].summary.error.startswith("bug: ZeroDivisionError")
    assert "please report it" in rows["3"].summary.hint
    done(folder, "queue", "retry", "2", "3")
    done(folder, "work")
    assert set(states(folder).values()) == {"done"}


@pytest.mark.slow
def test_out_of_memory_fails_with_the_forecast_and_what_fits(
    initial: Path, copy_of: Call, done: Call, settle: Call, tav_command: list[str]
) -> None:
    """For real: a process that may not have more, and a job for which that is too little."""
    folder = copy_of(initial)
    settle(folder, {"clip": {"size": [576, 576]}})
    done(folder, "queue", "tune")
    settle(folder, {"clip": {"size": [32, 32]}})
    done(folder, "queue", "add", "a cat is skiing")
    limited = ["sh", "-c", 'ulimit -v 1900000; exec "$@"', "sh", *tav_command, "work"]
    said = subprocess.run(limited, cwd=folder, capture_output=True, text=True, check=False)
    assert said.returncode == 1, said.stderr
    assert states(folder) == {"1": "done", "tune-1": "failed"}, said.stderr
    summary = Queue(Workspace(folder)).find("tune-1").summary
    assert "memory" in summary.error
    assert "the forecast: about" in summary.error
    assert "fit" in summary.hint


# --- what is wished of a running job


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wishes are looked for after every step."""
    monkeypatch.setattr("tavcli.worker.execution._HEED", 0.0)
    interrupts.answered()


def worker(folder: Path, watch: bool = False) -> Worker:
    return Worker([Workspace(folder)], {}, watch)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kind", [TuneStep, InvertStep, SampleStep])
def test_a_paused_job_goes_on_from_the_step_it_reached(
    initial: Path, edited: Path, copy_of: Call, done: Call, kind: type
) -> None:
    folder = copy_of(initial)
    done(folder, "queue", "add", "a cat is skiing")
    queue, states_told = Queue(Workspace(folder)), []
    for event in worker(folder).run():
        if isinstance(event, kind) and event.step == 2:
            queue.pause(["1"])
        if isinstance(event, JobEnded):
            states_told.append(event.state)
    assert (states_told, states(folder)) == (["paused"], {"1": "paused"})
    queue.resume(["1"])
    begun = [event.done for event in worker(folder).run() if isinstance(event, Begin)]
    assert 2 in begun
    assert by_prompt(folder) == by_prompt(edited)
    assert not list(folder.rglob("*partial*"))
    assert not list(folder.rglob("wish"))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kind", [TuneStep, InvertStep, SampleStep])
def test_cancelling_a_running_job_leaves_the_model_loaded(
    initial: Path, edited: Path, copy_of: Call, done: Call, kind: type
) -> None:
    folder = copy_of(initial)
    done(folder, "queue", "add", "a dog is skiing", "a cat is skiing")
    queue, loaded = Queue(Workspace(folder)), 0
    for event in worker(folder).run():
        loaded += isinstance(event, Note) and event.text.startswith("loading ")
        if isinstance(event, kind) and event.step == 2 and queue.find("1").state == "running":
            queue.cancel(["1"])
    assert states(folder) == {"1": "cancelled", "2": "done"}
    assert loaded == 1
    assert by_prompt(folder) == by_prompt(edited)


@pytest.mark.usefixtures("at_once")
def test_a_paused_queue_holds_nothing_in_memory(
    edited: Path, copy_of: Call, done: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(edited)
    done(folder, "queue", "add", "a dog is skiing")
    queue, one = Queue(Workspace(folder)), worker(folder, watch=True)
    ended: list[str] = []
    held: list[bool] = []

    def follow() -> None:
        for event in one.run():
            if isinstance(event, SampleStep) and event.step == 2:
                held.append(one.models.find("network", network_inputs(Session(Workspace(folder), {}))) is not None)
                queue.hold()
            if isinstance(event, JobEnded):
                ended.append(event.state)

    thread = threading.Thread(target=follow)
    thread.start()
    wait_for(lambda: ended == ["paused"] and one.models == ModelCache())
    assert held == [True]
    (status,) = workers.living_workers(queue.workspace)
    assert (status.state, status.job) == ("paused", "")
    # Somebody else may have the device.
    assert by_prompt(folder).keys() == {"a-cat-is-skiing"}
    queue.release()
    wait_for(lambda: ended == ["paused", "done"])
    monkeypatch.setenv(workers.WATCHER, "999999999")  # a screen that is no more
    thread.join()
    assert list(workers.queue_folder(queue.workspace).iterdir()) == []


@pytest.mark.usefixtures("at_once")
def test_an_edit_in_the_foreground_and_the_same_one_in_the_queue(
    tav: Call, done: Call, edited: Path, copy_of: Call
) -> None:
    folder = copy_of(edited)
    done(folder, "queue", "add", "a dog is skiing", "a fox is skiing")
    done(folder, "edit", "a dog is skiing")  # while it is queued: an edit of its own
    assert states(folder)["4"] == "done"
    for event in worker(folder).run():
        if isinstance(event, SampleStep) and event.step == 2:
            said = tav(folder, "--no-wait", "edit", "a fox is skiing")  # while it runs: the very same
            assert "edit-0003 is being written by process" in said.err
    assert set(states(folder).values()) == {"done"}
    assert video(folder, 2) == video(folder, 4)
    assert "edit 3 is this very recipe: nothing to do" in done(folder, "edit", "a fox is skiing").err


# --- a worker that is stopped, or dies


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, initial: Path, settle: Call, done: Call) -> tuple[Path, Path]:
    """A workspace with an edit queued whose every part is saved on the way, and one where it is made."""
    folder = Path(shutil.copytree(initial, tmp_path_factory.mktemp("long") / "clip"))
    settle(folder, {"tune": {"steps": 60}, "invert": {"steps": 52}})
    whole = Path(shutil.copytree(folder, tmp_path_factory.mktemp("long") / "clip"))
    done(folder, "queue", "add", "a cat is skiing")
    done(whole, "edit", "a cat is skiing")
    return folder, whole


SAVED = ["tuned/*/state.safetensors", "inverted/*/partial.safetensors", "edits/*/partial.safetensors"]


def start_until(start: Call, folder: Path, pattern: str) -> "subprocess.Popen[str]":
    child = start(folder, "work")
    wait_for(lambda: list(folder.glob(pattern)), child)
    return child


@pytest.mark.slow
def test_a_stopped_worker_puts_its_job_back(start: Call, done: Call, copy_of: Call, long: tuple[Path, Path]) -> None:
    """In every stage there is."""
    folder = copy_of(long[0])
    for pattern, number in ((SAVED[0], signal.SIGINT), (SAVED[2], signal.SIGTERM)):
        child = start_until(start, folder, pattern)
        child.send_signal(number)
        _, err = child.communicate()
        assert child.returncode == 130, err
        assert states(folder) == {"1": "queued"}
        assert list(workers.queue_folder(Workspace(folder)).iterdir()) == []
        (saved,) = folder.glob(pattern)
        assert saved.stat().st_size
    done(folder, "work")
    assert by_prompt(folder) == by_prompt(long[1])


@pytest.mark.slow
def test_a_killed_workers_job_is_interrupted_and_goes_on(
    start: Call, done: Call, copy_of: Call, long: tuple[Path, Path]
) -> None:
    folder = copy_of(long[0])
    for pattern, command in ((SAVED[1], "resume"), (SAVED[2], "retry")):
        child = start_until(start, folder, pattern)
        child.kill()
        child.communicate()
        assert states(folder) == {"1": "interrupted"}
        (saved,) = folder.glob(pattern)
        reached = read_tensors(saved, "latents")[1]["done"]
        assert reached >= 50
        assert "interrupted" in done(folder, "queue", "ls").out
        assert "(interrupted); `tav queue resume 1` goes on" in done(folder, "show", "1").err
        assert done(folder, "--json", "ls").json()[0]["state"] == "interrupted"
        assert done(folder, "work").out == ""  # nobody has asked for it again
        done(folder, "queue", command, "1")
    said = done(folder, "work")
    assert by_prompt(folder) == by_prompt(long[1])
    assert states(folder) == {"1": "done"}
    assert list(workers.queue_folder(Workspace(folder)).iterdir()) == []
    assert f"{reached}/52" not in said.err


def test_a_stop_between_two_jobs_gives_back_what_was_taken(
    done: Call, edited: Path, copy_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: the job is taken, and nothing of it begun."""
    folder = copy_of(edited)
    done(folder, "queue", "add", "a dog is skiing")
    monkeypatch.setattr(Consumer, "begin", lambda *_: signal.raise_signal(signal.SIGTERM))
    from tavcli.commands.app import run

    os.chdir(folder)
    assert run(["work"]) == 130
    assert states(folder)["2"] == "queued"


def test_a_worker_that_watches_does_what_is_queued_later(start: Call, done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    child = start(folder, "work", "--watch")
    wait_for(lambda: workers.living_workers(Workspace(folder)), child)
    said = done(folder, "queue", "add", "a dog is skiing")
    assert "tav work" not in said.err
    wait_for(lambda: states(folder)["2"] == "done", child)
    child.send_signal(signal.SIGTERM)
    assert child.wait() == 130
    assert states(folder) == {"1": "done", "2": "done"}


def test_a_second_worker_waits_for_the_device(done: Call, tav: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    done(folder, "queue", "add", "a dog is skiing")
    events = worker(folder).run()
    next(event for event in events if isinstance(event, SampleStep))
    done(folder, "queue", "add", "a fox is skiing")
    said = tav(folder, "--no-wait", "work")
    assert said.code == 1
    assert f"another worker has the cpu (process {os.getpid()})" in said.err
    assert states(folder)["2"] == "running"
    for _ in events:
        pass
    assert set(states(folder).values()) == {"done"}
