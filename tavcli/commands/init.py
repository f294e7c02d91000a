"""`tav init`: a workspace from a clip, with everything checked before anything is written."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tav.bases.embedded import EMBEDDED
from tav.errors import SettingsError
from tav.settings import ClipSettings, parse
from tavcli.commands.clip_report import draw, in_words, warnings
from tavcli.commands.console import Output, short
from tavcli.commands.options import Options
from tavcli.commands.prompt_checks import warn_of_cut_text, warn_of_unknown_words
from tavcli.config.bases import find_base, written_name
from tavcli.config.files import Layer
from tavcli.config.settings import in_force, merge, preset_layer, without_none
from tavcli.workspace.folder import SHEET, create, refuse_taken

LONGEST_NAME = 60  # characters: up to 240 bytes, and tav's own names put a few more to it


def init(
    context: typer.Context,
    clip: Annotated[Path, typer.Argument(help="The video, or a folder of its frames.")],
    folder: Annotated[Path | None, typer.Argument(help="The workspace to make; the clip's name if left out.")] = None,
    caption: Annotated[str | None, typer.Option(help="What the clip shows, in a sentence.")] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="The text-to-image model; `storybook`, which draws, is embedded."),
    ] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="paper, official, low-memory or draft.")] = None,
    start: Annotated[float | None, typer.Option(metavar="S", help="Seconds into the clip to start at.")] = None,
    frames: Annotated[int | None, typer.Option(metavar="N", help="How many frames.")] = None,
    stride: Annotated[
        str | None, typer.Option(metavar="K", help="Every K-th frame, or `uniform` over the clip.")
    ] = None,
    fps: Annotated[float | None, typer.Option(metavar="F", help="Frames a second, instead of a stride.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Size of the network's pictures.")] = None,
    fit: Annotated[str | None, typer.Option(metavar="crop|letterbox", help="How the clip is fitted to it.")] = None,
) -> None:
    """Make a workspace from a clip."""
    options: Options = context.obj
    out = Output(options)
    given = {"start": start, "frames": frames, "stride": _stride(stride), "fps": fps, "size": _size(size), "fit": fit}
    flags = without_none(given)
    parse(ClipSettings, flags, "command line")
    target = folder or Path(_folder_name(clip))
    refuse_taken(target)
    values = {
        "base": _base(base),
        "preset": preset,
        **options.flags(),
        "clip": {"source": _source_name(clip)},
    }
    facts = _take(clip, values, preset, flags)
    taken = facts.pop("taken")
    values["caption"] = caption if caption is not None else _ask_caption(options)
    parts = facts.pop("parts")
    in_force(without_none(values), {}, parts.recommendation)
    warn_of_cut_text(parts, out, [values["caption"]])
    warn_of_unknown_words(parts, out, [values["caption"]])
    if not options.dry_run:
        create(target, clip, without_none(values), lambda path: draw(path, taken))
    for line in facts.pop("said"):
        out.say(line)
    for line in facts["warnings"]:
        out.warn(line)
    if not options.dry_run:
        facts["sheet"] = str(target.resolve() / SHEET)
        out.say(f"what was taken, as a sheet: {short(target.resolve() / SHEET)}")
        out.say(f'workspace {short(target.resolve())}; next: tav tune, or at once: tav edit "a new caption"')
    result = {"workspace": str(target.resolve()), "caption": values["caption"], "base": values["base"], **facts}
    out.result(result, [] if options.dry_run else [str(target)])


def _take(clip: Path, values: dict[str, Any], preset: str | None, flags: Layer) -> dict[str, Any]:
    """Choose frames and size, fill them into `values`, and decode once to be sure; returns what was taken."""
    from tav.bases.parts import inspect_base
    from tav.bases.sizes import check_size, fitting_size
    from tav.video import choose_frames, fit, judge, probe, read_clip

    clip_layer = merge(preset_layer(preset), {"clip": flags}).get("clip", {})
    settings = parse(ClipSettings, clip_layer, "clip settings")
    info = probe(clip)
    choose_frames(info, settings)
    parts = inspect_base(find_base(values["base"]))
    size = settings.size or fitting_size(parts, info.width / info.height)
    check_size(parts, *size)
    read = read_clip(clip, settings, size, info)
    stride = choose_frames(read.info, settings).stride
    rate = {"fps": settings.fps} if settings.fps is not None else {"stride": stride}
    taken = {"start": settings.start, "frames": len(read.indices), **rate, "size": list(size), "fit": settings.fit}
    values["clip"] |= taken
    said = in_words(read, fit(read.info.width, read.info.height, size, settings.fit), settings, stride)
    said.append(
        f"base: {values['base']}"
        + (" (embedded drawing base; for photographs choose one with --base)" if values["base"] == EMBEDDED else "")
    )
    warned = warnings(read, judge(read.content.cut(read.frames)), clip.is_dir())
    facts = {"output_fps": float(read.fps), "sound": read.info.has_audio, "warnings": warned}
    return {**taken, **facts, "said": said, "parts": parts, "taken": read}


def _base(given: str | None) -> str:
    from tavcli.config.user import default_base

    return written_name(given or default_base())


def _ask_caption(options: Options) -> str:
    if not sys.stdin.isatty() or options.json:
        raise SettingsError("the caption is missing", 'say what the clip shows: --caption "a man is skiing"')
    return str(typer.prompt("What does the clip show? (a sentence)", err=True)).strip()


def _folder_name(clip: Path) -> str:
    """The clip's name without its ending, and not too long to build on; never the clip itself."""
    if clip.suffix and not clip.is_dir():
        return clip.stem[:LONGEST_NAME].rstrip()
    return f"{(clip.resolve() if clip.is_dir() else clip).name[:LONGEST_NAME].rstrip()}-tav"


def _source_name(clip: Path) -> str:
    """What the copy of the clip is called: `source`, with its ending if that is an ordinary one."""
    ordinary = clip.suffix.isascii() and clip.suffix[1:].isalnum() and len(clip.suffix) <= 8
    return f"source{clip.suffix.lower()}" if ordinary and not clip.is_dir() else "source"


def _stride(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text


def _size(text: str | None) -> list[int] | None:
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise SettingsError(f"--size {text}: a size is WIDTHxHEIGHT", "for instance --size 512x512")
    return [int(width), int(height)]
