"""What a worker says of its jobs: one starts, one ends, one of several speaks."""

from dataclasses import dataclass
from typing import Any

from tavcli.queue.jobs import State
from tavcli.workspace.folder import Workspace


@dataclass(frozen=True)
class JobStarted:
    """A job is taken."""

    workspace: Workspace
    name: str
    title: str


@dataclass(frozen=True)
class JobEvent:
    """What one of several jobs that run at once says."""

    workspace: Workspace
    name: str
    event: Any


@dataclass(frozen=True)
class JobEnded:
    """A job is done, or not: `state` as the queue has it, `message` and `hint` of a failure."""

    workspace: Workspace
    name: str
    state: State
    seconds: float
    message: str = ""
    hint: str = ""
