"""A clip's sound: whether an edit can keep it, and the part that belongs to the edit's frames."""

import errno
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from tav.errors import VideoError
from tav.video.ffmpeg import finish, from_file, one_line

BEFORE = 10  # seconds of earlier start: containers without an index seek only roughly


def in_step(timestamps: Sequence[float], fps: Fraction) -> bool:
    """Whether frames of these times (seconds), shown at `fps`, are never off by more than one interval."""
    first, interval = timestamps[0], float(1 / fps)
    return all(abs(t - first - k * interval) <= interval for k, t in enumerate(timestamps))


def has_sound(path: Path) -> bool:
    """Whether the file has a sound track."""
    # Copied, not decoded: a track that ffmpeg cannot decode counts too.
    asked = ["-map", "0:a:0", "-c", "copy", "-t", "0", "-f", "null", "-"]
    return path.is_file() and finish([*from_file(path), *asked]).returncode == 0


@contextmanager
def cut_sound(path: Path, start: float, seconds: float) -> Iterator[Path]:
    """Yield a WAV of exactly `seconds` of the first sound track from `start` seconds after the first frame.

    It is silent where the track is, mono or stereo, and removed at the end of the context. Raises VideoError if the
    track cannot be decoded, OSError on a full disk.
    """
    at = _first_frame(path) + start
    # copyts keeps the file's timestamps, since its tracks need not start together. first_pts fills a late start with
    # silence, async fills gaps.
    window = f"atrim=start={at:.6f}:end={at + seconds:.6f},asetpts=PTS-{at:.6f}/TB,aresample=async=1:first_pts=0"
    length = f"apad=whole_dur={seconds:.6f},atrim=end={seconds:.6f}"
    plain = "aformat=sample_fmts=flt:sample_rates=44100|48000:channel_layouts=mono|stereo"
    seek = ["-seek_timestamp", "1", "-ss", f"{at - BEFORE:.6f}"] if start > BEFORE else []
    reading = ["-copyts", "-noaccurate_seek", *seek, *from_file(path), "-map", "0:a:0"]
    with tempfile.TemporaryDirectory(prefix="tav-") as folder:
        wav = Path(folder) / "sound.wav"
        codec = ["-c:a", "pcm_f32le", "-fflags", "+bitexact", "-f", "wav"]
        done = finish([*reading, "-af", f"{window},{length},{plain}", *codec, f"{wav}"])
        if b"No space left" in done.stderr:  # not the clip's fault
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
        if done.returncode != 0:
            raise VideoError(f"the sound of {one_line(path)} cannot be decoded", "convert it to MP4 first")
        yield wav


def _first_frame(path: Path) -> float:
    """The first frame's own timestamp, in seconds."""
    exact = ["-map", "0:V:0", "-frames:v", "1", "-fps_mode", "passthrough", "-enc_time_base:v", "demux"]
    said = finish(["-copyts", *from_file(path), *exact, "-f", "framecrc", "-"]).stdout.decode(errors="replace")
    tick, frame = re.search(r"^#tb 0: (\S+)", said, re.M), re.search(r"^0,[^,]*, *(-?\d+),", said, re.M)
    if not tick or not frame:
        raise VideoError(f"{one_line(path)} has no pictures in it", "name a video, not a sound file")
    return float(int(frame[1]) * Fraction(tick[1]))
