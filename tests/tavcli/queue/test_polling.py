"""Following a queue: the same rows as its own, without reading them while nothing happens."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tav.errors import SettingsError
from tavcli.queue import polling
from tavcli.queue.jobs import JobRequest
from tavcli.queue.polling import QueuePoller
from tavcli.queue.queue import INDEX, Queue, Row
from tavcli.workspace.folder import SETTINGS, Workspace

NEVER = float("inf")


class Counting(Queue):
    """Counts how often its rows are read."""

    read = 0

    def rows(self) -> list[Row]:
        self.read += 1
        return super().rows()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / SETTINGS).touch()
    return Workspace(tmp_path)


def request(number: int) -> JobRequest:
    return JobRequest("tune", {"caption": f"a cat {number}", "base": "b"})


def test_whatever_is_done_is_seen(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: neither the time after which all is read again, nor a pause between two changes is needed."""
    monkeypatch.setattr(polling, "_LOOK_AGAIN", NEVER)
    queue, chance = Queue(workspace), random.Random(5)
    follower = QueuePoller(Queue(workspace))
    changes: list[Callable[[str], object]] = [
        lambda name: queue.cancel([name]),
        lambda name: queue.pause([name]),
        lambda name: queue.resume([name]),
        lambda name: queue.retry([name]),
        lambda name: queue.move([name], 1),
        lambda _: queue.claim(""),
        lambda _: queue.add([request(chance.randrange(1000))]),
        lambda name: shutil.rmtree(queue.job(queue.find(name)).folder),
        lambda _: (workspace.folder / INDEX).unlink(missing_ok=True),
    ]
    queue.add(map(request, range(5)))
    for _ in range(200):
        name = chance.choice([row.name for row in queue.rows()] or ["none"])
        try:
            chance.choice(changes)(name)
        except SettingsError:  # not in this state
            continue
        assert follower.rows() == tuple(queue.rows())
        assert follower.waits() == any(row.state == "queued" for row in queue.rows())


def test_nothing_is_read_while_nothing_happens(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "_LOOK_AGAIN", NEVER)
    queue = Counting(workspace)
    queue.add(map(request, range(5)))
    follower = QueuePoller(queue)
    for path in follower._places:  # as if the changes were older than what may have the same time
        if path.exists():
            os.utime(path, (1e9, 1e9))
    first = follower.rows()
    assert all(follower.rows() is first for _ in range(100))
    assert queue.read == 1
    follower.forget()
    assert follower.rows() == first
    assert queue.read == 2


def test_what_no_file_says_is_seen_after_a_while(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "_LOOK_AGAIN", -1.0)
    queue = Counting(workspace)
    queue.add([request(0)])
    follower = QueuePoller(queue)
    follower.rows()
    follower.rows()
    assert queue.read == 2


def test_rows_that_have_not_changed_are_the_same_objects(workspace: Workspace) -> None:
    """So a list of thousands is compared, and what is drawn of them is found again, at no cost."""
    queue = Queue(workspace)
    queue.add(map(request, range(20)))
    before = {row.name: row for row in queue.rows()}
    queue.cancel(["tune-7"])
    changed = {row.name for row in queue.rows() if before[row.name] is not row}
    assert changed == {"tune-7"}
