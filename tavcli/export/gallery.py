"""The gallery: a workspace's finished edits, playing in one HTML page that needs no other file."""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tav
from tav.atomic import replacing
from tav.errors import SettingsError, TavError, VideoError
from tav.settings import BaseRecommendation, ClipSettings, parse
from tavcli.config.files import read_json
from tavcli.config.settings import WorkspaceSettings, in_force
from tavcli.config.templates import templates
from tavcli.events import Note
from tavcli.export.loss_curve import Curve, read_curve
from tavcli.text import printable
from tavcli.workspace.annotations import Marks, read_marks
from tavcli.workspace.edits import MADE, RECIPE, Edit, all_edits
from tavcli.workspace.fingerprint import digest
from tavcli.workspace.folder import Workspace
from tavcli.workspace.recipes import as_toml, checked, command
from tavcli.workspace.scores import read_scores

SCRIPTS = "grid.js", "compare.js"
_DATE = "%Y-%m-%d %H:%M:%S"
_KEY = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Film:
    """A video file, `rate` in frames a second."""

    path: Path
    width: int
    height: int
    frames: int
    rate: float

    @property
    def uri(self) -> str:
        """The file as a `data:` address, read on use, so that the page is never in memory as a whole."""
        return "data:video/mp4;base64," + base64.b64encode(self.path.read_bytes()).decode("ascii")


@dataclass(frozen=True)
class Shown:
    """An edit as the page shows it; all characters of its texts are printable."""

    number: int
    prompt: str
    recipe: str
    command: str
    date: str
    marks: Marks
    scores: dict[str, float]
    video: Film
    made_from: dict[str, Any]


@dataclass(frozen=True)
class Gallery:
    """The content of the page; `source` is the clip as the network saw it."""

    name: str
    caption: str
    base: str
    edits: list[Shown]
    source: Film | None
    curve: Curve | None

    @property
    def starred(self) -> int:
        return sum(edit.marks.starred for edit in self.edits)

    @property
    def tags(self) -> list[tuple[str, int]]:
        """The tags, each with the number of its edits."""
        return sorted(Counter(tag for edit in self.edits for tag in edit.marks.tags).items())

    @property
    def scores(self) -> list[str]:
        return list(dict.fromkeys(name for edit in self.edits for name in edit.scores))


@dataclass(frozen=True)
class Written:
    """The page is written; its number of edits, and its size in bytes."""

    edits: int
    size: int


def finished(workspace: Workspace) -> tuple[list[Edit], int]:
    """The edits that are done, and how many are not. Raises SettingsError when none is."""
    edits = all_edits(workspace)
    done = [edit for edit in edits if edit.done]
    if not done:
        hint = "`tav edit` goes on with an unfinished one" if edits else 'tav edit "a new caption" makes one'
        raise SettingsError("there is no finished edit to show", hint)
    return done, len(edits) - len(done)


def write(workspace: Workspace, edits: list[Edit], path: Path) -> Iterator[Note | Written]:
    """Write the page of these edits to `path`, whole or not at all; an edit that cannot be shown gives a warning.

    Raises SettingsError when no edit can be shown.
    """
    settings = in_force(workspace.read(), {}, BaseRecommendation())
    shown = yield from _shown(edits)
    with TemporaryDirectory(prefix="tav-") as scratch:
        source = yield from _source(workspace.folder / settings.clip.source, shown, Path(scratch) / "source.mp4")
        name, caption = printable(workspace.folder.name), printable(settings.caption)
        page = Gallery(name, caption, printable(_base_name(settings)), shown, source, _curve(workspace, shown))
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(render(page))
    yield Written(len(shown), path.stat().st_size)


def _shown(edits: list[Edit]) -> Generator[Note, None, list[Shown]]:
    shown = []
    for edit in edits:
        try:
            shown.append(_show(edit))
        except TavError as error:
            yield Note(f"edit {edit.number} is left out: {error.message}", warning=True)
    if not shown:
        raise SettingsError("no edit of this workspace can be shown", "`tav show N` says what is wrong with one")
    return shown


def _show(edit: Edit) -> Shown:
    recipe = edit.recipe
    if not edit.begun:
        raise SettingsError("there is a video, but its recipe is that of a queued edit")
    needed = checked(recipe, f"{edit.folder.name}/{RECIPE}")
    return Shown(
        edit.number,
        printable(needed.prompt),
        as_toml(recipe),
        command(needed),
        _date(edit),
        read_marks(edit.folder),
        {printable(name): value for name, value in read_scores(edit.folder).items()},
        film(edit.video),
        recipe,
    )


def film(path: Path) -> Film:
    """Describe a video file. Raises VideoError if it is none."""
    from tav.video import probe

    info = probe(path)
    return Film(path, info.width, info.height, info.num_frames, float(info.fps))


def _date(edit: Edit) -> str:
    """When the edit was made; where `made.json` does not say, when its video was written."""
    try:
        return f"{datetime.strptime(read_json(edit.folder / MADE)['date'], _DATE):{_DATE}}"
    except (SettingsError, KeyError, TypeError, ValueError):
        return f"{datetime.fromtimestamp(edit.video.stat().st_mtime):{_DATE}}"


def _base_name(settings: WorkspaceSettings) -> str:
    """The base's name without the folders above it, which are private."""
    return Path(settings.base).name or settings.base


def _curve(workspace: Workspace, shown: list[Shown]) -> Curve | None:
    """The loss curve of the tuning that the newest edit was made with."""
    key = shown[-1].made_from["tuned"]["key"]
    return read_curve(workspace.tuned / key) if _KEY.fullmatch(key) else None


def _source(source: Path, shown: list[Shown], path: Path) -> Generator[Note, None, Film | None]:
    """A video at `path` of the clip's frames that the newest edit was made from, one for each of its frames."""
    from tav.video import read_clip, write_video

    try:
        chosen, like = _newest_of(digest(source), shown)
        clip = read_clip(source, chosen, chosen.size or (like.width, like.height))
        write_video(path, clip.content.cut(clip.frames), clip.fps)
        return film(path)
    except (TavError, OSError) as error:
        said = error.message if isinstance(error, TavError) else error.strerror
        yield Note(f"{source.name} is left out: {said}", warning=True)
    return None


def _newest_of(source: str, shown: list[Shown]) -> tuple[ClipSettings, Film]:
    """The clip settings of the newest edit of the clip with digest `source`, and that edit's video."""
    for edit in reversed(shown):
        clip = edit.made_from.get("clip")
        if isinstance(clip, dict) and clip.get("source") == source:
            names = ClipSettings.model_fields.keys() - ({"size"} if isinstance(clip.get("size"), str) else set())
            chosen = {name: clip[name] for name in names & clip.keys()}
            return parse(ClipSettings, chosen, "the recipe"), edit.video
    raise VideoError("it is not the clip that the edits were made from")


def render(page: Gallery) -> Iterator[str]:
    """The page in pieces."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = templates() / "gallery"
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    style = (folder / "style.css").read_text(encoding="utf-8")
    script = "".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    own = {"style": style, "script": script, "policy": _policy(style, script)}
    return environment.get_template("page.html").generate(page=page, version=tav.__version__, **own)


def _policy(style: str, script: str) -> str:
    """The page's security policy: no script runs but tav's, and nothing is fetched, should the escaping ever fail."""
    script_hash, style_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)
    )
    return (
        f"default-src 'none'; script-src 'sha256-{script_hash}'; style-src 'sha256-{style_hash}'; media-src data: blob:"
    )
