"""`tav demo`: the main job on a drawn clip that comes with tav, by the very commands that one would type."""

import contextlib
import io
import json
import shlex
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tav.bases.embedded import EMBEDDED
from tav.errors import SettingsError
from tav.settings import ClipSettings
from tavcli.commands.console import Output, short
from tavcli.commands.options import Options, globals_first
from tavcli.config.templates import templates
from tavcli.units import duration
from tavcli.workspace.folder import SETTINGS

CAPTION = "a man is skiing on the snow"
PROMPTS = [
    "a superhero is skiing on the snow",
    "a man is skiing on the beach",
    "a man is skiing on the snow, van gogh style",
]

Stage = tuple[str, list[str]]


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The workspace to make.")] = Path("tav-demo"),
) -> None:
    """Edit a drawn clip that comes with tav, from init to a sheet of three edits. Takes minutes; goes on if stopped."""
    options: Options = context.obj
    out = Output(options)
    begun = _is_begun(folder)
    stages = _stages(folder, options)[begun:]  # the first one makes the workspace
    if options.dry_run:
        commands = [_typed(words) for _, words in stages]
        out.result(commands, commands)
        return
    if begun:
        out.say(f"going on with the workspace {short(folder.resolve())}")
    began = time.monotonic()
    for what, words in stages:
        out.say(f"\n{what}\n$ {_typed(words)}")
        result = _run(context, options, words)
    sheet = _sheet(folder, result)
    out.say(f"\ndone in {duration(time.monotonic() - began)}: {len(result)} edits, and a sheet of them")
    out.say(f'next: tav -C {short(folder.resolve())} edit "a panda is skiing on the snow"')
    data = {"workspace": str(folder.resolve()), "edits": result, "sheet": str(sheet)}
    out.result(data, [*(short(Path(edit["video"])) for edit in result), short(sheet)])


def _clip() -> Path:
    return templates() / "demo" / "man-skiing.mp4"


def _stages(folder: Path, options: Options) -> list[Stage]:
    """What is done, in words and as the command's."""
    given = [word for name, value in options.flags().items() for word in (f"--{name}", value)]
    here = [*given, "-C", str(folder)]
    about = ["--caption", CAPTION, "--base", EMBEDDED]
    return [
        ("A workspace for the clip, on the embedded base:", [*given, "init", str(_clip()), str(folder), *about]),
        ("The base learns how the clip moves:", [*here, "tune"]),
        ("The noise is found that gives the clip back:", [*here, "invert"]),
        ("The clip is made again under new captions:", [*here, "edit", *PROMPTS]),
    ]


def _is_begun(folder: Path) -> bool:
    """Is the demo's workspace there already? Raises SettingsError when something else is."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    source = folder / f"source{_clip().suffix}"
    if (folder / SETTINGS).is_file() and source.is_file() and source.read_bytes() == _clip().read_bytes():
        return True
    raise SettingsError(f"{folder} is already there, and is not the demo's", "name another folder: tav demo FOLDER")


def _typed(words: list[str]) -> str:
    return shlex.join(["tav", *words])


def _run(context: typer.Context, options: Options, words: list[str]) -> Any:
    """Run a command line as the program does; returns its result."""
    tav = context.find_root().command
    loudness = ["-q"] * options.quiet + ["-v"] * options.verbose
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        tav.invoke(tav.make_context("tav", globals_first(["--json", *loudness, *words])))
    return json.loads(out.getvalue())


def _sheet(folder: Path, edits: list[dict[str, Any]]) -> Path:
    """Write the picture of the clip and, below it, its edits; returns where."""
    from tav.video import contact_sheet

    path = folder.resolve() / "sheet.png"
    rows = [(CAPTION, _frames(_clip())), *((edit["prompt"], _frames(Path(edit["video"]))) for edit in edits)]
    contact_sheet(path, rows)
    return path


def _frames(video: Path) -> Any:
    """All frames of a video, (f h w 3) uint8."""
    from tav.video import probe, read_clip

    info = probe(video)
    return read_clip(video, ClipSettings(stride=1), (info.width, info.height), info).frames
