"""Edits on disk: `edits/NNNN-prompt/` with the recipe written first and the video last."""

import re
import shutil
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ConfigDict

from tav.atomic import remove_leftovers, temporary_sibling
from tav.errors import SettingsError, TavError
from tav.formats import refuse_newer
from tav.settings import SampleSettings, Settings, parse
from tavcli.config.files import read_toml
from tavcli.workspace.folder import Workspace
from tavcli.workspace.locks import SOON, locked

JOB = "job.json"
RECIPE, VIDEO, MADE = "edit.toml", "video.mp4", "made.json"
PARTIAL = "partial.safetensors"
# In a recipe until its edit is begun: only then is it known what the edit is made from.
QUEUED = {"state": "queued"}
NUMBERED = re.compile(r"([0-9]{1,18})(?:-|$)")
# In the trash, a folder's name begins with the folder it came from.
_FROM = re.compile(r"^(edits|jobs)-")


class _Inverted(Settings):
    """The inversion that a recipe builds on; the key is empty if there is none."""

    model_config = ConfigDict(extra="allow")
    key: str = ""


class _Tuned(_Inverted):
    """The tuned weights that a recipe builds on."""

    key: str


class _Request(SampleSettings):
    """The fields that tav reads in every recipe."""

    model_config = ConfigDict(extra="allow")
    prompt: str
    caption: str
    steps: int
    precision: str


class _Recipe(_Request):
    """The fields of a recipe whose edit is begun: those of every recipe, and what the edit is made from."""

    tuned: _Tuned
    inverted: _Inverted


@dataclass(frozen=True)
class Edit:
    """One edit's folder."""

    folder: Path

    @property
    def number(self) -> int:
        return int(self.folder.name.split("-")[0])

    @property
    def recipe(self) -> dict[str, Any]:
        """All that decides the video. Raises SettingsError for an invalid recipe, NewerFormatError for a newer one."""
        name, recipe = f"{self.folder.name}/{RECIPE}", read_toml(self.folder / RECIPE)
        refuse_newer(recipe.get("format"), name)
        hint = f"tav did not write it so; remove {self.folder} if it is of no use"
        kind = _Request if _is_queued(recipe) else _Recipe
        if missing := sorted(kind.model_fields.keys() - recipe.keys()):
            raise SettingsError(f"{name} says nothing about {', '.join(missing)}", hint)
        try:
            parse(kind, recipe, name)
        except SettingsError as error:
            raise SettingsError(error.message, hint) from None
        return recipe

    @property
    def video(self) -> Path:
        return self.folder / VIDEO

    @property
    def sheet(self) -> Path:
        return self.folder / "sheet.png"

    @property
    def partial(self) -> Path:
        return self.folder / PARTIAL

    @property
    def claimed(self) -> bool:
        """Does the edit exist, with a recipe?"""
        return (self.folder / RECIPE).is_file()

    @property
    def begun(self) -> bool:
        """Does the recipe say what the edit is made from?"""
        return not _is_queued(self.recipe)

    @property
    def done(self) -> bool:
        """Is the video there? It is written last, and whole."""
        return self.video.is_file()


def _is_queued(recipe: dict[str, Any]) -> bool:
    return QUEUED.items() <= recipe.items()


def all_edits(workspace: Workspace) -> list[Edit]:
    """The edits of a workspace by number."""
    folders = (path for path in workspace.edits.glob("*/") if NUMBERED.match(path.name))
    return sorted((Edit(path) for path in folders if Edit(path).claimed), key=lambda edit: edit.number)


def find_edit(workspace: Workspace, name: str) -> Edit:
    """An edit by its number or its folder's name. Raises SettingsError if there is none."""
    edits = all_edits(workspace)
    for edit in edits:
        if name == edit.folder.name or (name.isdecimal() and int(name) == edit.number):
            return edit
    there = f"there are {edits[0].number} to {edits[-1].number}" if edits else "there are none yet"
    raise SettingsError(f"there is no edit `{name}`; {there}", "`tav ls` lists them")


def claim(workspace: Workspace, recipe: dict[str, Any]) -> Edit:
    """The edit with exactly this recipe; else a new one under the next number, with its recipe written."""
    if there := _with_recipe(workspace, recipe):
        return there
    with locked(workspace, "edits", SOON):
        workspace.edits.mkdir(exist_ok=True)
        remove_leftovers(workspace.edits)
        return _with_recipe(workspace, recipe) or _new(workspace, recipe)


def twin(workspace: Workspace, one: Edit) -> Edit | None:
    """Another edit that is done and has exactly this recipe, or None."""
    recipe = one.recipe
    others = (other for other in all_edits(workspace) if other.folder != one.folder and other.done)
    return next((other for other in others if _is(other, recipe)), None)


def _is(other: Edit, recipe: dict[str, Any]) -> bool:
    """Does the edit have this recipe? An unreadable edit does not."""
    try:
        return other.recipe == recipe
    except TavError:
        return False


def release(workspace: Workspace, edit: Edit) -> None:
    """Give up a claim: remove the edit if nothing of it is made yet."""
    with locked(workspace, "edits", SOON):
        # A queued edit stays: its job says why it failed.
        if edit.folder.is_dir() and [path.name for path in edit.folder.iterdir()] == [RECIPE]:
            away = temporary_sibling(edit.folder)
            edit.folder.replace(away)
            shutil.rmtree(away)


def _with_recipe(workspace: Workspace, recipe: dict[str, Any]) -> Edit | None:
    return next((edit for edit in all_edits(workspace) if edit.recipe == recipe), None)


def free_number(parent: Path, *besides: Path) -> int:
    """The next number in `parent`, for a caller that holds the lock "edits".

    Numbers in `besides` are taken too, since their folders may be brought back.
    """
    return max((number for folder in (parent, *besides) for number in _numbers(folder)), default=0) + 1


def folder_name(number: int, words: str) -> str:
    """The folder's name for a number and a prompt: `0007-a-cat`."""
    return f"{number:04d}-{slug(words)}".rstrip("-")


def _new(workspace: Workspace, recipe: dict[str, Any]) -> Edit:
    number = free_number(workspace.edits, workspace.trash)
    folder = workspace.edits / folder_name(number, recipe["prompt"])
    building = temporary_sibling(folder)
    try:
        building.mkdir()
        (building / RECIPE).write_text(tomlkit.dumps(recipe), encoding="utf-8")
        building.replace(folder)
    except OSError as error:
        error.filename, error.filename2 = str(folder / RECIPE), None  # not the temporary file
        raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Edit(folder)


def _numbers(folder: Path) -> Iterator[int]:
    """The numbers taken in a folder, whether or not an edit is under them."""
    names = [_FROM.sub("", path.name) for path in folder.iterdir()] if folder.is_dir() else []
    found = map(NUMBERED.match, names)
    return (int(match[1]) for match in found if match)


def slug(prompt: str) -> str:
    """A safe file name from a prompt: lower-case ASCII letters, digits and dashes, at most 48; may be empty."""
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
