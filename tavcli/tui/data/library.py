"""The workspaces of a folder, as the library shows them, read from their files one at a time."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from tav.atomic import TEMPORARY
from tav.errors import TavError
from tavcli.methods.status import overview
from tavcli.queue.queue import Queue
from tavcli.workspace.folder import SETTINGS, SHEET, Workspace

# How deep under the current folder workspaces are looked for.
_LEVELS = ("", "*/", "*/*/")
# How many of the newest edits are shown, by their prompts.
_LATEST = 8


@dataclass(frozen=True)
class Entry:
    """One workspace. `edits` counts its edits by state; `latest` are (state, prompt) of open edits, then of the newest.

    `stages` are (name, state), empty until they are read. `problem` says why the stages, or with a bad tav.toml all
    values, are unknown.
    """

    folder: Path
    caption: str = ""
    base: str = ""
    cover: Path | None = None
    stages: tuple[tuple[str, str], ...] = ()
    edits: tuple[tuple[str, int], ...] = ()
    latest: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def workspaces(root: Path) -> list[Path]:
    """The folders of workspaces at `root` and at most two levels below, by path; hidden ones are left out."""
    found = (path.parent for level in _LEVELS for path in root.glob(f"{level}{SETTINGS}"))
    return sorted(folder for folder in found if not any(map(_hidden, folder.relative_to(root).parts)))


def _hidden(name: str) -> bool:
    return name.startswith((".", TEMPORARY))


def read(folder: Path) -> Entry:
    """An entry without its stages, from tav.toml and the queue. Bad files become its `problem`; nothing is raised."""
    workspace = Workspace(folder)
    sheet = folder / SHEET
    entry = Entry(folder, cover=sheet if sheet.is_file() else None)
    try:
        return _filled(entry, workspace)
    except TavError as error:
        return replace(entry, problem=error.message)
    except OSError as error:
        return replace(entry, problem=f"{error.filename}: {error.strerror}")


def _filled(entry: Entry, workspace: Workspace) -> Entry:
    values = workspace.read()
    clip = values.get("clip")
    source = clip.get("source") if isinstance(clip, dict) else None
    rows = [row for row in Queue(workspace).rows() if row.kind == "edit"]
    return replace(
        entry,
        caption=str(values.get("caption", "")),
        base=str(values.get("base", "")),
        cover=entry.cover or (workspace.folder / source if isinstance(source, str) and source else None),
        edits=tuple(Counter(row.state for row in rows).items()),
        latest=tuple((row.state, row.summary.title) for row in rows[:_LATEST]),
    )


def judged(entry: Entry) -> Entry:
    """The entry with its stages, or why they are unknown. Slow once for each base, whose files get a digest."""
    seen = overview(Workspace(entry.folder))
    stages = ((name, word) for name, word in (("tuned", seen.tuned), ("inverted", seen.inverted)) if word is not None)
    return replace(entry, stages=tuple(stages), problem=seen.problem)
