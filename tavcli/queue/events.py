"""Events of a worker: a job starts, a job ends, a job that runs beside others says something."""

from dataclasses import dataclass
from typing import Any

from tavcli.queue.jobs import State
from tavcli.workspace.folder import Workspace


@dataclass(frozen=True)
class JobStarted:
    """A worker starts a job."""

    workspace: Workspace
    name: str
    title: str


@dataclass(frozen=True)
class JobEvent:
    """An event of one job, where several run at once."""

    workspace: Workspace
    name: str
    event: Any


@dataclass(frozen=True)
class JobEnded:
    """A job ends: `state` as the queue has it, `message` and `hint` of a failure."""

    workspace: Workspace
    name: str
    state: State
    seconds: float
    message: str = ""
    hint: str = ""
