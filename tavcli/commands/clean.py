"""`tav clean`: what a workspace holds that nothing needs, with sizes; removed when told to."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tav.atomic import TEMPORARY
from tavcli.console import Talk, size
from tavcli.edits import all_edits
from tavcli.options import Options
from tavcli.runner import STATE
from tavcli.session import Session
from tavcli.workspace import Workspace


@dataclass(frozen=True)
class Removable:
    """Something that can go, and why."""

    path: Path
    why: str

    @property
    def bytes(self) -> int:
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(path.stat().st_size for path in files if path.is_file())


def clean(
    context: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False
) -> None:
    """List what nothing needs any more (stale stages, resume states, cache), and remove it when told to."""
    options: Options = context.obj
    talk = Talk(options)
    session = Session(options.workspace(), options.flags())
    found = list(_removable(session))
    total = sum(item.bytes for item in found)
    data = [{"path": str(item.path), "why": item.why, "size": item.bytes} for item in found]
    if not found:
        talk.say("nothing to clean")
        talk.result([])
        return
    folder = session.workspace.folder
    talk.table(data, ["what", "why", "size"], [[str(i.path.relative_to(folder)), i.why, size(i.bytes)] for i in found])
    asked = sys.stdin.isatty() and not options.json
    if options.dry_run or not (yes or (asked and typer.confirm(f"remove {size(total)}?", err=True))):
        if not asked:
            talk.say(f"{size(total)} in all; --yes removes it")
        return
    for item in found:
        shutil.rmtree(item.path) if item.path.is_dir() else item.path.unlink(missing_ok=True)
    talk.say(f"removed {size(total)}")


def _removable(session: Session) -> Iterator[Removable]:
    workspace = session.workspace
    keys = _needed(session)
    for parent in (workspace.tuned, workspace.inverted):
        for folder in sorted(parent.glob("*/")):
            if folder.name not in keys:
                yield Removable(folder, "for other settings, and no edit was made from it")
            elif (folder / STATE).is_file() and (folder / "attention.safetensors").is_file():
                yield Removable(folder / STATE, "only needed to tune further; without it more steps start from 0")
    if workspace.cache.is_dir():
        yield Removable(workspace.cache, "made again when needed")
    yield from _leftovers(workspace)


def _needed(session: Session) -> set[str]:
    """Keys of the stages in force, and of those that edits were made from."""
    keys = {session.tuned.key, session.inverted(session.settings.invert.steps).key}
    for edit in all_edits(session.workspace):
        recipe = edit.recipe
        keys |= {recipe["tuned"]["key"], recipe["inverted"].get("key", "")}
    return keys


def _leftovers(workspace: Workspace) -> Iterator[Removable]:
    for path in workspace.folder.rglob(f"{TEMPORARY}*"):
        if workspace.cache not in path.parents:
            yield Removable(path, "left by a process that was killed")
