"""Weights tuned elsewhere take the tuned stage's place; tuned weights go out in the official layouts."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tav
from tav.atomic import remove_leftovers
from tav.bases.parts import BaseParts
from tav.errors import CheckpointError, SettingsError
from tavcli.given import imported_stage
from tavcli.locks import locked
from tavcli.session import Note, RunEvent, Session
from tavcli.stages import Stage

if TYPE_CHECKING:
    from tav.foreign.reading import Foreign

Format = Literal["official", "slim"]


# In -------------------------------------------------------------------------------------------------------------------


def read(session: Session, path: Path) -> "tuple[Foreign, Stage]":
    """The weights at `path`, checked against the workspace's base, and the stage that they will be."""
    from tav.foreign.reading import read_foreign

    foreign = read_foreign(path, session.parts)
    return foreign, imported_stage(session.workspace.tuned, session.base_digest, foreign.digest)


def keep(session: Session, foreign: "Foreign", stage: Stage, path: Path) -> None:
    """Write the weights, unless they are there, and make them the ones in force."""
    from tav.checkpoint import save_tensors

    with locked(session.workspace, f"tuned-{stage.key}"):
        remove_leftovers(stage.folder)
        if stage.state != "fresh":
            stage.open()
            about = {"base_name": session.settings.base, "tav": tav.__version__, "from": path.resolve().name}
            save_tensors(stage.result, "tuned", foreign.tensors, {**stage.inputs, **about})
    session.workspace.remember({"imported": foreign.digest, "carried": None})


# Out ------------------------------------------------------------------------------------------------------------------


def plan(session: Session, form: Format, target: Path) -> int:
    """Check that `target` can be written; returns about how many bytes it takes. Nothing is overwritten."""
    from tav.foreign import writing

    _refuse_taken(target)
    if form == "slim" and target.suffix != ".pth":
        raise SettingsError(f"{target}: a slim file is named .pth", f"name it {target.with_suffix('.pth').name}")
    if session.tuned.state != "fresh":
        raise CheckpointError(f"there are no tuned weights to export ({session.tuned.state})", "`tav tune` makes them")
    if session.settings.frame_attention != "sparse-causal":
        message = f"the official code has no frame_attention {session.settings.frame_attention}"
        raise SettingsError(message, "export weights that were tuned with sparse-causal")
    if form == "official":
        writing.check_official(session.parts)
        return _room(target, writing.pipeline_size(session.parts))
    return _room(target, writing.slim_size(session.parts))


def write(session: Session, form: Format, target: Path) -> Iterator[RunEvent]:
    """Write the tuned weights to `target`, whole or not at all."""
    from tav.foreign.writing import write_pipeline, write_slim

    target = target.resolve()
    yield from session.load_tuned()
    yield Note(f"writing {target.name}")
    remove_leftovers(target.parent)
    if form == "official":
        write_pipeline(target, session.parts, session.video)
    else:
        write_slim(target, session.video)


# A pipeline's base ----------------------------------------------------------------------------------------------------


def base_in(pipeline: Path, target: Path) -> tuple[BaseParts, int]:
    """The 2-D base in an official pipeline, and how many bytes it takes; checks that `target` can be written."""
    from tav.foreign.writing import base_in

    _refuse_taken(target)
    parts = base_in(pipeline)
    return parts, _room(target, sum(path.stat().st_size for path in parts.files))


def extract(parts: BaseParts, target: Path) -> None:
    """Write that base as a folder, whole or not at all."""
    from tav.foreign.writing import write_base

    remove_leftovers(target.resolve().parent)
    write_base(target.resolve(), parts)


def _refuse_taken(target: Path) -> None:
    if target.is_symlink() or target.exists():
        raise SettingsError(f"{target} is already there", "name another place, or remove it first")


def _room(target: Path, needed: int) -> int:
    """`needed`, if there is that much room where `target` will be."""
    folder = next(parent for parent in target.resolve().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SettingsError(
            f"{target} would take {needed / 1e9:.2f} GB, {folder} has {free / 1e9:.2f} GB left", "make room for it"
        )
    return needed
