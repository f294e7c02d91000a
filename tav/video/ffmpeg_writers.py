"""MP4, WebM and GIF: frames go to ffmpeg through a pipe, one after the other."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tav.video.colours import SCALER
from tav.video.comment_fields import with_gif_comment
from tav.video.ffmpeg import writing_to

Frames = Iterator[NDArray[np.uint8]]

# Equal bytes at every run: encoders depend on the number of threads, and x264 a little on the processor. Without the
# last option, the order of two tracks in the file depends on which encoder is faster.
EXACT = ["-fflags", "+bitexact", "-flags", "+bitexact", "-threads", "1", "-max_interleave_delta", "0"]
H264 = ["-c:v", "libx264", "-preset", "medium", "-crf", "12", "-x264-params", "cpu-independent=1"]
VP9 = ["-c:v", "libvpx-vp9", "-crf", "18", "-b:v", "0", "-deadline", "good", "-cpu-used", "2"]
AAC, OPUS = ["-c:a", "aac", "-b:a", "192k"], ["-c:a", "libopus", "-b:a", "160k"]
COLOURS = ["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
TO_YUV = f"scale=out_color_matrix=bt709:out_range=tv:{SCALER},format=yuv420p"

FASTEST_GIF = 50  # frames a second: browsers show a frame of less than 2/100 s for ten times as long
# One palette for all frames; an ordered dither, which does not change where the picture does not.
PALETTE = "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=bayer:bayer_scale=4"


def write_mp4(path: Path, frames: Frames, rate: Fraction, text: str | None, sound: Path | None, failure: str) -> None:
    """Write an MP4 of H.264 and AAC; `text` becomes the tag `comment`."""
    container = ["-f", "mp4", "-movflags", "+faststart+use_metadata_tags"]
    codecs = ["-vf", TO_YUV, *H264, *COLOURS, *AAC, *EXACT, *container, *_tags(text)]
    _encode(path, map(_even, frames), rate, sound, codecs, failure)


def write_webm(path: Path, frames: Frames, rate: Fraction, text: str | None, sound: Path | None, failure: str) -> None:
    """Write a WebM of VP9 and Opus; `text` becomes the tag `COMMENT`."""
    codecs = ["-vf", TO_YUV, *VP9, *COLOURS, *OPUS, *EXACT, "-f", "webm", *_tags(text)]
    _encode(path, map(_even, frames), rate, sound, codecs, failure)


def write_gif(path: Path, frames: Frames, rate: Fraction, text: str | None, _: Path | None, failure: str) -> None:
    """Write a GIF with its own palette; `text` becomes a comment. Delays are whole 1/100 s, without growing drift."""
    fewer = f"fps={FASTEST_GIF}," if rate > FASTEST_GIF else ""
    _encode(path, frames, rate, None, ["-vf", fewer + PALETTE, *EXACT, "-f", "gif"], failure)
    if text is not None:
        path.write_bytes(with_gif_comment(path.read_bytes(), text))


def _encode(path: Path, frames: Frames, rate: Fraction, sound: Path | None, output: list[str], failure: str) -> None:
    first = next(frames)
    size = f"{first.shape[1]}x{first.shape[0]}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-framerate", f"{rate}", "-i", "pipe:0"]
    tracks = ["-i", f"file:{sound}", "-map", "0:v", "-map", "1:a"] if sound else []
    with writing_to([*source, *tracks, *output, "-y", f"file:{path}"], failure) as pipe:
        for frame in chain([first], frames):
            pipe.write(np.ascontiguousarray(frame).data)


def _tags(text: str | None) -> list[str]:
    return [] if text is None else ["-metadata", f"comment={text}"]


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
