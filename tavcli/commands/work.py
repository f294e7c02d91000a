"""`tav work`: the worker, in the foreground."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from tav.errors import SettingsError, TavError
from tavcli.commands.console import Output
from tavcli.commands.options import Options
from tavcli.queue.events import JobEnded
from tavcli.queue.queue import Queue
from tavcli.text import printable
from tavcli.worker.local import Worker
from tavcli.worker.ray_cluster import Cluster
from tavcli.workspace.folder import Workspace, below


def work(
    context: typer.Context,
    address: Annotated[
        str | None,
        typer.Argument(metavar="ADDRESS", help="With --ray: HOST:PORT of the cluster; local: one of this machine."),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="On a Ray cluster, by default the one that this machine is in, else local.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and do what is queued later.")] = False,
) -> None:
    """Do what is queued, in this workspace or in all those under this folder. Ctrl-C saves; `tav work` goes on."""
    if address and not ray:
        raise SettingsError(f"{address} is an address of a cluster", f"tav work --ray {address}")
    options: Options = context.obj
    out = Output(options)
    workspaces = _workspaces(options)
    worker: Worker | Cluster = Worker(workspaces, options.flags(), watch, wait=not options.no_wait)
    if ray:
        worker = Cluster(workspaces, options.flags(), address, watch)
    if options.dry_run:
        waiting = [row for workspace in workspaces for row in Queue(workspace).rows() if row.state == "queued"]
        out.result([row.name for row in waiting], [f"{row.name}\t{printable(row.summary.title)}" for row in waiting])
        return
    with closing(worker.run()) as events:  # at once, also when what stops it comes from here
        ended = [event for event in out.follow(events) if isinstance(event, JobEnded)]
    failed = [one for one in ended if one.state in ("failed", "interrupted")]
    data = [{"workspace": str(one.workspace.folder), "job": one.name, "state": one.state} for one in ended]
    out.result(data)
    if failed:
        names = ", ".join(one.name for one in failed)
        raise TavError(f"failed: {names}", "`tav queue ls` says why, `tav queue retry` does them again")


def _workspaces(options: Options) -> list[Workspace]:
    """That of the call or, where there is a choice, all of them."""
    try:
        return [options.workspace()]
    except SettingsError:
        found = [] if options.folder else below(Path.cwd())
        if not found:
            raise
        return found
