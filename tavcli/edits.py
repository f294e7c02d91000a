"""Edits on disk: `edits/NNNN-prompt/` with the recipe written first and the video last."""

import re
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from tav.atomic import remove_leftovers, temporary_sibling
from tav.errors import SettingsError
from tav.settings import SampleSettings
from tavcli.locks import locked
from tavcli.settings import read_toml
from tavcli.workspace import Workspace

RECIPE = "edit.toml"
PARTIAL = "partial.safetensors"
# What every recipe says, beside what it was made from.
_DECISIVE = {*SampleSettings.model_fields, "prompt", "steps", "caption", "tuned", "inverted"}
_NUMBERED = re.compile(r"([0-9]+)(?:-|$)")


@dataclass(frozen=True)
class Edit:
    """One edit's folder."""

    folder: Path

    @property
    def number(self) -> int:
        return int(self.folder.name.split("-")[0])

    @property
    def recipe(self) -> dict[str, Any]:
        recipe = read_toml(self.folder / RECIPE)
        if missing := sorted(_DECISIVE - recipe.keys()):
            message = f"{self.folder.name}/{RECIPE} says nothing about {', '.join(missing)}"
            raise SettingsError(message, f"tav wrote more than that; remove {self.folder} if it is of no use")
        return recipe

    @property
    def video(self) -> Path:
        return self.folder / "video.mp4"

    @property
    def sheet(self) -> Path:
        return self.folder / "sheet.png"

    @property
    def partial(self) -> Path:
        return self.folder / PARTIAL

    @property
    def done(self) -> bool:
        """The video is written last, and whole."""
        return self.video.is_file()


def all_edits(workspace: Workspace) -> list[Edit]:
    """The edits of a workspace by number."""
    folders = (path for path in workspace.edits.glob("*/") if _NUMBERED.match(path.name))
    return sorted((Edit(path) for path in folders if (path / RECIPE).is_file()), key=lambda edit: edit.number)


def find_edit(workspace: Workspace, name: str) -> Edit:
    """An edit by its number or its folder's name. Raises SettingsError if there is none."""
    edits = all_edits(workspace)
    for edit in edits:
        if name == edit.folder.name or (name.isdecimal() and int(name) == edit.number):
            return edit
    there = f"there are {edits[0].number} to {edits[-1].number}" if edits else "there are none yet"
    raise SettingsError(f"there is no edit `{name}`; {there}", "`tav ls` lists them")


def claim(workspace: Workspace, recipe: dict[str, Any]) -> Edit:
    """The edit with this very recipe, or a new one, its recipe written, under the next number."""
    workspace.edits.mkdir(exist_ok=True)
    with locked(workspace, "edits", wait=30):
        remove_leftovers(workspace.edits)
        edits = all_edits(workspace)
        for edit in edits:
            if edit.recipe == recipe:
                return edit
        number = max(_numbers(workspace), default=0) + 1
        building = temporary_sibling(workspace.edits / "edit")
        building.mkdir()
        try:
            (building / RECIPE).write_text(tomlkit.dumps(recipe), encoding="utf-8")
            folder = workspace.edits / f"{number:04d}-{slug(recipe['prompt'])}".rstrip("-")
            building.replace(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return Edit(folder)


def release(edit: Edit) -> None:
    """Give up a claim of which nothing is made yet, as if it had never been asked for."""
    if edit.folder.is_dir() and [path.name for path in edit.folder.iterdir()] == [RECIPE]:
        shutil.rmtree(edit.folder)


def _numbers(workspace: Workspace) -> Iterator[int]:
    """Those that are taken, whether or not there is an edit in the folder."""
    found = (_NUMBERED.match(path.name) for path in workspace.edits.iterdir())
    return (int(match[1]) for match in found if match)


def slug(prompt: str) -> str:
    """A safe file name from a prompt: lower-case ASCII letters, digits and dashes, at most 48; may be empty."""
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
