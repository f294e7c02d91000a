"""Deleted jobs: their folders lie in the workspace's `trash/` until `tav clean`, and come back as they were."""

from pathlib import Path

from tav.errors import SettingsError
from tavcli.queue.jobs import Job
from tavcli.queue.queue import Queue
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import SOON, locked


def throw_away(queue: Queue, name: str) -> Path:
    """Move a job's folder to the trash; what waits is cancelled by that. Raises SettingsError for one that runs."""
    row = queue.find(name)
    if row.state == "running":
        raise SettingsError(f"job {row.name} is running", "cancel it first")
    job, workspace = queue.job(row), queue.workspace
    with locked(workspace, "queue", SOON), locked(workspace, "edits", SOON):  # in this order, as who adds
        place = workspace.trash / f"{job.folder.parent.name}-{job.folder.name}"
        place.parent.mkdir(exist_ok=True)
        if job.state == "running":  # taken just now
            raise SettingsError(f"job {row.name} is running", "cancel it first")
        job.folder.replace(place)
    return place


def bring_back(workspace: Workspace, place: Path) -> Job:
    """Put what was thrown away back where it was, in the state it had."""
    parent, name = place.name.split("-", 1)
    with locked(workspace, "edits", SOON):
        folder = workspace.folder / parent / name
        if folder.exists():
            raise SettingsError(f"{parent}/{name} is there again", f"what was deleted is {place}")
        place.replace(folder)
    return Job(workspace, folder)
