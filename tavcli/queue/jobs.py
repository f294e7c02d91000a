"""Jobs on disk: what is to be made, by which settings, and how far it is. The files are the truth, the queue an index.

A job is a folder: an edit's own (`edits/0007-a-cat`, its recipe in edit.toml), or `jobs/0001-tune` for what makes no
edit. Its `job.json` has the settings as they were when it was queued, and its state; the video alone says "done".
"""

import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, get_args

import tomlkit
from pydantic import ConfigDict, Field

import tav
from tav.atomic import remove_leftovers, temporary_sibling, write_text
from tav.errors import SettingsError
from tav.formats import FORMAT
from tav.settings import Settings, parse
from tavcli.config.files import read_json
from tavcli.workspace.edits import JOB, NUMBERED, QUEUED, RECIPE, VIDEO, Edit, folder_name, free_number
from tavcli.workspace.fingerprint import key
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import SOON, locked, somebody_has

Kind = Literal["edit", "tune", "invert"]
State = Literal["queued", "running", "paused", "done", "failed", "cancelled", "interrupted"]
# States in which a job waits for somebody, or works.
OPEN: tuple[State, ...] = ("running", "queued", "paused")


class JobRecord(Settings):
    """What job.json says. `position` orders the queue; `seconds` is the forecast, `took` what it really took;
    `request` is the key of the Request it came from."""

    model_config = ConfigDict(extra="ignore")

    format: int = Field(default=FORMAT, ge=1, le=FORMAT)
    kind: Kind
    state: State
    position: float = 0.0
    queued: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    request: str = ""
    seconds: float | None = None
    worker: str = ""
    device: str = ""
    began: str = ""
    took: float | None = None
    error: str = ""
    hint: str = ""


@dataclass(frozen=True)
class JobRequest:
    """A job to be: its kind, the settings in force for it (as JSON), of an edit the recipe as far as it is known."""

    kind: Kind
    settings: dict[str, Any]
    recipe: dict[str, Any] | None = None
    seconds: float | None = None

    @property
    def key(self) -> str:
        """Equal for requests that would make the same."""
        return key(self.kind, {"settings": self.settings, "recipe": self.recipe or {}})


@dataclass(frozen=True)
class Job:
    """One job's folder."""

    workspace: Workspace
    folder: Path

    @property
    def id(self) -> str:
        """Its folder from the workspace: `edits/0007-a-cat`."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def number(self) -> int:
        return int(self.folder.name.split("-")[0])

    @property
    def edit(self) -> Edit | None:
        """The edit that it makes, if it is one."""
        return Edit(self.folder) if self.folder.parent == self.workspace.edits else None

    @property
    def kind(self) -> Kind:
        """As its folder's name has it, since job.json may be unreadable."""
        word = self.folder.name.split("-")[-1]
        known: tuple[Kind, ...] = get_args(Kind)
        return "edit" if self.edit else next((kind for kind in known if kind == word), "tune")

    @property
    def name(self) -> str:
        """What people call it: an edit by its number, others like `tune-1`."""
        return str(self.number) if self.edit else f"{self.kind}-{self.number}"

    @property
    def stamp(self) -> str | None:
        """Another one whenever what its files say of its state may be otherwise; None if it is no job."""
        place = str(self.folder)  # paths are slow: a thousand jobs are asked at once
        queued, edit = _stamp(f"{place}/{JOB}"), self.edit
        if edit is None:
            return queued
        if queued:
            return f"{queued} {os.path.isfile(f'{place}/{VIDEO}')}"  # noqa: PTH113
        # One that was never queued may be in the making, which no file of its own says.
        recipe = _stamp(f"{place}/{RECIPE}")
        return recipe and f"{recipe} {self.state}"

    @property
    def record(self) -> JobRecord | None:
        """None for an edit that was never queued, or when the file is no more what tav wrote."""
        try:
            return parse(JobRecord, read_json(self.folder / JOB), JOB)
        except SettingsError:
            return None

    @property
    def state(self) -> State:
        """By its files. `running` is what its worker said last: whether that lives, the queue knows."""
        edit, record = self.edit, self.record
        if edit and edit.done:
            return "done"
        if record is None:
            busy = edit is not None and somebody_has(self.workspace, f"edit-{self.number:04d}")
            return "running" if busy else "interrupted"
        lost = edit is not None and record.state == "done"
        return "interrupted" if lost or (record.state == "running" and not record.worker) else record.state

    def write(self, **changes: Any) -> JobRecord:
        """Change what job.json says. An edit that was never queued is so from now on."""
        record = self.record or JobRecord(kind=self.kind, state="interrupted")
        changed = record.model_copy(update=changes)
        write_text(self.folder / JOB, changed.model_dump_json(indent=1))
        return changed


def stamped(workspace: Workspace) -> dict[str, tuple[str, Job]]:
    """Every job by its id, with its stamp."""
    places = (path for parent in (workspace.edits, workspace.jobs) for path in _entries(parent))
    found = (Job(workspace, path) for path in places if NUMBERED.match(path.name))
    return {job.id: (stamp, job) for job in found if (stamp := job.stamp) is not None}


def _entries(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.is_dir() else ()


def _stamp(file: str) -> str | None:
    """None if there is no such file."""
    try:
        found = os.stat(file)  # noqa: PTH116
    except OSError:
        return None
    return f"{found.st_mtime_ns} {found.st_ino} {found.st_size}"


def create(workspace: Workspace, requests: Iterable[JobRequest], first: float) -> list[Job]:
    """Write each request into a folder of its own, queued, in this order from position `first` on."""
    with locked(workspace, "edits", SOON):
        for parent in (workspace.edits, workspace.jobs):
            parent.mkdir(exist_ok=True)
            remove_leftovers(parent)
        edits = count(free_number(workspace.edits, workspace.trash))
        others = count(free_number(workspace.jobs, workspace.trash))
        made = []
        for position, request in enumerate(requests):
            if request.recipe is None:
                folder = workspace.jobs / folder_name(next(others), request.kind)
            else:
                folder = workspace.edits / folder_name(next(edits), str(request.recipe["prompt"]))
            _create(folder, request, first + position)
            made.append(Job(workspace, folder))
        return made


def _create(folder: Path, request: JobRequest, position: float) -> None:
    record = JobRecord(
        kind=request.kind,
        state="queued",
        position=position,
        queued=time.strftime("%Y-%m-%d %H:%M:%S"),
        settings=request.settings,
        request=request.key,
        seconds=request.seconds,
    )
    building = temporary_sibling(folder)
    try:
        building.mkdir()
        if request.recipe is not None:
            head = {"tav": tav.__version__, "format": FORMAT, **QUEUED}
            (building / RECIPE).write_text(tomlkit.dumps(head | request.recipe), encoding="utf-8")
        (building / JOB).write_text(record.model_dump_json(indent=1), encoding="utf-8")
        building.replace(folder)
    except OSError as error:
        error.filename, error.filename2 = str(folder), None  # not the temporary one
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
