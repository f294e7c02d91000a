"""`tav clean`: what a workspace holds that nothing needs, with sizes; removed when told to."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tav.atomic import TEMPORARY, is_leftover
from tav.errors import TavError
from tavcli.commands.console import Output
from tavcli.commands.options import Options
from tavcli.config.files import Layer
from tavcli.methods.invert import inverted_stage
from tavcli.methods.tune import tuned_stage
from tavcli.queue.jobs import stamped
from tavcli.units import size
from tavcli.workspace.edits import all_edits
from tavcli.workspace.external import source_of
from tavcli.workspace.fingerprint import digest
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import Busy, locked
from tavcli.workspace.session import Session
from tavcli.workspace.stages import STATE, TUNED, in_any_precision, read_inputs


@dataclass(frozen=True)
class Removable:
    """Something that can go, why, and the lock that says whether somebody writes it."""

    path: Path
    why: str
    lock: str = ""

    @property
    def bytes(self) -> int:
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(path.stat().st_size for path in files if path.is_file())


def clean(
    context: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False
) -> None:
    """List what nothing needs any more (stale stages, resume states, cache, trash), and remove it when told to."""
    options: Options = context.obj
    out = Output(options)
    session = Session(options.workspace(), options.flags())
    found = list(_removable(session))
    total = sum(item.bytes for item in found)
    data = [{"path": str(item.path), "why": item.why, "size": item.bytes} for item in found]
    if not found:
        out.say("nothing to clean")
        out.result([])
        return
    folder = session.workspace.folder
    out.table(data, ["what", "why", "size"], [[str(i.path.relative_to(folder)), i.why, size(i.bytes)] for i in found])
    asked = sys.stdin.isatty() and not options.json
    if options.dry_run or not (yes or (asked and typer.confirm(f"remove {size(total)}?", err=True))):
        if not asked:
            out.say(f"{size(total)} in all; --yes removes it")
        return
    sizes = [item.bytes for item in found]  # before they are gone
    freed = sum(one for one, item in zip(sizes, found, strict=True) if _remove(session.workspace, item, out))
    out.say(f"removed {size(freed)}")


def _remove(workspace: Workspace, item: Removable, out: Output) -> bool:
    try:
        with locked(workspace, item.lock) if item.lock else nullcontext():
            shutil.rmtree(item.path) if item.path.is_dir() else item.path.unlink(missing_ok=True)
            return True
    except Busy as busy:
        out.warn(f"left alone: {busy.message}")
        return False


def _removable(session: Session) -> Iterator[Removable]:
    workspace = session.workspace
    needed = _needed(session)
    for parent in (workspace.tuned, workspace.inverted):
        for folder in sorted(parent.glob("*/")):
            lock = f"{parent.name}-{folder.name}"
            if folder.name not in needed:
                yield Removable(folder, "for other settings, and no edit was made from it", lock)
            elif (folder / STATE).is_file() and (folder / TUNED).is_file():
                yield Removable(folder / STATE, "only needed to tune further; without it more steps start from 0", lock)
    if workspace.cache.is_dir():
        yield Removable(workspace.cache, "made again when needed")
    if workspace.trash.is_dir():
        yield Removable(workspace.trash, "deleted edits and jobs", "edits")
    yield from _leftovers(workspace)


def _needed(session: Session) -> set[str]:
    """Keys of the stages in force, and of those of edits and of jobs that may still be done."""
    workspace, keys = session.workspace, _stages_of(session)
    for edit in (one for one in all_edits(workspace) if one.begun):
        keys |= {edit.recipe["tuned"]["key"], edit.recipe["inverted"].get("key", "")}
    try:
        for settings in _to_be_done(workspace):
            keys |= _stages_of(Session(workspace, {}, values=settings))
    except TavError:  # its base is gone for now: what it needs cannot be told
        keys |= {folder.name for parent in (workspace.tuned, workspace.inverted) for folder in parent.glob("*/")}
    return keys | _sources(workspace, keys)


def _stages_of(session: Session) -> set[str]:
    """Keys of a session's stages, in whatever precision: other machines have other ones."""
    workspace = session.workspace
    tuned = in_any_precision(tuned_stage(session))
    weights = {digest(folder / TUNED) for folder in tuned if (folder / TUNED).is_file()}
    # By name too: what a folder was made from may be unreadable.
    keys = {
        tuned_stage(session).key,
        inverted_stage(session, session.settings.invert.steps).key,
        *(folder.name for folder in tuned),
    }
    for folder in workspace.inverted.glob("*/"):
        inputs = read_inputs(folder)
        if inputs.get("tuned") in weights and inputs.get("steps") == session.settings.invert.steps:
            keys.add(folder.name)
    return keys


def _to_be_done(workspace: Workspace) -> list[Layer]:
    """The settings of the jobs that are neither done nor cancelled, each once."""
    jobs = (job for _, job in stamped(workspace).values() if job.state not in ("done", "cancelled"))
    kept = [record.settings | {"sample": {}} for job in jobs if (record := job.record) and record.settings]
    return list({json.dumps(settings, sort_keys=True): settings for settings in kept}.values())


def _sources(workspace: Workspace, keys: set[str]) -> set[str]:
    """Keys of the tuned stages that those of `keys` were carried over from: to carry over again, and to go back."""
    carried = (read_inputs(workspace.tuned / key).get("carried") for key in keys if key)
    sources = (source_of(workspace.tuned, one) for one in carried if isinstance(one, str))
    return {folder.name for folder in sources if folder is not None}


def _leftovers(workspace: Workspace) -> Iterator[Removable]:
    for path in workspace.folder.rglob(f"{TEMPORARY}*"):
        if workspace.cache not in path.parents and is_leftover(path):
            yield Removable(path, "left by a process that was killed")
