"""Writing of animated WebP and of folders of PNGs, by Pillow."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tav.atomic import temporary_sibling
from tav.errors import VideoError
from tav.video.comment_fields import as_xmp
from tav.video.ffmpeg import one_line
from tav.video.ffmpeg_writers import Frames
from tav.video.recipe_metadata import read_recipe

_OWN_FILES = re.compile(r"\d{5}\.png|recipe\.toml")
SHORTEST_WEBP = 10  # ms: browsers show a shorter frame for ten times as long


def resized(frames: Iterable[NDArray[np.uint8]], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Yield each frame (h, w, 3) at `size` (width, height), by Lanczos; one at a time, since large ones need memory."""
    return (np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in frames)


def write_webp(path: Path, frames: Frames, rate: Fraction, text: str | None, _: Path | None, failure: str) -> None:
    """Write a lossy WebP of high quality, a quarter of the lossless size; `text` becomes its description (XMP)."""
    shown = list(frames)
    # Times are rounded, not durations: errors do not add up.
    times = [round(1000 * number / rate) for number in range(len(shown) + 1)]
    kept = _shown_frames(times[:-1])
    first, *rest = (Image.fromarray(shown[number]) for number in kept)
    durations = [after - before for before, after in pairwise([*(times[number] for number in kept), times[-1]])]
    more = {} if text is None else {"xmp": as_xmp(text)}
    animation = {"save_all": True, "append_images": rest, "duration": durations, "loop": 0}
    try:
        first.save(path, format="WEBP", quality=90, method=4, **animation, **more)
    except (ValueError, RuntimeError) as error:  # too large for WebP
        raise VideoError(f"{failure}: {one_line(error)}", "choose another ending, such as .mp4") from error


def _shown_frames(times: list[int]) -> list[int]:
    """The numbers of the frames that are shown: each at least SHORTEST_WEBP after the one before."""
    kept = [0]
    for number, time in enumerate(times):
        if time - times[kept[-1]] >= SHORTEST_WEBP:
            kept.append(number)
    return kept


def write_pictures(
    folder: Path,
    frames: Frames,
    _: Fraction,
    text: str | None,
    __: Path | None,
    failure: str,  # noqa: ARG001
) -> None:
    """Write lossless 00000.png, 00001.png, ...; `text` becomes the comment of each."""
    about = PngInfo()
    if text is not None:
        about.add_text("Comment", text)
    for number, frame in enumerate(frames):
        with (folder / f"{number:05}.png").open("wb") as file:
            Image.fromarray(frame).save(file, format="PNG", pnginfo=about)
            file.flush()
            os.fsync(file.fileno())


def check_folder(folder: Path) -> None:
    """Raise VideoError for a folder with files that tav did not write: they would be lost."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise VideoError(
            f"{one_line(folder)} is a file, not a folder", "name a folder, or a file with an ending such as .mp4"
        )
    names = [path.name for path in folder.iterdir()]
    if names and not (all(map(_OWN_FILES.fullmatch, names)) and read_recipe(folder) is not None):
        raise VideoError(f"{one_line(folder)} is a folder that holds other files", "name a new folder, or an empty one")


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder; on success it replaces `folder`, else it is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    building, old = temporary_sibling(folder), temporary_sibling(folder)
    building.mkdir()
    try:
        yield building
        if folder.exists():
            folder.replace(old)
        building.replace(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
