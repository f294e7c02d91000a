"""From frames to an MP4 that plays everywhere, with the recipe that made it inside."""

import json
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tav.atomic import replacing
from tav.errors import VideoError
from tav.formats import refuse_newer
from tav.video.child import finish, from_file, one_line, writing_to
from tav.video.reading import SCALER

LONGEST_RECIPE = 100_000  # characters; Linux refuses one argument above 128 KiB

# The same bytes every time: x264's choices depend on the number of threads and, a little, on the processor.
DETERMINISTIC = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-threads", "1", "-x264-params", "cpu-independent=1"]
COLOURS = ["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
TO_YUV = f"scale=out_color_matrix=bt709:out_range=tv:{SCALER},format=yuv420p"


def write_video(
    path: Path,
    frames: NDArray[np.uint8] | Iterable[NDArray[np.uint8]],
    fps: Fraction | float,
    recipe: dict[str, Any] | None = None,
) -> None:
    """Write frames, uint8 (f, h, w, 3) or an iterable of (h, w, 3), as H.264 at exactly `fps`; whole or not at all.

    The same input gives the same bytes. An odd width or height grows by a column or row, a copy of the last: to squash
    would bend the picture, and only yuv420p, which comes in 2 x 2 blocks, plays everywhere. Raises VideoError if it
    cannot be written, ValueError for frames of different shapes, or none.
    """
    stream = _checked(frames)
    first = next(stream, None)
    if first is None:
        raise ValueError("a video needs at least one frame")
    arguments = _arguments(first.shape[1], first.shape[0], _rate(fps), recipe)
    failure = f"cannot write {one_line(path)}"
    try:
        with replacing(path) as temporary, writing_to([*arguments, f"file:{temporary}"], failure) as pipe:
            for frame in chain([first], stream):
                pipe.write(_even(frame).data)
    except OSError as error:
        raise VideoError(
            f"{failure}: {error.strerror or error}", "check the folder's permissions and free space"
        ) from error


def check_recipe(recipe: dict[str, Any]) -> None:
    """Raise VideoError when `recipe` is too long to be put into a video: worth asking before there is one."""
    _recipe_text(recipe)


def read_recipe(path: Path) -> dict[str, Any] | None:
    """The recipe inside a video that `write_video` wrote; None if there is none. Anyone can write one: check it.

    Raises VideoError if `path` is no video, NewerFormatError if a later tav wrote it.
    """
    done = finish([*from_file(path), "-f", "ffmetadata", "-"])
    if done.returncode != 0:
        raise VideoError(f"{one_line(path)} is not a video that ffmpeg can read", "name a video that tav wrote")
    try:
        recipe = json.loads(_comment(done.stdout.decode(errors="replace")))
    except (ValueError, RecursionError):
        return None
    if not isinstance(recipe, dict):
        return None
    refuse_newer(recipe.get("format"), one_line(path))
    return recipe


def _arguments(width: int, height: int, rate: Fraction, recipe: dict[str, Any] | None) -> list[str]:
    size = f"{width + width % 2}x{height + height % 2}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-framerate", f"{rate}", "-i", "pipe:0"]
    codec = ["-c:v", "libx264", "-preset", "medium", "-crf", "12", *DETERMINISTIC, *COLOURS]
    container = ["-f", "mp4", "-movflags", "+faststart+use_metadata_tags"]
    return [*source, "-vf", TO_YUV, *codec, *container, *_metadata(recipe), "-y"]


def _metadata(recipe: dict[str, Any] | None) -> list[str]:
    return [] if recipe is None else ["-metadata", f"comment={_recipe_text(recipe)}"]


def _recipe_text(recipe: dict[str, Any]) -> str:
    text = json.dumps(recipe)  # ASCII: survives every container, locale and lone surrogate
    if len(text) > LONGEST_RECIPE:
        raise VideoError(f"the recipe has {len(text)} characters, too many for a video", "use a shorter prompt")
    return text


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


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = frame.shape
    return np.ascontiguousarray(np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def _comment(ffmetadata: str) -> str:
    """The file's comment in ffmpeg's text form, where `\\` protects `=`, `;`, `#`, `\\` and the end of a line."""
    for line in re.findall(r"(?:[^\\\n]|\\.)+", ffmetadata, re.DOTALL):
        if line.startswith("["):  # the streams' own values follow
            break
        if line.startswith("comment="):
            return re.sub(r"\\(.)", r"\1", line.removeprefix("comment="), flags=re.DOTALL)
    return ""
