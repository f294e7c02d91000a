"""`tav init`: a workspace from a clip, with everything checked before anything is written."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tav.bases.embedded import EMBEDDED
from tav.errors import SettingsError
from tav.settings import ClipSettings, parse
from tavcli.commands.texts import warn_of_cut_text, warn_of_unknown_words
from tavcli.console import Talk, short
from tavcli.options import Options
from tavcli.settings import Layer, in_force, merge, preset_layer, without_none
from tavcli.workspace import create, refuse_taken


def init(
    context: typer.Context,
    clip: Annotated[Path, typer.Argument(help="The video.")],
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
    talk = Talk(options)
    given = {"start": start, "frames": frames, "stride": _stride(stride), "fps": fps, "size": _size(size), "fit": fit}
    flags = without_none(given)
    parse(ClipSettings, flags, "command line")
    target = folder or Path(_folder_name(clip))
    refuse_taken(target)
    values = {
        "base": _base(base),
        "preset": preset,
        **options.flags(),
        "clip": {"source": f"source{_ending(clip)}"},
    }
    facts = _take(clip, values, preset, flags)
    values["caption"] = caption if caption is not None else _ask_caption(options)
    parts = facts.pop("parts")
    in_force(without_none(values), {}, parts.recommendation)
    warn_of_cut_text(parts, talk, [values["caption"]])
    warn_of_unknown_words(parts, talk, [values["caption"]])
    if not options.dry_run:
        create(target, clip, without_none(values))
    for line in facts.pop("said"):
        talk.say(line)
    if not options.dry_run:
        talk.say(f'workspace {short(target.resolve())}; next: tav tune, or at once: tav edit "a new caption"')
    result = {"workspace": str(target.resolve()), "caption": values["caption"], "base": values["base"], **facts}
    talk.result(result, [] if options.dry_run else [str(target)])


def _take(clip: Path, values: dict[str, Any], preset: str | None, flags: Layer) -> dict[str, Any]:
    """Choose frames and size, fill them into `values`, and decode once to be sure; returns what was taken."""
    from tav.bases.catalog import resolve
    from tav.bases.parts import inspect_base
    from tav.bases.sizes import check_size, fitting_size
    from tav.video import choose_frames, probe, read_clip

    clip_layer = merge(preset_layer(preset), {"clip": flags}).get("clip", {})
    settings = parse(ClipSettings, clip_layer, "clip settings")
    info = probe(clip)
    choice = choose_frames(info, settings)
    parts = inspect_base(resolve(values["base"]))
    size = settings.size or fitting_size(parts, info.width / info.height)
    check_size(parts, *size)
    read_clip(clip, settings, size, info)
    rate = {"fps": settings.fps} if settings.fps is not None else {"stride": choice.stride}
    taken = {"start": settings.start, "frames": len(choice.indices), **rate, "size": list(size), "fit": settings.fit}
    values["clip"] |= taken
    said = [
        f"clip: {info.width}x{info.height}, {len(info.timestamps)} frames, {float(info.fps):.4g} a second",
        f"taken: {len(choice.indices)} frames from {settings.start:g} s, "
        + (f"every {_ordinal(choice.stride)}" if settings.fps is None else f"{settings.fps:g} a second")
        + f", at {size[0]}x{size[1]} ({settings.fit}); the result plays at {float(choice.fps):.4g} a second",
        f"base: {values['base']}"
        + (" (embedded drawing base; for photographs choose one with --base)" if values["base"] == EMBEDDED else ""),
    ]
    return {**taken, "output_fps": float(choice.fps), "said": said, "parts": parts}


def _base(given: str | None) -> str:
    """The base as it is written down: a folder by its full path, the embedded one and hub names as they are."""
    from tav.bases.catalog import resolve
    from tavcli.user import default_base

    name = given or default_base()
    folder = resolve(name)
    return str(folder) if name != EMBEDDED and Path(name).expanduser().is_dir() else name


def _ask_caption(options: Options) -> str:
    if not sys.stdin.isatty() or options.json:
        raise SettingsError("the caption is missing", 'say what the clip shows: --caption "a man is skiing"')
    return str(typer.prompt("What does the clip show? (a sentence)", err=True)).strip()


def _folder_name(clip: Path) -> str:
    """The clip's name without its ending; never the clip itself."""
    return clip.stem if clip.suffix else f"{clip.name}-tav"


def _ending(clip: Path) -> str:
    """The clip's own, unless it is no such thing but part of some strange name."""
    return clip.suffix.lower() if re.fullmatch(r"\.[A-Za-z0-9]{1,8}", clip.suffix) else ""


def _stride(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text


def _size(text: str | None) -> list[int] | None:
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise SettingsError(f"--size {text}: a size is WIDTHxHEIGHT", "for instance --size 512x512")
    return [int(width), int(height)]


def _ordinal(number: int | None) -> str:
    if number in (None, 1):
        return "frame"
    return {2: "2nd frame", 3: "3rd frame"}.get(number, f"{number}th frame")
