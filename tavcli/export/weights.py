"""Export of tuned weights in the official layouts, and of the base in an official pipeline."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tav.atomic import remove_leftovers
from tav.bases.parts import BaseParts
from tav.errors import CheckpointError, SettingsError
from tavcli.events import Note, RunEvent
from tavcli.methods.loading import video_network
from tavcli.methods.tune import load_tuned_network, tuned_stage
from tavcli.workspace.session import Session

Format = Literal["official", "slim"]


def plan(session: Session, form: Format, target: Path) -> int:
    """About how many bytes the export takes. Raises TavError if it cannot be made, or if `target` exists."""
    from tav.conversion import official_writer

    _refuse_taken(target)
    if form == "slim" and target.suffix != ".pth":
        raise SettingsError(f"{target}: a slim file is named .pth", f"name it {target.with_suffix('.pth').name}")
    if tuned_stage(session).state != "fresh":
        raise CheckpointError(
            f"there are no tuned weights to export ({tuned_stage(session).state})", "`tav tune` makes them"
        )
    if session.settings.frame_attention != "sparse-causal":
        message = f"the official code has no frame_attention {session.settings.frame_attention}"
        raise SettingsError(message, "export weights that were tuned with sparse-causal")
    if form == "official":
        official_writer.check_official(session.parts)
        return _room(target, official_writer.pipeline_size(session.parts))
    return _room(target, official_writer.slim_size(session.parts))


def write(session: Session, form: Format, target: Path) -> Iterator[RunEvent]:
    """Write the tuned weights to `target`, whole or not at all."""
    from tav.conversion.official_writer import write_pipeline, write_slim

    target = target.resolve()
    yield from load_tuned_network(session)
    yield Note(f"writing {target.name}")
    remove_leftovers(target.parent)
    if form == "official":
        write_pipeline(target, session.parts, video_network(session))
    else:
        write_slim(target, video_network(session))


# A pipeline's base ----------------------------------------------------------------------------------------------------


def base_in(pipeline: Path, target: Path) -> tuple[BaseParts, int]:
    """The 2-D base in an official pipeline, and the bytes it takes. Raises TavError if `target` cannot be written."""
    from tav.conversion.official_writer import base_in

    _refuse_taken(target)
    parts = base_in(pipeline)
    return parts, _room(target, sum(path.stat().st_size for path in parts.files))


def extract(parts: BaseParts, target: Path) -> None:
    """Write a pipeline's base as a folder, whole or not at all."""
    from tav.conversion.official_writer import write_base

    remove_leftovers(target.resolve().parent)
    write_base(target.resolve(), parts)


def _refuse_taken(target: Path) -> None:
    if target.is_symlink() or target.exists():
        raise SettingsError(f"{target} is already there", "name another place, or remove it first")


def _room(target: Path, needed: int) -> int:
    """`needed`, if the disk of `target` has that many bytes free. Raises SettingsError."""
    folder = next(parent for parent in target.resolve().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SettingsError(
            f"{target} would take {needed / 1e9:.2f} GB, {folder} has {free / 1e9:.2f} GB left", "make room for it"
        )
    return needed
