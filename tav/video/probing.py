"""What is in a clip: its size and real timestamps, found by decoding every frame once."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tav.errors import VideoError
from tav.video.child import finish, from_file, one_line

# Signs of a file that ends too early although ffmpeg itself is content with what it got.
CUT_OFF = re.compile(r"partial file|ended prematurely|corrupt input packet|Truncating packet|error reading header")


@dataclass(frozen=True)
class ClipInfo:
    """A decodable clip. `width` and `height` are as displayed: rotated, with square pixels.

    `timestamps` are seconds since the first frame; `fps` is the average rate.
    """

    width: int
    height: int
    timestamps: tuple[float, ...]
    fps: Fraction

    @property
    def num_frames(self) -> int:
        return len(self.timestamps)


def probe(path: Path) -> ClipInfo:
    """Decode `path` once and describe it. Raises VideoError if any part of it cannot be decoded."""
    source = from_file(path)
    # V leaves out cover pictures. Without enc_time_base, timestamps would be rounded to the average frame rate.
    exact = ["-map", "0:V:0", "-fps_mode", "passthrough", "-enc_time_base:v", "demux"]
    done = finish(["-xerror", *source, *exact, "-f", "framecrc", "-"])
    log = done.stderr.decode(errors="replace")
    header, rows = _parse(done.stdout.decode(errors="replace"))
    if done.returncode != 0 or not rows or CUT_OFF.search(log):
        raise _refusal(path, log, len(rows))
    return _info(header, rows)


def _parse(framecrc: str) -> tuple[dict[str, str], list[list[str]]]:
    """Header values by name, and per frame: stream, dts, pts, duration, size, checksum."""
    lines = framecrc.splitlines()
    header = dict(line[1:].split(": ", 1) for line in lines if line.startswith("#") and ": " in line)
    return header, [line.replace(" ", "").split(",") for line in lines if line and not line.startswith("#")]


def _info(header: dict[str, str], rows: list[list[str]]) -> ClipInfo:
    width, height = map(int, header["dimensions 0"].split("x"))
    tick = Fraction(header["tb 0"])
    ticks = [int(row[2]) for row in rows]
    return ClipInfo(
        width=max(1, round(width * _pixel_aspect(header["sar 0"]))),
        height=height,
        timestamps=tuple(float((t - ticks[0]) * tick) for t in ticks),
        fps=_average_rate(ticks, tick, int(rows[-1][3])),
    )


def _pixel_aspect(text: str) -> Fraction:
    """Width over height of one pixel; `0/1` means unknown, so square."""
    over, under = map(int, text.split("/"))
    return Fraction(over, under) if over > 0 and under > 0 else Fraction(1)


def _average_rate(ticks: list[int], tick: Fraction, last_duration: int) -> Fraction:
    """Frames a second over the whole clip, as exact as the container's `tick` (seconds) allows."""
    intervals, span = len(ticks) - 1, (ticks[-1] - ticks[0]) * tick
    if span <= 0:
        return 1 / (last_duration * tick) if last_duration > 0 else Fraction(25)
    rate = intervals / span
    if _expressible(rate, tick):
        return rate
    # Matroska rounds to 1 ms and turns 30000/1001 into 29.964: prefer a standard rate that its ticks cannot express.
    standard = {Fraction(round(rate)), Fraction(round(rate * 1001 / 1000) * 1000, 1001)} - {Fraction(0)}
    near = [r for r in standard if not _expressible(r, tick) and abs(intervals / r - span) <= tick]
    return min(near, key=lambda r: abs(intervals / r - span), default=rate)


def _expressible(rate: Fraction, tick: Fraction) -> bool:
    """Whether the time from frame to frame is a whole number of ticks."""
    return (1 / (rate * tick)).denominator == 1


def _refusal(path: Path, log: str, good: int) -> VideoError:
    name = one_line(path)
    again = "copy or download it again, or save the good part with a video editor"
    if "matches no streams" in log:
        return VideoError(f"{name} has no pictures in it", "name a video, not a sound file")
    if good:
        frames = "frame" if good == 1 else "frames"
        return VideoError(f"{name} is damaged or cut off: it breaks after {good} good {frames}", again)
    foreign = "misdetection possible" in log  # only the file name's ending spoke for a video
    if "moov atom not found" in log and not foreign:
        return VideoError(f"{name} is cut off: the index at its end (moov) is missing", "copy or download it again")
    if CUT_OFF.search(log) and not foreign:
        return VideoError(f"{name} is damaged or cut off: not one frame can be decoded", again)
    if "Permission denied" in log:
        return VideoError(f"{name} may not be read", "check the file's permissions")
    return VideoError(f"{name} is not a video that ffmpeg can decode", "convert it to MP4 first")
