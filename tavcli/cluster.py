"""`tav work --ray`: the same jobs on a Ray cluster, each one task with one GPU (without any, one core). Ray schedules.

This process alone touches the queues: it claims as many jobs as can run at once, and tells of all of them. A task does
its job in the workspace, on a path that every machine sees, and streams back what it says.
"""

import contextlib
import io
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tav
from tav.errors import SettingsError, TavError
from tav.events import InvertStep, SampleStep
from tavcli import presence
from tavcli.desks import Desk
from tavcli.edits import Edit
from tavcli.interrupts import Interrupted, interrupts
from tavcli.jobs import Began, Ended, Job, Of, State
from tavcli.performing import attended, failure, session_of, starts_whole
from tavcli.presence import Status
from tavcli.queue import Queue
from tavcli.session import Note, RunEvent, Step
from tavcli.settings import Layer
from tavcli.warm import Warm
from tavcli.workspace import Workspace

# Seconds between two looks: into the queues, and for wishes.
_LOOK = 0.5
# Seconds for a task to save and stop when it was asked to; then it is killed, and goes on from its last save some day.
_GRACE = 60
_FROM = "HOST:PORT as `ray start --head` told, from a machine of the cluster; `local` for this machine alone"
_WISHES: dict[str, State] = {"cancel": "cancelled", "pause": "paused", "stop": "queued"}


@dataclass(frozen=True)
class Outcome:
    """What a task says last. `seconds` and `whole` as in `Desk.end`; `told` of a failure."""

    state: Literal["done", "failed", "stopped"]
    seconds: float = 0.0
    whole: bool = False
    told: dict[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """A job that Ray has, and what is known of it here."""

    desk: Desk
    job: Job
    stream: Any
    began: float = field(default_factory=time.monotonic)
    started: bool = False
    outcome: Outcome | None = None
    lost: str = ""
    asked: float | None = None
    killed: bool = False


@dataclass
class Cluster:
    """Does the jobs of `workspaces` on the cluster at `address`; `watch` as in a Worker.

    Without an address it is the cluster that this machine is in, else one of this machine alone, as for `local`.
    """

    workspaces: list[Workspace]
    flags: Layer
    address: str | None = None
    watch: bool = False
    _ray: Any = None
    _desks: list[Desk] = field(default_factory=list)
    _runs: list[Run] = field(default_factory=list)

    def run(self) -> Iterator[Of | Began | Ended]:
        """Work until the queues are empty or, watching, until the program is stopped."""
        with _connected(self.address) as self._ray, contextlib.ExitStack() as held, interrupts.deferred():
            for workspace in self.workspaces:
                self._desk(workspace, held)
            while not interrupts.pending or self._runs:
                yield from self._submit(held)
                if self._runs:
                    yield from self._listen()
                elif self.watch:
                    time.sleep(_LOOK)
                else:
                    return

    # Giving jobs to Ray -----------------------------------------------------------------------------------------------

    def _submit(self, held: contextlib.ExitStack) -> Iterator[Began]:
        """As many as the cluster can run at once: the others stay in the queue, where their order can be changed."""
        while not interrupts.pending and len(self._runs) < self._most:
            waiting = [workspace for workspace in self.workspaces if Queue(workspace).waits()]
            desks = (self._desk(workspace, held) for workspace in waiting)
            desk, job = next(((desk, job) for desk in desks if (job := desk.take())), (None, None))
            if desk is None or job is None:
                break
            yield Began(job.workspace, job.name, desk.title(job))
            desk.begin(job)
            self._runs.append(Run(desk, job, self._task(job)))
        for desk in self._desks:
            if not desk.status.job:
                desk.rest()

    def _desk(self, workspace: Workspace, held: contextlib.ExitStack) -> Desk:
        """One of the workspace where nobody sits: every running job has its own."""
        for desk in self._desks:
            if desk.queue.workspace == workspace and not desk.status.job:
                return desk
        status = Status(held.enter_context(presence.present(workspace)), device=self._device)
        self._desks.append(Desk(Queue(workspace), status))
        self._desks[-1].rest()
        return self._desks[-1]

    def _task(self, job: Job) -> Any:
        """Its stream of what `_perform` yields."""
        needs = {"num_gpus": 1, "num_cpus": 0} if self._device == "cuda" else {"num_cpus": 1}
        task = self._ray.remote(_perform).options(**needs, max_retries=0, num_returns="streaming", name=f"tav {job.id}")
        return task.remote(tav.__version__, str(job.workspace.folder), job.id, self.flags | {"device": self._device})

    @property
    def _device(self) -> str:
        """Where tasks compute: on the GPUs, if the cluster has any."""
        wanted = str(self.flags.get("device", "auto"))
        gpus = self._ray.cluster_resources().get("GPU", 0)
        if wanted == "cuda" and not gpus:
            raise SettingsError("the cluster has no GPU", "without --device cuda it computes on its cores")
        return wanted if wanted != "auto" else "cuda" if gpus else "cpu"

    @property
    def _most(self) -> int:
        """How many tasks run at once; at least one is given to Ray, which may be getting a machine for it."""
        resources = self._ray.cluster_resources()
        return max(1, int(resources.get("GPU" if self._device == "cuda" else "CPU", 0)))

    # Hearing of them --------------------------------------------------------------------------------------------------

    def _listen(self) -> Iterator[Of | Ended]:
        """Pass on what the tasks say until one has ended, or it is time to look into the queues again."""
        for run in self._runs:
            self._heed(run)
        count, until = len(self._runs), time.monotonic() + _LOOK
        while len(self._runs) == count and (left := until - time.monotonic()) > 0:
            ready, _ = self._ray.wait([run.stream for run in self._runs], num_returns=1, timeout=left)
            for run in [run for run in self._runs if run.stream in ready]:
                # To the end of the line, so that one who says much does not keep the others from being heard.
                self._runs.remove(run)
                self._runs.append(run)
                yield from self._hear(run)

    def _hear(self, run: Run) -> Iterator[Of | Ended]:
        try:
            said = self._ray.get(next(run.stream))
        except StopIteration:
            self._runs.remove(run)
            yield self._ended(run)
            return
        except self._ray.exceptions.RayError as error:
            run.lost = _last_line(error)
            return
        run.started = True
        if isinstance(said, Outcome):
            run.outcome = said
        else:
            run.desk.tell(said)
            yield Of(run.job.workspace, run.job.name, said)

    def _heed(self, run: Run) -> None:
        """What is wished of the job its task sees by itself, once it has started; if it does not stop, it is killed."""
        queue, now = run.desk.queue, time.monotonic()
        if interrupts.pending:
            queue.stop(run.job)
        if not queue.wished(run.job):
            run.asked = None
            return
        run.asked = run.asked or now
        if not run.killed and (not run.started or now - run.asked > _GRACE):
            run.killed = True
            self._ray.cancel(run.stream, force=True)

    def _ended(self, run: Run) -> Ended:
        outcome = run.outcome or Outcome("stopped", time.monotonic() - run.began)
        wish = run.desk.queue.wished(run.job)
        state: State
        told = outcome.told
        if outcome.state != "stopped":
            state = outcome.state
        elif wish or not run.lost:
            state = _WISHES.get(wish, "queued")
        else:
            state = "interrupted"
            told = {"error": run.lost, "hint": f"`tav queue retry {run.job.name}` goes on from what was saved"}
        return run.desk.end(run.job, state, outcome.seconds, outcome.whole, told)


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray's module, connected to the cluster until the end."""
    # It is to tell nobody of its use.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise TavError("Ray is not installed", 'pip install "tav[cluster]"') from None
    _refuse_dead(address or os.environ.get("RAY_ADDRESS", "auto"))
    on_term = signal.getsignal(signal.SIGTERM)
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    # On stdout, which is for data, it tells of every process that dies.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            ray.init(address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise TavError(f"no Ray cluster: {_last_line(error)}", _FROM) from None
        finally:
            signal.signal(signal.SIGTERM, on_term)  # Ray takes it for itself
        try:
            yield ray
        finally:
            ray.shutdown()


def _refuse_dead(address: str) -> None:
    """Raise TavError for what is no address, or does not answer: Ray would try for many minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if "/" in host or not host or not port.isdecimal():
        raise SettingsError(f"{address} is not HOST:PORT", _FROM)
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise TavError(f"no Ray cluster at {address}: {error}", _FROM) from None


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__


# On the cluster ---------------------------------------------------------------------------------------------------


def _perform(version: str, folder: str, id_: str, flags: Layer) -> Iterator[RunEvent | Edit | Outcome]:
    """A task: do one job to its end. Of the queue it sees the wishes alone."""
    began, whole = time.monotonic(), False
    # For whoever waits for what is being written here.
    sys.argv[1:] = ["work", "--ray"]
    # As in tavcli.app.main.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    yield Note(f"on {socket.gethostname()}, process {os.getpid()}")
    try:
        job = _seen(version, Job(Workspace(Path(folder)), Path(folder) / id_))
        session = session_of(job, flags, Warm())
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
    """The job, if this machine can do it. Raises TavError."""
    here = socket.gethostname()
    if tav.__version__ != version:
        raise TavError(f"{here} has tav {tav.__version__}, not {version}", "install the same on all nodes")
    if not job.folder.is_dir():
        raise TavError(f"{here} does not see {job.folder}", "workspaces have to be on a path that all nodes share")
    return job
