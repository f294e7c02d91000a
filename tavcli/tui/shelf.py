"""The workspaces of a folder, as the library shows them: read from their files, one at a time, without hashing."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tav.atomic import TEMPORARY
from tav.errors import SettingsError, TavError
from tavcli.edits import RECIPE, Edit, all_edits
from tavcli.settings import read_toml
from tavcli.stages import INVERTED, TUNED
from tavcli.workspace import SETTINGS, SHEET, Workspace

# So deep under the current folder workspaces are looked for.
_LEVELS = ("", "*/", "*/*/")
# So many of the newest edits are shown by their prompts.
_LATEST = 8


@dataclass(frozen=True)
class Entry:
    """One workspace. `stages` are (name, state); `edits` counts by state; `latest` are (state, prompt), newest first.

    A workspace that cannot be read has a `problem`, and nothing else but its folder.
    """

    folder: Path
    caption: str = ""
    base: str = ""
    source: Path | None = None
    stages: tuple[tuple[str, str], ...] = ()
    edits: tuple[tuple[str, int], ...] = ()
    latest: tuple[tuple[str, str], ...] = ()
    problem: str = ""

    @property
    def cover(self) -> Path | None:
        """Where its first frame can be seen."""
        sheet = self.folder / SHEET
        return sheet if sheet.is_file() else self.source


def workspaces(root: Path) -> list[Path]:
    """The folders of workspaces at `root` and at most two levels below, by path; hidden ones are left out."""
    found = (path.parent for level in _LEVELS for path in root.glob(f"{level}{SETTINGS}"))
    return sorted(folder for folder in found if not any(map(_hidden, folder.relative_to(root).parts)))


def _hidden(name: str) -> bool:
    return name.startswith((".", TEMPORARY))


def read(folder: Path) -> Entry:
    """What the files of a workspace say."""
    workspace = Workspace(folder)
    try:
        values = workspace.read()
        edits = [(_state(edit), edit) for edit in all_edits(workspace)]
    except TavError as error:
        return Entry(folder, problem=error.message)
    except OSError as error:
        return Entry(folder, problem=f"{error.filename}: {error.strerror}")
    clip = values.get("clip")
    source = clip.get("source") if isinstance(clip, dict) else None
    return Entry(
        folder,
        caption=str(values.get("caption", "")),
        base=str(values.get("base", "")),
        source=folder / source if isinstance(source, str) and source else None,
        stages=tuple(_stages(workspace)),
        edits=tuple(Counter(state for state, _ in edits).items()),
        latest=tuple((state, _prompt(edit)) for state, edit in reversed(edits[-_LATEST:])),
    )


def _stages(workspace: Workspace) -> Iterator[tuple[str, str]]:
    places = (("tuned", workspace.tuned, TUNED), ("inverted", workspace.inverted, INVERTED))
    for name, parent, result in places:
        yield name, "made" if any(parent.glob(f"*/{result}")) else "missing"


def _state(edit: Edit) -> str:
    if edit.done:
        return "done"
    return "queued" if _recipe(edit).get("state") == "queued" else "unfinished"


def _prompt(edit: Edit) -> str:
    return str(_recipe(edit).get("prompt", edit.folder.name))


def _recipe(edit: Edit) -> dict[str, Any]:
    """As it is written down; nothing where that is broken: a list of many must not fail for one."""
    with suppress(SettingsError):
        return read_toml(edit.folder / RECIPE)
    return {}
