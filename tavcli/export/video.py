"""`-o`: a copy of an edit's video in the format that the file name asks for, with the recipe beside it."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

import tomlkit

from tav.atomic import remove_leftovers, replacing, write_text
from tav.errors import SettingsError, VideoError
from tav.settings import ClipSettings
from tavcli.workspace.edits import Edit
from tavcli.workspace.session import Session

SOUNDING = ".mp4", ".webm"


def place(output: str | None, scale: str | None, prompts: list[str]) -> Path | None:
    """The path that `-o` writes to. Raises TavError, before any work is done, for a path that would fail after it."""
    from tav.video import check_output

    if scale not in (None, "source"):
        raise SettingsError(f"--scale {scale}: there is only `source`", "--scale source: the size of the clip's file")
    if output is None:
        if scale:
            raise SettingsError("--scale is about the file of -o", "name it: -o NAME")
        return None
    if len(set(prompts)) > 1:
        raise SettingsError("-o takes one prompt", "the videos are in the workspace's edits/; copy them from there")
    path = Path(output).resolve()
    if output.endswith("/") and path.suffix:
        raise SettingsError(f"-o {output}: a folder's name has no dot in it", "leave it out")
    above = next(folder for folder in path.parents if folder.exists())
    if not above.is_dir():
        raise SettingsError(f"-o {output}: {above} is not a folder", "name another place")
    check_output(path)
    return path


def write(session: Session, one: Edit, output: Path, scale: str | None) -> None:
    """Write the edit's video to `output`, at its own size or, with scale `source`, at the clip's."""
    recipe = one.recipe
    if scale:
        recipe["scale"] = scale
    beside = output.with_name(f"{output.name}.recipe.toml") if output.suffix else output / "recipe.toml"
    try:
        remove_leftovers(output.parent)
        if output.suffix.lower() == ".mp4" and not scale:
            with replacing(output) as temporary:
                shutil.copyfile(one.video, temporary)
        else:
            _convert(one.video, output, recipe, _source_size(session) if scale else None)
        write_text(beside, tomlkit.dumps(recipe))
    except OSError as error:
        raise VideoError(
            f"cannot write {output}: {error.strerror or error}", f"the edit itself is {one.video}"
        ) from None


def _convert(video: Path, output: Path, recipe: dict[str, Any], size: tuple[int, int] | None) -> None:
    """Write the video in the format of `output`, at `size`, with its sound if the format has sound."""
    from tav.video import cut_sound, has_sound, probe, read_clip, resized, write_video

    info = probe(video)
    clip = read_clip(video, ClipSettings(stride=1, frames=info.num_frames), (info.width, info.height), info)
    frames = resized(clip.frames, size) if size else clip.frames
    with contextlib.ExitStack() as held:
        sound = None
        if output.suffix.lower() in SOUNDING and has_sound(video):
            sound = held.enter_context(cut_sound(video, 0, float(info.num_frames / info.fps)))
        write_video(output, frames, info.fps, recipe, sound)


def _source_size(session: Session) -> tuple[int, int]:
    """Width and height, in the clip's own pixels, of the part of it that the edit shows."""
    from tav.video import fit

    info, settings = session.clip.info, session.settings.clip
    height, width = session.clip.frames.shape[1:3]
    fitted = fit(info.width, info.height, (width, height), settings.fit)
    sides = zip(fitted.window[2:], (info.width, info.height), fitted.scaled, strict=True)
    across, down = (min(whole, max(1, round(kept * whole / scaled))) for kept, whole, scaled in sides)
    return across, down
