"""A job as a task on a machine of the cluster, which has the same tav and sees the workspace at the same path."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tav
from tav.errors import TavError
from tav.events import InvertStep, SampleStep
from tavcli.config.files import Layer
from tavcli.events import Note, RunEvent, Step
from tavcli.interrupts import Interrupted, interrupts
from tavcli.queue.jobs import Job
from tavcli.worker.execution import attended, failure, session_of, starts_whole
from tavcli.workspace.edits import Edit
from tavcli.workspace.folder import Workspace
from tavcli.workspace.model_cache import ModelCache


@dataclass(frozen=True)
class Outcome:
    """The last thing a task yields. `seconds`, `whole` and `told` are those of `Consumer.end`; stopped: by the user."""

    state: Literal["done", "failed", "stopped"]
    seconds: float
    whole: bool = False
    told: dict[str, str] = field(default_factory=dict)


def perform(version: str, folder: str, id_: str, flags: Layer) -> Iterator[RunEvent | Edit | Outcome]:
    """Do one job of the workspace at `folder`, sent by a tav of this version. Of the queue it reads only the user's
    wishes.

    Yields the events of the job's stages, without latents, and an Outcome at the end.
    """
    began, whole = time.monotonic(), False
    # The command that `locks` shows to processes that wait for this one.
    sys.argv[1:] = ["work", "--ray"]
    # As in commands.app.main.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    yield Note(f"on {socket.gethostname()}, process {os.getpid()}")
    try:
        job = _seen(version, Job(Workspace(Path(folder)), Path(folder) / id_))
        session = session_of(job, flags, ModelCache())
        session.previews = True
        whole = starts_whole(session, job)
        for event in attended(session, job):
            yield Step(event.step, event.total) if isinstance(event, InvertStep | SampleStep) else event
        yield Outcome("done", time.monotonic() - began, whole)
    except Interrupted:
        yield Outcome("stopped", time.monotonic() - began)
    except Exception as error:
        yield Outcome("failed", time.monotonic() - began, told=failure(error))
    finally:
        interrupts.answered()  # the process may get another task


def _seen(version: str, job: Job) -> Job:
    """The job, if this machine can do it. Raises TavError if not."""
    here = socket.gethostname()
    if tav.__version__ != version:
        raise TavError(f"{here} has tav {tav.__version__}, not {version}", "install the same on all nodes")
    if not job.folder.is_dir():
        raise TavError(f"{here} does not see {job.folder}", "workspaces have to be on a path that all nodes share")
    return job
