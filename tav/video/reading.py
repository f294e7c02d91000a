"""Reading a clip's chosen frames at the network's size: one ffmpeg child selects, scales and crops."""

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from tav.errors import VideoError
from tav.settings import ClipSettings
from tav.video.colours import scaled_rgb
from tav.video.ffmpeg import one_line, reading_from
from tav.video.fitting import Fit, Rectangle, fit
from tav.video.frame_folder import frame_files, read_frames
from tav.video.frame_selection import choose_frames
from tav.video.packets import look
from tav.video.probing import ClipInfo, probe, probe_whole
from tav.video.spans import Span, shows_its_packets, span


@dataclass(frozen=True, eq=False)
class Clip:
    """The chosen frames, uint8 (f, h, w, 3) RGB, and their rate `fps`; `content` is the part without letterbox bars."""

    frames: NDArray[np.uint8]
    fps: Fraction
    content: Rectangle
    indices: tuple[int, ...]
    info: ClipInfo


def read_clip(path: Path, settings: ClipSettings, size: tuple[int, int], info: ClipInfo | None = None) -> Clip:
    """The frames that `settings` chooses, fitted to `size` (width, height); `settings.size` is not used.

    `info` saves a second probe of the same file. Raises VideoError for a bad file or settings the clip cannot serve.
    """
    info = info or probe(path)
    choice = choose_frames(info, settings)
    part = span(info.packets, choice.indices[0], choice.indices[-1]) if info.packets is not None else None
    if part is not None and not shows_its_packets(path, info.picture, part):
        return read_clip(path, settings, size, probe_whole(path, look(path)))
    fitted = fit(info.width, info.height, size, settings.fit)
    if path.is_dir():
        frames = _read_folder(path, info, choice.indices, fitted)
    else:
        frames = _decode(path, info, part, choice.indices, fitted)
    return Clip(frames, choice.fps, fitted.content, choice.indices, info)


def _read_folder(path: Path, info: ClipInfo, indices: tuple[int, ...], fitted: Fit) -> NDArray[np.uint8]:
    files = frame_files(path)
    if len(files) != info.num_frames:
        raise _changed(path)
    return read_frames([files[index] for index in indices], fitted)


def _decode(path: Path, info: ClipInfo, part: Span | None, indices: tuple[int, ...], fitted: Fit) -> NDArray[np.uint8]:
    """Exactly the frames with these numbers, uint8 (f, h, w, 3)."""
    # ffmpeg's expressions cannot list thousands of numbers, so it sends a regular series and the rest is dropped here.
    step = math.gcd(*(b - a for a, b in pairwise(indices))) or 1
    series = range(indices[0], indices[-1] + 1, step)
    source, chosen = _selection(path, info, part, series)
    frames_out = ["-fps_mode", "passthrough", "-frames:v", str(len(series))]
    output = [*frames_out, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
    arguments = [*source, "-map", "0:V:0", "-vf", f"{chosen},{_filters(info, fitted)}", *output]
    width, height = fitted.size
    frames = np.empty((len(indices), height, width, 3), np.uint8)
    dropped, places = np.empty_like(frames[0]), dict(zip(indices, frames, strict=True))
    with reading_from(arguments, f"cannot decode {one_line(path)}") as pipe:
        complete = all(_fill(pipe, places.get(index, dropped)) for index in series) and not pipe.read(1)
    if not complete:
        raise _changed(path)
    return frames


def _selection(path: Path, info: ClipInfo, part: Span | None, series: range) -> tuple[list[str], str]:
    """Arguments that read the file, and the filters that let only the frames of `series` pass."""
    if part is not None:
        return part.reading(path, info.picture), f"{part.trim(part.first)},select='not(mod(n,{series.step}))'"
    woven = "bwdif=mode=send_frame:deint=interlaced," if info.picture.interlaced else ""
    select = f"select='between(n,{series[0]},{series[-1]})*not(mod(n-{series[0]},{series.step}))'"
    return info.picture.reading(path), woven + select


def _filters(info: ClipInfo, fitted: Fit) -> str:
    # RGB before cropping, since a crop of subsampled colours snaps to even places.
    scale = scaled_rgb(info.picture, (info.width, info.height), fitted.scaled)
    crop = "crop={2}:{3}:{0}:{1}".format(*fitted.window)
    pad = f"pad={fitted.size[0]}:{fitted.size[1]}:{fitted.content.x}:{fitted.content.y}:black"
    return f"{scale},{crop},{pad},setsar=1"


def _changed(path: Path) -> VideoError:
    return VideoError(f"{one_line(path)} did not give the frames it has", "was it changed meanwhile? then start again")


def _fill(pipe: IO[bytes], frame: NDArray[np.uint8]) -> bool:
    """Fill `frame` (contiguous) from `pipe`; False if the pipe ends before."""
    data = pipe.read(frame.nbytes)
    if len(data) == frame.nbytes:
        frame[:] = np.frombuffer(data, np.uint8).reshape(frame.shape)
    return len(data) == frame.nbytes
