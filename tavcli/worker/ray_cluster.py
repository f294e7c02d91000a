"""`tav work --ray`: the same jobs on a Ray cluster. Ray schedules them, each as a task with one GPU, else one core.

Of the queues, this process alone takes jobs: as many as can run at once. It reports on all of them. A task does its job
in the workspace, at a path that every machine sees, and streams its events back.
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

# Seconds between two readings of the queues, and of what the user wants cancelled or paused.
_LOOK = 0.5
# Seconds that a task has to save and stop; then it is killed, and a retry goes on from its last save.
_GRACE = 60
_FROM = "HOST:PORT as `ray start --head` told, from a machine of the cluster; `local` for this machine alone"
_WISHES: dict[str, State] = {"cancel": "cancelled", "pause": "paused", "stop": "queued"}


@dataclass(eq=False)
class Run:
    """A job given to Ray: if its task has `started`, how it ended or was `lost`, and when it was `asked` to stop."""

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

    Without an address it is the cluster that this machine belongs to, else this machine alone, as for `local`.
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
                self._consumer_of(workspace, held)
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
        """Give Ray as many jobs as the cluster can run at once: jobs that stay in the queue can still be moved."""
        while not interrupts.stopping and len(self._runs) < self._most and (taken := self._taken(held)):
            consumer, job = taken
            yield JobStarted(job.workspace, job.name, summary(job).title)
            consumer.begin(job)
            self._runs.append(Run(consumer, job, self._task(job)))
        for consumer in self._consumers:
            if not consumer.status.job:
                consumer.idle()

    def _taken(self, held: contextlib.ExitStack) -> tuple[Consumer, Job] | None:
        """The next job, from the first queue that has one, with its consumer."""
        for workspace in self.workspaces:
            if Queue(workspace).waits():
                consumer = self._consumer_of(workspace, held)
                if job := consumer.take():
                    return consumer, job
        return None

    def _consumer_of(self, workspace: Workspace, held: contextlib.ExitStack) -> Consumer:
        """A consumer of the workspace that has no job, made if there is none: every running job has its own."""
        for consumer in self._consumers:
            if consumer.queue.workspace == workspace and not consumer.status.job:
                return consumer
        self._consumers.append(open_consumer(workspace, self._device, held))
        return self._consumers[-1]

    def _task(self, job: Job) -> Any:
        """The stream of what `ray_task.perform` yields for the job."""
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
        """How many tasks run at once; at least one, since Ray may add a machine for a waiting task."""
        resources = self._ray.cluster_resources()
        return max(1, int(resources.get("GPU" if self._device == "cuda" else "CPU", 0)))

    # Events of the tasks ----------------------------------------------------------------------------------------------

    def _listen(self) -> Iterator[JobEvent | JobEnded]:
        """Pass on the tasks' events until a task has ended, or it is time to read the queues again."""
        for run in self._runs:
            self._stop_on_request(run)
        count, until = len(self._runs), time.monotonic() + _LOOK
        while len(self._runs) == count and (left := until - time.monotonic()) > 0:
            ready, _ = self._ray.wait([run.stream for run in self._runs], num_returns=1, timeout=left)
            for run in [run for run in self._runs if run.stream in ready]:
                # Moved to the end, so that a task with many events does not keep the others waiting.
                self._runs.remove(run)
                self._runs.append(run)
                yield from self._next_event(run)

    def _next_event(self, run: Run) -> Iterator[JobEvent | JobEnded]:
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

    def _stop_on_request(self, run: Run) -> None:
        """Kill a task that the user wants stopped, unless it has started and stops by itself within `_GRACE`."""
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
    """The state of a job that did not end by itself: stopped by the user, or lost with its process or machine."""
    wish = run.consumer.queue.wished(run.job)
    if run.lost and not wish:
        hint = f"`tav queue retry {run.job.name}` goes on from what was saved"
        return "interrupted", {"error": run.lost, "hint": hint}
    return _WISHES.get(wish, "queued"), {}


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """The module `ray`, connected to the cluster until the block ends."""
    # Ray reports its use to its makers, unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise TavError("Ray is not installed", 'pip install "tav[cluster]"') from None
    _refuse_dead(address or os.environ.get("RAY_ADDRESS", "auto"))
    on_term = signal.getsignal(signal.SIGTERM)
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    # On stdout, which is for data, Ray reports every process that dies.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            ray.init(address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise TavError(f"no Ray cluster: {_told(error)}", _FROM) from None
        finally:
            signal.signal(signal.SIGTERM, on_term)  # Ray installs a handler of its own
        try:
            yield ray
        finally:
            ray.shutdown()


def _refuse_dead(address: str) -> None:
    """Raise TavError for an invalid address, or one that does not answer: Ray would try for many minutes."""
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
    """Ray's message, without its advice."""
    cause = getattr(error, "cause", None) or error
    return str(cause).strip().split("\n")[0].split(". ")[0] or type(cause).__name__
