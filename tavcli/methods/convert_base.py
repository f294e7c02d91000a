"""A checkpoint of one file becomes a base of the user's list: planned, with what it takes, then made once."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tav.bases.parts import BaseParts, inspect_base
from tav.errors import BaseModelError, SettingsError, TavError
from tavcli.config import bases
from tavcli.config.bases import Entry, find_base, free_name, home_of, known_bases
from tavcli.units import size

if TYPE_CHECKING:
    from tav.conversion.single_file import SingleFile


@dataclass(frozen=True)
class Conversion:
    """What would be made: base `name` in `folder`, with the configs, tokenizer and schedule of base `like_name`."""

    name: str
    file: "SingleFile"
    like_name: str
    like: BaseParts
    folder: Path

    @property
    def bytes(self) -> int:
        """About what the folder will take on disk."""
        return self.file.bytes


def plan(path: Path, name: str | None, like: str | None) -> Conversion:
    """Check everything before anything is written.

    Raises BaseModelError for what is no such checkpoint, or fits no base that is here (or not the one named `like`);
    SettingsError for a name that is taken, or a disk that has no room.
    """
    from tav.conversion.single_file import converted, read_single_file

    file = read_single_file(path.resolve())
    chosen = free_name(name, path)
    folder = home_of(chosen)
    if folder.exists():
        raise SettingsError(
            f"{folder} is already there, and in no list", "remove it, or choose another name: --name NAME"
        )
    if like is not None:
        parts = inspect_base(find_base(like))
        converted(file, parts)
    else:
        like, parts = _first_that_fits(file)
    _refuse_full_disk(folder, file.bytes)
    return Conversion(chosen, file, like, parts, folder)


def convert(planned: Conversion) -> Path:
    """Make the folder, whole or not at all, and put it into the list."""
    from tav.conversion.single_file import write_single_file

    write_single_file(planned.folder, planned.file, planned.like)
    bases.add(planned.name, Entry(path=str(planned.folder), converted_from=str(planned.file.path)))
    return planned.folder


def _first_that_fits(file: "SingleFile") -> tuple[str, BaseParts]:
    from tav.conversion.single_file import converted

    for base in known_bases():
        try:
            parts = inspect_base(base.path)
            converted(file, parts)
        except TavError:
            continue
        return base.name, parts
    fetch = f"`tav bases fetch {file.family}` gets one" if file.family else "name one by its folder: --like FOLDER"
    raise BaseModelError(
        f"{file.path.name} holds weights alone, and no base here has configs and a tokenizer that fit them", fetch
    )


def _refuse_full_disk(folder: Path, needed: int) -> None:
    there = next(parent for parent in folder.parents if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise SettingsError(f"{folder} would take {size(needed)}, {there} has {size(free)} left", "make room for it")
