"""The state of a workspace, for one line of a listing: what it is, what is made, what is wrong. Quick, without torch.

A precision that is `auto` is only known with torch: a stage counts as fresh if it is so in any precision.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tav.errors import TavError
from tavcli.methods.invert import inverted_from
from tavcli.methods.tune import external_stage
from tavcli.workspace import stages
from tavcli.workspace.edits import NUMBERED, RECIPE, VIDEO
from tavcli.workspace.fingerprint import digest
from tavcli.workspace.folder import SHEET, Workspace
from tavcli.workspace.session import Session
from tavcli.workspace.stages import Stage, State, in_any_precision


@dataclass(frozen=True)
class Overview:
    """What a listing shows; the texts are a person's, as they wrote them.

    `tuned` and `inverted` are None where nobody looked, or where they cannot be told; `frames` is a sheet of the frames
    that were taken. `done` and `unfinished` count edits. `problem` says in one line why the workspace cannot be used.
    """

    folder: Path
    caption: str = ""
    base: str = ""
    frames: Path | None = None
    done: int = 0
    unfinished: int = 0
    tuned: State | None = None
    inverted: State | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        return self.folder.name


def glance(workspace: Workspace) -> Overview:
    """All but the stages; reads no big file. Never raises for what is in the workspace."""
    done, unfinished = _count_edits(workspace.edits)
    sheet = workspace.folder / SHEET
    seen = Overview(workspace.folder, frames=sheet if sheet.is_file() else None, done=done, unfinished=unfinished)
    try:
        toml = workspace.read()
    except TavError as error:
        return replace(seen, problem=error.message)
    return replace(seen, caption=_text(toml.get("caption")), base=_text(toml.get("base")))


def overview(workspace: Workspace) -> Overview:
    """With the stages. Once for each base all of it is read, for its digest, which is remembered. Never raises."""
    seen = glance(workspace)
    if seen.problem:
        return seen
    try:
        tuned, inverted = _states(Session(workspace, {}))
    except TavError as error:
        return replace(seen, problem=error.message)
    except OSError as error:
        return replace(seen, problem=f"{error.filename}: {error.strerror}")
    return replace(seen, tuned=tuned, inverted=inverted)


def _states(session: Session) -> tuple[State, State]:
    settings, workspace = session.settings, session.workspace
    tuned = external_stage(session) or stages.tuned_in(
        workspace.tuned, settings, session.clip_inputs, session.base_digest, settings.precision
    )
    weights = [folder / tuned.result_name for folder in _made(tuned, settings.precision)]
    digests = [digest(file) for file in weights] or [""]
    inversions = [inverted_from(session, one, settings.invert.steps, settings.precision) for one in digests]
    fresh = any(_made(stage, settings.precision) for stage in inversions)
    return "fresh" if weights else tuned.state, "fresh" if fresh else inversions[0].state


def _made(stage: Stage, precision: str) -> list[Path]:
    """Folders in which the stage's result is, in any precision if that is left open."""
    folders = in_any_precision(stage) if precision == "auto" else [stage.folder]
    return [folder for folder in folders if (folder / stage.result_name).is_file()]


def _count_edits(folder: Path) -> tuple[int, int]:
    """(done, unfinished). Their recipes are not read: there may be many."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.path for entry in entries if NUMBERED.match(entry.name) and entry.is_dir()]
    except OSError:
        return 0, 0
    claimed = [name for name in names if os.path.isfile(f"{name}/{RECIPE}")]  # noqa: PTH113  (500 of them, quickly)
    done = sum(os.path.isfile(f"{name}/{VIDEO}") for name in claimed)  # noqa: PTH113
    return done, len(claimed) - done


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
