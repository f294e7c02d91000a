"""A folder of pictures as a clip: its frames in natural order (f2 before f10)."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tav.errors import VideoError
from tav.video.ffmpeg import one_line
from tav.video.fitting import Fit

ENDINGS = ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"
FORMATS = "PNG", "JPEG", "WEBP", "BMP", "TIFF"
# The rate assumed for a folder, which has none; at this rate every frame is taken by default.
PICTURES_PER_SECOND = 12
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


def frame_files(folder: Path) -> list[Path]:
    """The pictures in `folder` in natural order, without hidden files. Raises VideoError if there are none."""
    try:
        inside = [path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file()]
    except OSError as error:
        raise VideoError(f"the folder {one_line(folder)} cannot be read: {error.strerror}", "check it") from None
    files = sorted((path for path in inside if not path.name.startswith(".")), key=lambda path: _natural(path.name))
    if not files:
        hint = "name the video file itself, or a folder of PNG, JPEG, WebP, BMP or TIFF pictures"
        raise VideoError(f"{one_line(folder)} is a folder without pictures in it", hint)
    return files


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A sort key: numbers count by value; names that differ only in leading zeros or capitals have a fixed order."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), "") if part[0] in "0123456789" else (1, 0, part.lower()) for part in parts], name


def folder_size(files: list[Path]) -> tuple[int, int]:
    """Width and height (as displayed) that all frames share. Raises VideoError that names the first that differs."""
    sizes = [_size(path) for path in files]
    usual = max(set(sizes), key=sizes.count)
    for path, size in zip(files, sizes, strict=True):
        if size != usual:
            odd, others = "{}x{}".format(*size), "{}x{}".format(*usual)
            raise VideoError(
                f"{one_line(path)} is {odd}, but the other frames are {others}", "make them all of one size"
            )
    return usual


def _size(path: Path) -> tuple[int, int]:
    with _opened(path) as picture:
        turned = picture.getexif().get(_ORIENTATION) in _TURNED
        return (picture.height, picture.width) if turned else picture.size


def read_frames(files: list[Path], fitted: Fit) -> NDArray[np.uint8]:
    """The pictures, scaled and cropped by `fitted`, uint8 (f, h, w, 3). Raises VideoError that names a damaged one."""
    width, height = fitted.size
    frames = np.zeros((len(files), height, width, 3), np.uint8)
    window = fitted.window
    for path, content in zip(files, fitted.content.cut(frames), strict=True):
        scaled = read_picture(path).resize(fitted.scaled, Image.Resampling.LANCZOS)
        box = window.x, window.y, window.x + window.width, window.y + window.height
        content[:] = np.asarray(scaled.crop(box))
    return frames


def read_picture(path: Path) -> Image.Image:
    """One frame as displayed, in RGB of 8 bits; transparency is shown on white."""
    with _opened(path) as picture:
        upright = ImageOps.exif_transpose(_eight_bits(picture))
        front = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    if front.mode == "RGB":
        return front
    white = Image.new("RGBA", front.size, "white")
    return Image.alpha_composite(white, front).convert("RGB")


def _eight_bits(picture: Image.Image) -> Image.Image:
    """The picture with 8 bits a channel; Pillow would clip 16-bit grey at 255. Raises ValueError for floating point."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.float64)
    grey = Image.fromarray(np.clip(np.round(values / 257), 0, 255).astype(np.uint8))
    grey.info, grey.getexif()[_ORIENTATION] = {}, picture.getexif().get(_ORIENTATION, 1)
    return grey


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Yield an opened picture of a known format. Pillow's errors inside the context become a VideoError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about a picture's metadata
            with Image.open(path, formats=FORMATS) as picture:
                yield picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        message = f"{one_line(path)} cannot be read as a picture: {one_line(error)}"
        raise VideoError(message, "replace or remove it") from None
