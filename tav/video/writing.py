"""Writing frames to a video file, with their recipe inside; the name's ending chooses the format."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tav.atomic import replacing
from tav.errors import VideoError
from tav.video.ffmpeg import one_line
from tav.video.ffmpeg_writers import write_gif, write_mp4, write_webm
from tav.video.pillow_writers import check_folder, replacing_folder, write_pictures, write_webp
from tav.video.recipe_metadata import recipe_text

_FILES = {".mp4": write_mp4, ".webm": write_webm, ".gif": write_gif, ".webp": write_webp}


def write_video(
    path: Path,
    frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]],
    fps: Fraction | float,
    recipe: dict[str, Any] | None = None,
    sound: Path | None = None,
) -> None:
    """Write frames, uint8 (f, h, w, 3) or an iterable of (h, w, 3), to be shown at `fps`; whole or not at all.

    The ending of `path` chooses: MP4 (H.264), WebM (VP9), GIF, animated WebP, or without one a folder of PNGs. `sound`
    is a file whose first track goes with the frames (MP4, WebM); see `cut_sound`. The same input gives the same bytes.
    MP4 and WebM repeat the last column or row of an odd width or height: only yuv420p plays everywhere, and it has
    blocks of 2 x 2. Raises VideoError if it cannot be written, ValueError for frames of different shapes, or none.
    """
    check_output(path)
    stream = _checked(frames)
    first = next(stream, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    text = None if recipe is None else recipe_text(recipe)
    rate = _rate(fps)
    failure = f"cannot write {one_line(path)}"
    write = _FILES.get(path.suffix.lower(), write_pictures)
    try:
        with _replacing(path) as temporary:
            write(temporary, chain([first], stream), rate, text, sound, failure)
    except OSError as error:
        raise VideoError(
            f"{failure}: {error.strerror or error}", "check the folder's permissions and free space"
        ) from error


def check_output(path: Path) -> None:
    """Raise VideoError for a path that `write_video` would refuse; call it before there are frames."""
    ending = path.suffix.lower()
    known = ", ".join(_FILES)
    if ending in (".png", ".jpg", ".jpeg"):
        raise VideoError(f"{one_line(path)}: many frames are not one picture", f"name a folder, or one of {known}")
    if ending and ending not in _FILES:
        raise VideoError(f"{one_line(path)}: no video can be written with this ending", f"choose one of {known}")
    if ending and path.is_dir():
        raise VideoError(f"{one_line(path)} is a folder", "name the file to write")
    if not ending:
        check_folder(path)


def _replacing(path: Path) -> AbstractContextManager[Path]:
    return replacing(path) if path.suffix else replacing_folder(path)


def _rate(fps: Fraction | float) -> Fraction:
    if not 0.001 <= fps <= 1000:
        raise VideoError(f"cannot write a video at {float(fps):g} frames a second", "choose a rate from 0.001 to 1000")
    exact = fps if isinstance(fps, Fraction) else Fraction(str(fps))
    return exact.limit_denominator(1_000_000)


def _checked(frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    shape = None
    for frame in frames:
        shape = shape or frame.shape
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != shape:
            raise ValueError(f"frames must be uint8 (h, w, 3) of one shape {shape}, not {frame.dtype} {frame.shape}")
        yield frame
