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
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import tav
from tav.errors import SettingsError, TavError
from tavcli.config.files import Layer
from tavcli.interrupts import interrupts
from tavcli.queue.events import JobEnded, JobEvent, JobStarted
from tavcli.queue.jobs import Job, State
from tavcli.queue.queue import Queue
from tavcli.queue.summary import summary
from tavcli.worker import ray_task
from tavcli.worker.consumer import Consumer, open_consumer
from tavcli.worker.ray_task import Outcome
from tavcli.workspace.folder import Workspace

# Seconds between two looks: into the queues, and for wishes.
_LOOK = 0.5
# Seconds for a task to save and stop when it was asked to; then it is killed, and goes on from its last save some day.
_GRACE = 60
_FROM = "HOST:PORT as `ray start --head` told, from a machine of the cluster; `local` for this machine alone"
_WISHES: dict[str, State] = {"cancel": "cancelled", "pause": "paused", "stop": "queued"}


@dataclass(eq=False)
class Run:
    """A job that Ray has: whether its task has `started`, how it ended or was `lost`, when it was `asked` to stop."""

    consumer: Consumer
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
    _consumers: list[Consumer] = field(default_factory=list)
    _runs: list[Run] = field(default_factory=list)

    def run(self) -> Generator[JobEvent | JobStarted | JobEnded, None, None]:
        """Work until the queues are empty or, watching, until the program is stopped."""
        with _connected(self.address) as self._ray, contextlib.ExitStack() as held, interrupts.deferred():
            for workspace in self.workspaces:
                self._desk(workspace, held)
            while not interrupts.stopping or self._runs:
                yield from self._submit(held)
                if self._runs:
                    yield from self._listen()
                elif self.watch:
                    time.sleep(_LOOK)
                else:
                    return

    # Giving jobs to Ray -----------------------------------------------------------------------------------------------

    def _submit(self, held: contextlib.ExitStack) -> Iterator[JobStarted]:
        """As many as the cluster can run at once: the others stay in the queue, where their order can be changed."""
        while not interrupts.stopping and len(self._runs) < self._most and (taken := self._taken(held)):
            consumer, job = taken
            yield JobStarted(job.workspace, job.name, summary(job).title)
            consumer.begin(job)
            self._runs.append(Run(consumer, job, self._task(job)))
        for consumer in self._consumers:
            if not consumer.status.job:
                consumer.idle()

    def _taken(self, held: contextlib.ExitStack) -> tuple[Consumer, Job] | None:
        """The next job, from the first queue that has one."""
        for workspace in self.workspaces:
            if Queue(workspace).waits():
                consumer = self._desk(workspace, held)
                if job := consumer.take():
                    return consumer, job
        return None

    def _desk(self, workspace: Workspace, held: contextlib.ExitStack) -> Consumer:
        """One of the workspace where nobody sits: every running job has its own."""
        for consumer in self._consumers:
            if consumer.queue.workspace == workspace and not consumer.status.job:
                return consumer
        self._consumers.append(open_consumer(workspace, self._device, held))
        return self._consumers[-1]

    def _task(self, job: Job) -> Any:
        """Its stream of what `tasks.perform` yields."""
        needs = {"num_gpus": 1, "num_cpus": 0} if self._device == "cuda" else {"num_cpus": 1}
        how = {"max_retries": 0, "num_returns": "streaming", "name": f"tav {job.id}"}
        task = self._ray.remote(ray_task.perform).options(**needs, **how)
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

    def _listen(self) -> Iterator[JobEvent | JobEnded]:
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

    def _hear(self, run: Run) -> Iterator[JobEvent | JobEnded]:
        try:
            said = self._ray.get(next(run.stream))
        except StopIteration:
            self._runs.remove(run)
            yield self._ended(run)
            return
        except self._ray.exceptions.RayError as error:
            run.lost = _told(error)
            return
        run.started = True
        if isinstance(said, Outcome):
            run.outcome = said
        else:
            run.consumer.report(said)
            yield JobEvent(run.job.workspace, run.job.name, said)

    def _heed(self, run: Run) -> None:
        """What is wished of the job its task sees by itself, once it has started; if it does not stop, it is killed."""
        queue, now = run.consumer.queue, time.monotonic()
        if interrupts.stopping:
            queue.stop(run.job)
        if not queue.wished(run.job):
            run.asked = None
            return
        run.asked = run.asked or now
        if not run.killed and (not run.started or now - run.asked > _GRACE):
            run.killed = True
            self._ray.cancel(run.stream, force=True)

    def _ended(self, run: Run) -> JobEnded:
        outcome = run.outcome or Outcome("stopped", time.monotonic() - run.began)
        state, told = (outcome.state, outcome.told) if outcome.state != "stopped" else _stopped(run)
        return run.consumer.end(run.job, state, outcome.seconds, outcome.whole, told)


def _stopped(run: Run) -> tuple[State, dict[str, str]]:
    """The state of a job that did not come to its end: by somebody's wish, or lost with its process or machine."""
    wish = run.consumer.queue.wished(run.job)
    if run.lost and not wish:
        hint = f"`tav queue retry {run.job.name}` goes on from what was saved"
        return "interrupted", {"error": run.lost, "hint": hint}
    return _WISHES.get(wish, "queued"), {}


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray's module, connected to the cluster until the end."""
    # Ray reports its use to its makers, unless told not to.
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
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise TavError(f"no Ray cluster: {_told(error)}", _FROM) from None
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


def _told(error: Exception) -> str:
    """What Ray says, without its advice."""
    cause = getattr(error, "cause", None) or error
    return str(cause).strip().split("\n")[0].split(". ")[0] or type(cause).__name__
