"""The choice of a clip's frames: start, stride or rate, and number."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tav.errors import VideoError
from tav.settings import ClipSettings
from tav.video.probing import ClipInfo

MOST_BY_DEFAULT = 24
RATE_BY_DEFAULT = 12
EPSILON = 1e-6  # seconds: a start copied from a printed timestamp still means that frame


@dataclass(frozen=True)
class FrameChoice:
    """The chosen frames' numbers in the clip (from 0, strictly rising) and the rate to show them at.

    `stride` is the distance between two of them; None if they were chosen by timestamp (setting `fps`).
    """

    indices: tuple[int, ...]
    fps: Fraction
    stride: int | None


def choose_frames(info: ClipInfo, settings: ClipSettings) -> FrameChoice:
    """The frames chosen by `settings`. Raises VideoError if the clip lacks the `start`, `fps` or `frames` asked for."""
    start = _start_index(info, settings.start)
    stride = None
    candidates: Sequence[int]
    if settings.fps is not None:
        rate = Fraction(str(settings.fps))
        candidates = _at_rate(info, start, settings.fps)
    else:
        stride = _stride(info, start, settings)
        rate = info.fps / stride
        candidates = range(start, info.num_frames, stride)
    if settings.frames is not None and len(candidates) < settings.frames:
        raise _too_few(info, settings.frames, start, stride, len(candidates))
    return FrameChoice(tuple(candidates[: settings.frames or MOST_BY_DEFAULT]), rate, stride)


def _start_index(info: ClipInfo, start: float) -> int:
    for index, timestamp in enumerate(info.timestamps):
        if timestamp >= start - EPSILON:
            return index
    last = info.timestamps[-1]
    raise VideoError(
        f"start {start:g} s is behind the last frame, which is at {last:g} s", f"set start to at most {last:g}"
    )


def _stride(info: ClipInfo, start: int, settings: ClipSettings) -> int:
    if settings.stride == "uniform":
        return max(1, (info.num_frames - start) // (settings.frames or MOST_BY_DEFAULT))
    return settings.stride or max(1, round(info.fps / RATE_BY_DEFAULT))


def _at_rate(info: ClipInfo, start: int, fps: float) -> list[int]:
    """The frames nearest in time to `start` + k / fps, each at most once."""
    if fps > 1.01 * info.fps:
        source = float(info.fps)
        raise VideoError(f"fps {fps:g} is more than the clip's own {source:.4g}", f"set fps to at most {source:.4g}")
    times = np.asarray(info.timestamps[start:])
    times -= times[0]
    end = times[-1] + 0.5 / float(info.fps) + EPSILON  # later than this, the last frame is no longer the nearest
    wanted = np.arange(len(times)) / fps
    nearest = np.searchsorted((times[:-1] + times[1:]) / 2, wanted[wanted <= end])
    chosen = [0]
    for index in nearest[1:].tolist():
        chosen.append(max(index, chosen[-1] + 1))
    return [start + index for index in chosen if index < len(times)]


def _too_few(info: ClipInfo, wanted: int, start: int, stride: int | None, found: int) -> VideoError:
    left = info.num_frames - start
    hint = f"set frames to at most {found}"
    if stride is None and left >= wanted:
        hint += f", or a higher fps (the clip has {float(info.fps):.4g})"
    elif stride is not None and left >= wanted:
        hint += f", or stride to at most {(left - 1) // (wanted - 1)}"
    elif start > 0:
        hint += ", or an earlier start"
    how = "at this fps" if stride is None else f"at stride {stride}"
    there = f"there {'is' if found == 1 else 'are'} only {found}"
    return VideoError(f"{wanted} frames are asked for, but {there} {how} from frame {start} of {info.num_frames}", hint)
