"""A workspace, the folder of one clip: finding it, its places on disk, its settings file."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from tav.atomic import TEMPORARY, remove_leftovers, temporary_sibling, write_text
from tav.errors import SettingsError
from tav.formats import FORMAT, refuse_newer
from tavcli.config.files import Layer, read_toml
from tavcli.config.templates import templates

SETTINGS = "tav.toml"
SHEET = "frames.png"


@dataclass(frozen=True)
class Workspace:
    """A folder with a `tav.toml`, and the paths of everything in it."""

    folder: Path

    @property
    def settings_file(self) -> Path:
        return self.folder / SETTINGS

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def tuned(self) -> Path:
        return self.folder / "tuned"

    @property
    def inverted(self) -> Path:
        return self.folder / "inverted"

    @property
    def edits(self) -> Path:
        return self.folder / "edits"

    @property
    def jobs(self) -> Path:
        """Queued jobs that make no edit."""
        return self.folder / "jobs"

    @property
    def trash(self) -> Path:
        """Deleted edits and jobs."""
        return self.folder / "trash"

    @property
    def locks(self) -> Path:
        return self.folder / ".locks"

    def read(self) -> Layer:
        """The values in tav.toml; only the syntax is checked. Raises NewerFormatError for a later tav's workspace."""
        values = read_toml(self.settings_file)
        refuse_newer(values.get("format"), f"the workspace {self.folder}")
        return values

    def refuse_newer(self) -> None:
        """Raise NewerFormatError if a later tav made this workspace; a tav.toml with broken syntax raises nothing."""
        with suppress(SettingsError):
            self.read()

    def remember(self, flags: Layer) -> list[str]:
        """Write settings into tav.toml, comments kept; None removes a setting. Returns a line for each change."""
        document = tomlkit.parse(self.settings_file.read_text(encoding="utf-8"))
        changes = []
        for section, values in flags.items():
            table: Any = document
            items = {section: values}
            if isinstance(values, dict):
                table = document.setdefault(section, tomlkit.table())
                items = values
            for name, value in items.items():
                if table.get(name) == value:
                    continue
                called = f"{section}.{name}" if table is not document else name
                changes.append(f"{called} = {value}" if value is not None else f"{called} is gone")
                if value is None:
                    del table[name]
                else:
                    table[name] = value
        remove_leftovers(self.folder)
        if changes:
            write_text(self.settings_file.resolve(), tomlkit.dumps(document))  # a link to it stays a link
        return changes


def find(start: Path, given: Path | None = None) -> Workspace:
    """The workspace of a command: `given` or TAV_WORKSPACE; else the nearest at or above `start`; else its only child.

    Raises SettingsError when there is none, or several children to choose from.
    """
    chosen = given or (Path(os.environ["TAV_WORKSPACE"]) if os.environ.get("TAV_WORKSPACE") else None)
    if chosen is not None:
        if not (chosen / SETTINGS).is_file():
            raise SettingsError(f"{chosen} is not a workspace (it has no {SETTINGS})", "`tav init CLIP` makes one")
        return Workspace(chosen.resolve())
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / SETTINGS).is_file():
            return Workspace(folder)
    children = below(start)
    if len(children) == 1:
        return children[0]
    if children:
        names = ", ".join(child.folder.name for child in children)
        raise SettingsError(f"several workspaces here: {names}", f"choose one: tav -C {children[0].folder.name} ...")
    raise SettingsError("no workspace here", "`tav init CLIP --caption TEXT` makes one; -C FOLDER points to one")


def below(start: Path) -> list[Workspace]:
    """The workspaces directly below `start`, by name."""
    folders = (path.parent for path in start.glob(f"*/{SETTINGS}"))
    return [Workspace(folder) for folder in sorted(folders) if not folder.name.startswith(TEMPORARY)]


def refuse_taken(folder: Path) -> None:
    """Raise SettingsError if a workspace cannot be made at `folder`."""
    if folder.resolve() == Path.cwd():
        raise SettingsError("the folder you are in cannot become the workspace", "name a new one: tav init CLIP FOLDER")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} is already there", "name another folder: tav init CLIP FOLDER")


def create(folder: Path, clip: Path, values: Layer, draw: Callable[[Path], object] | None = None) -> Workspace:
    """Make a workspace at `folder` (which must not exist, or be empty) with a copy of `clip` and `values` as settings.

    `draw(path)` writes the sheet of what was taken. The workspace appears whole or not at all.
    Raises SettingsError for values that are no text.
    """
    folder = folder.resolve()
    refuse_taken(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent)
    building = temporary_sibling(folder)
    try:
        building.mkdir()
        _copy(clip, building / values["clip"]["source"])
        shutil.copyfile(templates() / "workspace" / "README.md", building / "README.md")
        shutil.copyfile(templates() / "workspace" / "settings.toml", building / SETTINGS)
        Workspace(building).remember({"format": FORMAT, **values})
        if draw is not None:
            draw(building / SHEET)
        building.replace(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Workspace(folder.resolve())


def _copy(clip: Path, target: Path) -> None:
    """Copy a file, or the frames of a folder."""
    if not clip.is_dir():
        shutil.copyfile(clip, target)
        return
    from tav.video import frame_files

    target.mkdir()
    for frame in frame_files(clip):
        shutil.copyfile(frame, target / frame.name)
