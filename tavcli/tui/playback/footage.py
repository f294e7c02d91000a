"""A video as small frames with their times, to be shown in terminal cells; no network is given these frames."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tav.errors import VideoError
from tav.video.colours import scaled_rgb
from tav.video.ffmpeg import one_line, reading_from
from tav.video.frame_folder import PICTURES_PER_SECOND, folder_size, frame_files, read_picture
from tav.video.packets import Look, look, parse_rows
from tav.video.probing import probe_whole

# Bytes kept of one video: at 100 x 100, half an hour of an edit or 70 seconds of a phone's video.
MOST_BYTES = 64_000_000
# Seconds that are read before `start`: it may have been rounded up past its frame.
EARLY = 1e-3
Size = tuple[int, int]
Frame = NDArray[np.uint8]


class Unwanted(Exception):
    """Reading was stopped, since its result is not needed any more."""


@dataclass(frozen=True, eq=False)
class Footage:
    """Frames uint8 (f, h, w, 3), and `times`, the start of each in seconds from the first; the last ends at `length`.

    `whole` is False where the file has more frames.
    """

    frames: Frame
    times: tuple[float, ...]
    length: float
    whole: bool = True


def at_rate(frames: Frame, fps: float) -> Footage:
    """Footage of frames uint8 (f, h, w, 3) that follow each other at `fps`."""
    return Footage(frames, tuple(number / fps for number in range(len(frames))), len(frames) / fps)


def read_still(path: Path, box: Size, start: float = 0.0) -> Footage:
    """The first frame of a video, of a folder of pictures or a picture, made to fit in `box` (width, height).

    The first `start` seconds are skipped. A frame is never enlarged. Raises VideoError for a file that cannot be read.
    """
    if path.is_dir():
        return _read_folder(_files(path, start)[:1], box, _always)
    return _read_video(path, box, start, 1, _always)


def _always() -> bool:
    return True


def read_footage(path: Path, box: Size, start: float = 0.0, wanted: Callable[[], bool] = _always) -> Footage:
    """All frames of a video or a folder of pictures, as `read_still` makes them, or as many as MOST_BYTES holds.

    Ends its ffmpeg and raises Unwanted as soon as `wanted` returns False. Raises VideoError for an unreadable file.
    """
    if path.is_dir():
        return _read_folder(_files(path, start), box, wanted)
    return _read_video(path, box, start, MOST_BYTES, wanted)


def fitted(size: Size, box: Size) -> Size:
    """`size` (width, height) made to fit in `box` with its aspect kept; at least 1 x 1."""
    scale = min(Fraction(box[0], size[0]), Fraction(box[1], size[1]))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _shrunk(size: Size, box: Size) -> Size:
    return size if size[0] <= box[0] and size[1] <= box[1] else fitted(size, box)


def _files(folder: Path, start: float) -> list[Path]:
    files = frame_files(folder)
    return files[min(math.ceil((start - EARLY) * PICTURES_PER_SECOND), len(files) - 1) :] if start else files


def _read_folder(files: list[Path], box: Size, wanted: Callable[[], bool]) -> Footage:
    size = _shrunk(folder_size(files), box)
    most = _fitting(size, MOST_BYTES)
    frames = []
    for file in files[:most]:
        if not wanted():
            raise Unwanted
        frames.append(np.asarray(read_picture(file).resize(size, Image.Resampling.LANCZOS)))
    return replace(at_rate(np.stack(frames), PICTURES_PER_SECOND), whole=len(files) <= most)


def _read_video(path: Path, box: Size, start: float, most_bytes: int, wanted: Callable[[], bool]) -> Footage:
    seen = _looked(path)
    size = _shrunk((seen.width, seen.height), box)
    most = _fitting(size, most_bytes)
    with TemporaryDirectory(prefix="tav-") as folder:
        rows = Path(folder) / "rows"
        decoded = list(_decoded(path, _arguments(path, seen, size, start, most, rows), size, wanted))
        if not decoded:
            raise VideoError(
                f"{one_line(path)} has no picture that can be shown", "see whether another player shows it"
            )
        times, length = _times(rows.read_text(), len(decoded))
    return Footage(np.stack(decoded), times, length, whole=len(decoded) < most)


def _fitting(size: Size, most_bytes: int) -> int:
    """How many frames of this size fit in `most_bytes`; at least one."""
    return max(1, most_bytes // (3 * size[0] * size[1]))


def _looked(path: Path) -> Look:
    seen = look(path)
    if seen is None:
        probe_whole(path, None)  # says why
        raise VideoError(f"{one_line(path)} cannot be looked into", "convert it to MP4 first")
    return seen


def _arguments(path: Path, seen: Look, size: Size, start: float, most: int, rows: Path) -> list[str]:
    """Arguments for ffmpeg: raw frames go to stdout, their times to the file `rows`, and each is decoded only once."""
    scaled = scaled_rgb(seen.picture, (seen.width, seen.height), size)
    graph = f"[0:V:0]{scaled},split[picture][clock]"
    each = ["-fps_mode", "passthrough", "-frames:v", str(most)]
    pictures = ["-map", "[picture]", *each, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    clock = ["-map", "[clock]", *each, "-enc_time_base:v", "demux", "-f", "framecrc", str(rows)]
    place = ["-ss", f"{max(0.0, start - EARLY):.6f}"] if start else []
    return [*place, *seen.picture.reading(path), "-filter_complex", graph, *pictures, *clock]


def _decoded(path: Path, arguments: list[str], size: Size, wanted: Callable[[], bool]) -> Iterator[Frame]:
    shape, count = (size[1], size[0], 3), 3 * size[0] * size[1]
    with reading_from(arguments, f"cannot decode {one_line(path)}") as pipe:
        while len(data := pipe.read(count)) == count:
            if not wanted():
                raise Unwanted
            yield np.frombuffer(data, np.uint8).reshape(shape)


def _times(framecrc: str, count: int) -> tuple[tuple[float, ...], float]:
    """The starts of `count` frames, and the end of the last one, in seconds.

    Where the file gives the last frame no duration, it gets the mean of the others.
    """
    header, rows = parse_rows(framecrc)
    tick = Fraction(header["tb 0"])
    ticks = [int(row[2]) for row in rows[:count]]
    usual = (ticks[-1] - ticks[0]) / (count - 1) if count > 1 else 1 / (25 * tick)
    end = ticks[-1] + (int(rows[count - 1][3]) or usual)
    return tuple(float((t - ticks[0]) * tick) for t in ticks), float((end - ticks[0]) * tick)
