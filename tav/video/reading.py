"""From a file to the frames the network sees: one ffmpeg child selects, scales and crops."""

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
from tav.video.child import from_file, one_line, reading_from
from tav.video.choosing import choose_frames
from tav.video.fitting import Fit, Rectangle, fit
from tav.video.probing import ClipInfo, probe

# bitexact: the same frames on every processor.
SCALER = "flags=lanczos+accurate_rnd+full_chroma_int+bitexact"


@dataclass(frozen=True, eq=False)
class Clip:
    """The chosen frames, uint8 (f, h, w, 3) RGB, to be shown at `fps`; `content` is the part without letterbox bars."""

    frames: NDArray[np.uint8]
    fps: Fraction
    content: Rectangle
    indices: tuple[int, ...]
    info: ClipInfo


def read_clip(path: Path, settings: ClipSettings, size: tuple[int, int], info: ClipInfo | None = None) -> Clip:
    """Read the frames that `settings` chooses, fitted to `size` (width, height). `settings.size` is not looked at.

    `info` saves a second probe of the same file. Raises VideoError for a bad file or settings the clip cannot serve.
    """
    info = info or probe(path)
    choice = choose_frames(info, settings)
    fitted = fit(info.width, info.height, size, settings.fit)
    return Clip(_decode(path, choice.indices, fitted), choice.fps, fitted.content, choice.indices, info)


def _decode(path: Path, indices: tuple[int, ...], fitted: Fit) -> NDArray[np.uint8]:
    """Exactly the frames with these numbers, uint8 (f, h, w, 3)."""
    # ffmpeg's expressions cannot list thousands of numbers, so it sends a regular series and the rest is dropped here.
    step = math.gcd(*(b - a for a, b in pairwise(indices))) or 1
    series = range(indices[0], indices[-1] + 1, step)
    select = f"select='between(n,{series[0]},{series[-1]})*not(mod(n-{series[0]},{step}))'"
    output = [
        "-fps_mode",
        "passthrough",
        "-frames:v",
        str(len(series)),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "pipe:1",
    ]
    arguments = [*from_file(path), "-map", "0:V:0", "-vf", f"{select},{_filters(fitted)}", *output]
    width, height = fitted.size
    frames = np.empty((len(indices), height, width, 3), np.uint8)
    dropped, places = np.empty_like(frames[0]), dict(zip(indices, frames, strict=True))
    name = one_line(path)
    with reading_from(arguments, f"cannot decode {name}") as pipe:
        complete = all(_fill(pipe, places.get(index, dropped)) for index in series) and not pipe.read(1)
    if not complete:
        raise VideoError(f"{name} did not give the frames it has", "was it changed meanwhile? then start again")
    return frames


def _filters(fitted: Fit) -> str:
    # RGB before cropping, since a crop of subsampled colours snaps to even places.
    scale = f"scale={fitted.scaled[0]}:{fitted.scaled[1]}:{SCALER},format=rgb24"
    crop = "crop={2}:{3}:{0}:{1}".format(*fitted.window)
    pad = f"pad={fitted.size[0]}:{fitted.size[1]}:{fitted.content.x}:{fitted.content.y}:black"
    return f"{scale},{crop},{pad},setsar=1"


def _fill(pipe: IO[bytes], frame: NDArray[np.uint8]) -> bool:
    """Fill `frame` (contiguous) from `pipe`; False if the pipe ends before."""
    data = pipe.read(frame.nbytes)
    if len(data) == frame.nbytes:
        frame[:] = np.frombuffer(data, np.uint8).reshape(frame.shape)
    return len(data) == frame.nbytes
