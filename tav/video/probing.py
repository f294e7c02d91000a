"""A clip's size and exact timestamps, with no more decoding than is needed to be sure of them."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tav.errors import VideoError
from tav.video.ffmpeg import finish, one_line
from tav.video.frame_folder import PICTURES_PER_SECOND, folder_size, frame_files
from tav.video.packets import CUT_OFF, PLAIN, Look, Packets, Picture, look, parse_rows

# Clips of at most this many frames are decoded whole when probed: it is quick and finds any damage.
SHORT = 300


@dataclass(frozen=True)
class ClipInfo:
    """A decodable clip. `width` and `height` are as displayed: rotated, with square pixels.

    `timestamps` are seconds since the first frame; `fps` is the average rate. `packets` is set for a long clip, of
    which only the beginning was decoded.
    """

    width: int
    height: int
    timestamps: tuple[float, ...]
    fps: Fraction
    has_audio: bool = False
    picture: Picture = PLAIN
    packets: Packets | None = None

    @property
    def num_frames(self) -> int:
        return len(self.timestamps)


def probe(path: Path) -> ClipInfo:
    """The description of the clip at `path`, a video or a folder of frames.

    Raises VideoError if it is not a clip, is cut off, or, for a short one (up to SHORT frames, or of a kind whose
    packets do not tell its frames), if any part cannot be decoded. A long one is decoded later, by `read_clip`, as far
    as needed.
    """
    if path.is_dir():
        return _probe_folder(path)
    seen = look(path)
    if seen is None or seen.packets is None or len(seen.packets.ticks) <= SHORT:
        return probe_whole(path, seen)
    packets = seen.packets
    rate = _average_rate(packets.ticks, packets.tick, packets.last_duration)
    return _info(seen, packets.ticks, packets.tick, rate, packets)


def probe_whole(path: Path, seen: Look | None) -> ClipInfo:
    """The description of `path` from decoding every frame; `seen` is the result of `look`.

    Raises VideoError if any part is damaged.
    """
    picture = seen.picture if seen else PLAIN
    header, rows = decode_rows(path, picture)
    if seen is None:
        raise VideoError(f"{one_line(path)} cannot be inspected", "convert it to MP4 first")
    if len({row[4] for row in rows}) > 1:
        raise VideoError(f"{one_line(path)} changes its size on the way", "convert it to one size first")
    ticks, tick = tuple(int(row[2]) for row in rows), Fraction(header["tb 0"])
    return _info(seen, ticks, tick, _average_rate(ticks, tick, int(rows[-1][3])), None)


def decode_rows(path: Path, picture: Picture) -> tuple[dict[str, str], list[list[str]]]:
    """`parse_rows` of every decoded frame. Raises VideoError if a frame cannot be decoded, or if there is none."""
    # V leaves out cover pictures. Without enc_time_base, timestamps would be rounded to the average frame rate.
    exact = ["-map", "0:V:0", "-fps_mode", "passthrough", "-enc_time_base:v", "demux"]
    done = finish(["-xerror", *picture.reading(path), *exact, "-f", "framecrc", "-"])
    log = done.stderr.decode(errors="replace")
    header, rows = parse_rows(done.stdout.decode(errors="replace"))
    if done.returncode != 0 or not rows or CUT_OFF.search(log):
        raise _refusal(path, log, len(rows))
    return header, rows


def _info(seen: Look, ticks: tuple[int, ...], tick: Fraction, rate: Fraction, packets: Packets | None) -> ClipInfo:
    timestamps = tuple(float((t - ticks[0]) * tick) for t in ticks)
    return ClipInfo(seen.width, seen.height, timestamps, rate, seen.has_audio, seen.picture, packets)


def _probe_folder(path: Path) -> ClipInfo:
    files = frame_files(path)
    width, height = folder_size(files)
    timestamps = tuple(number / PICTURES_PER_SECOND for number in range(len(files)))
    return ClipInfo(width, height, timestamps, Fraction(PICTURES_PER_SECOND))


def _average_rate(ticks: tuple[int, ...], tick: Fraction, last_duration: int) -> Fraction:
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
    foreign = "misdetection possible" in log  # only the name's ending suggests a video
    if "moov atom not found" in log and not foreign:
        return VideoError(f"{name} is cut off: the index at its end (moov) is missing", "copy or download it again")
    if CUT_OFF.search(log) and not foreign:
        return VideoError(f"{name} is damaged or cut off: not one frame can be decoded", again)
    if "Permission denied" in log:
        return VideoError(f"{name} may not be read", "check the file's permissions")
    return VideoError(f"{name} is not a video that ffmpeg can decode", "convert it to MP4 first")
