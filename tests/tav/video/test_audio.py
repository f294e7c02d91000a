"""Clips with tone bursts at known seconds: the bursts have to come at the same moments of what is shown."""

import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.errors import VideoError
from tav.settings import ClipSettings
from tav.video import Clip, cut_sound, has_sound, in_step, probe, read_clip, write_video

BURSTS = [0.3, 1.0, 1.9, 2.45]  # seconds into the sound
VARIABLE = ["-vf", "settb=1/1000,setpts='100*(N+mod(N,2)/2)'", "-fps_mode", "passthrough", "-enc_time_base:v", "filter"]


def ffmpeg(*arguments: str | Path) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout


def loud(path: Path, *more: str, late: float = 0, early: float = 0, seconds: float = 3, layout: str = "mono") -> Path:
    """Ten frames a second, each brighter than the one before; a burst of 30 ms at each of BURSTS.

    The sound starts `late` seconds after the pictures, or `early` before them.
    """
    gate = "+".join(f"between(t,{at},{at + 0.03})" for at in BURSTS)
    sound = f"aevalsrc=exprs='0.5*sin(2*PI*1000*t)*({gate})':sample_rate=48000:duration={seconds},aformat=cl={layout}"
    picture = f"color=black:size=32x32:rate=10:duration={seconds},geq=lum='16+6*N':cb=128:cr=128"
    inputs = ["-itsoffset", f"{early}", "-f", "lavfi", "-i", picture, "-itsoffset", f"{late}", "-f", "lavfi"]
    ffmpeg(*inputs, "-i", sound, "-pix_fmt", "yuv420p", *more, path)
    return path


def bursts(path: Path) -> list[float]:
    """When each burst begins, in seconds after the first frame."""
    samples = np.frombuffer(ffmpeg("-i", path, "-map", "0:a", "-ac", "1", "-ar", "48000", "-f", "f32le", "-"), "<f4")
    loud_at = np.flatnonzero(np.abs(samples) > 0.1) / 48000
    return [float(at) for at, gap in zip(loud_at, np.diff(loud_at, prepend=-1), strict=True) if gap > 0.05]


def length(path: Path) -> float:
    return len(ffmpeg("-i", path, "-map", "0:a", "-ac", "1", "-ar", "48000", "-f", "f32le", "-")) / 4 / 48000


def span(clip: Clip) -> tuple[float, float]:
    times = [clip.info.timestamps[index] for index in clip.indices]
    assert in_step(times, clip.fps)
    return times[0], float(len(times) / clip.fps)


def edited(path: Path, output: Path, settings: ClipSettings) -> tuple[float, float]:
    """Write what `settings` take of the clip again, with its sound; returns the seconds it covers."""
    clip = read_clip(path, settings, (32, 32))
    start, seconds = span(clip)
    with cut_sound(path, start, seconds) as sound:
        write_video(output, clip.frames, clip.fps, {"prompt": "x"}, sound)
    assert length(output) == pytest.approx(seconds, abs=0.03)
    assert probe(output).num_frames == len(clip.indices)
    return start, seconds


CONTAINERS = {
    "aac.mp4": ["-c:a", "aac"],
    "opus.mkv": ["-c:a", "libopus"],
    "flac.mkv": ["-c:a", "flac"],
    "opus.webm": ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-c:a", "libopus"],
    "mp3.avi": ["-c:a", "libmp3lame"],
    "pcm.mov": ["-c:a", "pcm_s16le"],
    "aac.ts": ["-c:a", "aac"],
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_sound_stays_in_step(tmp_path: Path, name: str) -> None:
    path = loud(tmp_path / name, *CONTAINERS[name])
    # An MP3 in an AVI starts with the encoder's delay (25 ms), of which the file says nothing.
    some = ClipSettings(start=0.7, stride=3, frames=5)
    for settings, output in ((ClipSettings(stride=1), "out.mp4"), (some, "out.mp4"), (some, "out.webm")):
        start, seconds = edited(path, tmp_path / output, settings)
        wanted = [at - start for at in BURSTS if start <= at < start + seconds]
        assert bursts(tmp_path / output) == pytest.approx(wanted, abs=0.03 if name == "mp3.avi" else 0.005)


@pytest.mark.parametrize(("late", "early"), [(0.7, 0), (0, 0.6)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_a_track_that_starts_later_or_earlier_stays_where_it_is(
    tmp_path: Path, late: float, early: float, suffix: str, start: float
) -> None:
    path = loud(tmp_path / f"clip.{suffix}", late=late, early=early)
    begin, seconds = edited(path, tmp_path / "out.mp4", ClipSettings(start=start, stride=1, frames=20))
    times = (at + late - early - begin for at in BURSTS)
    assert bursts(tmp_path / "out.mp4") == pytest.approx([at for at in times if 0 <= at < seconds], abs=0.005)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_late_start_is_found_without_reading_all(tmp_path: Path, suffix: str) -> None:
    path = loud(tmp_path / f"clip.{suffix}", "-af", "asetpts=PTS+11/TB,aresample=async=1:first_pts=0", seconds=14)
    start, _ = edited(path, tmp_path / "out.mp4", ClipSettings(start=11.5, stride=1, frames=20))
    assert bursts(tmp_path / "out.mp4") == pytest.approx([11 + at - start for at in BURSTS[1:]], abs=0.005)


def test_a_variable_rate_that_spans_the_same_time_keeps_its_sound(tmp_path: Path) -> None:
    path = loud(tmp_path / "clip.mp4", *VARIABLE)
    info = probe(path)
    assert len(set(np.diff(info.timestamps).round(3))) == 2
    edited(path, tmp_path / "out.mp4", ClipSettings(stride=1))
    assert bursts(tmp_path / "out.mp4") == pytest.approx([at for at in BURSTS if at < 2.4], abs=0.005)


@given(
    st.lists(st.fractions(min_value=Fraction(1, 100), max_value=2, max_denominator=100), min_size=1, max_size=30),
    st.fractions(min_value=Fraction(1, 2), max_value=60, max_denominator=100),
)
def test_in_step_means_never_off_by_more_than_a_frame(intervals: list[Fraction], fps: Fraction) -> None:
    times = [float(sum(intervals[:k])) + 5 for k in range(len(intervals))]
    off = max(abs(t - 5 - k / fps) * fps for k, t in enumerate(times))
    assert off == pytest.approx(1) or in_step(times, fps) == (off < 1)


def test_an_even_rate_is_always_in_step() -> None:
    assert in_step([7 + k * 1001 / 30000 for k in range(4096)], Fraction(30000, 1001))
    assert not in_step([0, 0.1, 0.2, 1.0, 1.1], Fraction(10))


def test_more_than_two_channels_become_two(tmp_path: Path) -> None:
    path = loud(tmp_path / "clip.mkv", "-c:a", "flac", layout="5.1")
    edited(path, tmp_path / "out.webm", ClipSettings(stride=1, frames=30))
    assert bursts(tmp_path / "out.webm") == pytest.approx(BURSTS, abs=0.005)


def test_the_same_sound_gives_the_same_bytes(tmp_path: Path) -> None:
    path = loud(tmp_path / "clip.mp4")
    for ending in ("mp4", "webm"):
        for name in ("a", "b"):
            edited(path, tmp_path / f"{name}.{ending}", ClipSettings(stride=1))
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_where_there_is_no_sound(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=32x32:rate=10:duration=0.5", tmp_path / "still.gif")
    assert not has_sound(tmp_path / "still.gif")
    assert not has_sound(tmp_path)
    assert has_sound(loud(tmp_path / "loud.mp4"))
    with pytest.raises(VideoError, match="sound"), cut_sound(tmp_path / "still.gif", 0, 1):
        pass


def test_a_track_that_cannot_be_decoded_is_one_all_the_same(tmp_path: Path) -> None:
    content = loud(tmp_path / "clip.mkv", "-c:a", "libopus").read_bytes()
    (tmp_path / "clip.mkv").write_bytes(content.replace(b"A_OPUS", b"A_NONE"))
    assert has_sound(tmp_path / "clip.mkv")
    with pytest.raises(VideoError, match="cannot be decoded"), cut_sound(tmp_path / "clip.mkv", 0, 1):
        pass


def test_a_full_disk_is_not_the_clips_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, disk = loud(tmp_path / "clip.mp4"), tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("a disk of its own cannot be mounted here (that takes root)")
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    try:
        with pytest.raises(OSError, match="No space left"), cut_sound(path, 0, 3):
            pass
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
