"""The bases that have a name here: the embedded one, those of the user's list, and those in the hub cache.

The list is `bases.toml` in the user's configuration folder. Its names win over folders and hub names, so that `photo`
in a workspace means the same base wherever a command is called; a folder of that name is written `./photo`.
"""

import difflib
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import filelock
import tomlkit
from pydantic import Field

from tav.atomic import remove_leftovers, temporary_sibling, write_text
from tav.bases import embedded
from tav.bases.catalog import cached_bases, resolve
from tav.bases.embedded import EMBEDDED
from tav.errors import BaseModelError, SettingsError
from tav.formats import FORMAT, refuse_newer
from tav.settings import Settings, parse
from tavcli.config.files import read_toml
from tavcli.config.home import config_folder, data_folder

LIST = "bases.toml"
HUB_CACHE = "hub cache"
# No slash, so that it is never a name on the hub; no dot or dash in front.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,47}")
_NOTE = "# The bases that tav knows by a short name. `tav bases add` and `tav bases remove` write this file anew.\n"
# Seconds to wait for another process that changes the list.
_SOON = 30


class Entry(Settings):
    """A base of the user's list."""

    path: str = Field(min_length=1, pattern=r"^[^\x00]*$", description="its folder; where not absolute, from this file")
    converted_from: str | None = Field(default=None, description="the one file that tav made this folder from")

    @property
    def folder(self) -> Path:
        return config_folder() / self.path


class BaseList(Settings):
    """All of `bases.toml`."""

    format: int = Field(default=FORMAT, ge=1, le=FORMAT, description="how the list is written down; tav sets it")
    bases: dict[Annotated[str, Field(pattern=f"^{NAME.pattern}$")], Entry] = Field(default_factory=dict)


@dataclass(frozen=True)
class KnownBase:
    """A base with a name: its folder `path`, `size` in bytes, `place` in words, and whether the folder is `gone`."""

    name: str
    path: Path
    size: int
    place: str
    gone: bool = False


# Finding --------------------------------------------------------------------------------------------------------------


def find_base(name: str, folder: Path = Path()) -> Path:
    """The folder of a base, by its name in the user's list, else as the engine finds it from `folder`.

    Raises BaseModelError when there is none, SettingsError for a broken list. Never downloads.
    """
    entry = read_list().get(name)
    if entry is None:
        return _resolved(name, folder)
    if not entry.folder.is_dir():
        raise BaseModelError(
            f"base {name} is gone: no folder {entry.path}", f"put it back, or `tav bases remove {name}` forgets it"
        )
    return entry.folder.resolve()


def _resolved(name: str, folder: Path) -> Path:
    try:
        return resolve(name, folder)
    except BaseModelError as error:
        near = difflib.get_close_matches(name, read_list(), n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"{error.hint}; `tav bases list` shows those that have a name"
        raise BaseModelError(error.message, hint) from None


def written_name(name: str) -> str:
    """A base as a workspace writes it down: its name, or a folder's full path. Raises as `find_base` does."""
    folder = find_base(name)
    named = name == EMBEDDED or name in read_list() or not Path(name).expanduser().is_dir()
    return name if named else str(folder)


def known_bases() -> Iterator[KnownBase]:
    """Every base that has a name here, also those whose folder is gone."""
    if embedded.is_there():
        yield KnownBase(EMBEDDED, embedded.FOLDER, folder_size(embedded.FOLDER), "embedded")
    for name, entry in sorted(read_list().items()):
        place = "converted file" if is_converted(name, entry) else "folder"
        yield KnownBase(name, entry.folder, folder_size(entry.folder), place, gone=not entry.folder.is_dir())
    for base in cached_bases():
        yield KnownBase(base.name, base.path, base.size, HUB_CACHE)


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder; 0 if it is gone."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# The list -------------------------------------------------------------------------------------------------------------


def list_file() -> Path:
    """The file of the list."""
    return config_folder() / LIST


def home_of(name: str) -> Path:
    """The folder of a converted base."""
    return data_folder() / "bases" / name


def is_converted(name: str, entry: Entry) -> bool:
    """Did tav make the base's folder? Its place decides, not the list: a list can be edited to name any folder."""
    return entry.folder == home_of(name)


def read_list() -> dict[str, Entry]:
    """The user's bases by name; empty if there is no list. Raises SettingsError, NewerFormatError."""
    path = list_file()
    if not path.exists():
        return {}
    values = read_toml(path)
    refuse_newer(values.get("format"), str(path))
    return parse(BaseList, values, str(path)).bases


def add(name: str, entry: Entry) -> None:
    """Write a base into the list. Raises SettingsError when the name is taken."""

    def change(entries: dict[str, Entry]) -> None:
        if name in entries:
            raise _taken(name, entries[name])
        entries[name] = entry

    with changing():
        _rewrite(change)


def remove(name: str) -> Entry:
    """Take a base out of the list; a folder that tav made for it is removed. Raises SettingsError.

    The list is written before the folder is deleted: after a kill, the next change of the list deletes the rest.
    """
    with changing():
        entry = listed(name)
        home, away = home_of(name), temporary_sibling(home_of(name))
        converted = is_converted(name, entry) and home.is_dir()
        if converted:
            home.replace(away)
        _rewrite(lambda entries: entries.pop(name))
        if converted:
            shutil.rmtree(away)
    return entry


def listed(name: str) -> Entry:
    """A base's entry in the list. Raises SettingsError for a base without one, saying why it cannot be removed."""
    entries = read_list()
    if name in entries:
        return entries[name]
    if name == EMBEDDED:
        raise SettingsError(f"{EMBEDDED} is part of tav", "nothing to remove: it takes no room of its own")
    if any(base.name == name for base in cached_bases()):
        raise SettingsError(f"{name} is in the hub cache, not in your list", f"`hf cache rm model/{name}` removes it")
    near = difflib.get_close_matches(name, entries, n=1, cutoff=0.5)
    hint = (
        f"did you mean `{near[0]}`?" if near else "`tav bases list` shows them; a base named by its path is in no list"
    )
    raise SettingsError(f"there is no base `{name}` in your list", hint)


@contextmanager
def changing() -> Iterator[None]:
    """Hold the list's lock: one process at a time changes the list, or makes a folder for it."""
    config_folder().mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(config_folder() / ".bases.lock", timeout=_SOON):
            remove_leftovers(config_folder())
            remove_leftovers(data_folder() / "bases")
            yield
    except filelock.Timeout:
        raise SettingsError("another process changes the list of bases", "try again when it is done") from None


def _rewrite(change: Callable[[dict[str, Entry]], object]) -> None:
    entries = dict(read_list())
    change(entries)
    tables = {name: entry.model_dump(exclude_none=True) for name, entry in sorted(entries.items())}
    write_text(list_file(), _NOTE + tomlkit.dumps({"format": FORMAT, "bases": tables}))


# Checks before anything is added --------------------------------------------------------------------------------------


def free_name(wanted: str | None, path: Path) -> str:
    """The name for a base at `path`: `wanted`, else made from the path. Raises SettingsError if invalid or taken."""
    name = (
        wanted if wanted is not None else re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem if path.is_file() else path.name)
    )
    name = name if wanted is not None else name.strip("-.")[:48].lower()
    if not NAME.fullmatch(name):
        raise SettingsError(
            f"`{name}` is no name for a base", "letters, digits, `_`, `-` and `.`, at most 48: --name NAME"
        )
    if name == EMBEDDED:
        raise SettingsError(f"{EMBEDDED} is the embedded base's name", "choose another one: --name NAME")
    if entry := read_list().get(name):
        raise _taken(name, entry)
    return name


def _taken(name: str, entry: Entry) -> SettingsError:
    return SettingsError(
        f"there is a base {name} already: {entry.path}",
        f"choose another name: --name NAME, or `tav bases remove {name}`",
    )
