"""Of a long clip only what is taken is decoded, and it is what decoding the whole clip would give."""

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from made_clips import drawn, encode, ffmpeg, numbers

from tav.errors import VideoError
from tav.settings import ClipSettings
from tav.video import ClipInfo, choose_frames, probe, read_clip
from tav.video.ffmpeg import finish
from tav.video.packets import look
from tav.video.probing import probe_whole
from tav.video.spans import Span, span

COUNT = 400
# The drawn number has 6 bits: frame 64 looks like frame 0. Drawn again and again, the place is known by the neighbours.
CODED: dict[str, tuple[str, list[str]]] = {
    "closed groups": (".mp4", ["-c:v", "libx264", "-g", "40"]),
    "open groups": (".mp4", ["-c:v", "libx264", "-x264-params", "open-gop=1:keyint=25:bframes=3"]),
    "open groups, Matroska": (".mkv", ["-c:v", "libx264", "-x264-params", "open-gop=1:keyint=25:bframes=3"]),
    "intra refresh": (".mp4", ["-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=30"]),
    "one key frame": (".mp4", ["-c:v", "libx264", "-g", "9999"]),
    "hevc": (
        ".mp4",
        ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=30:open-gop=1:log-level=none"],
    ),
    "vp9": (".webm", ["-c:v", "libvpx-vp9", "-deadline", "good", "-cpu-used", "6", "-lag-in-frames", "25", "-g", "60"]),
    "av1": (".mkv", ["-c:v", "libsvtav1", "-preset", "8", "-crf", "10", "-g", "60"]),
    "every frame a key": (".mov", ["-c:v", "mjpeg"]),
    "variable rate": (".mp4", ["-c:v", "libx264", "-g", "40", "-vf", "settb=1/1000,setpts='50*(N+floor(N/3))'"]),
    "fragments": (".mp4", ["-c:v", "libx264", "-g", "40", "-movflags", "frag_keyframe+empty_moov"]),
    "starts at 7 s": (".mkv", ["-c:v", "libx264", "-g", "40", "-output_ts_offset", "7"]),
    "transport stream": (".ts", ["-c:v", "libx264", "-g", "40"]),
}


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("long")
    frames = np.concatenate([drawn(64)] * 7)[:COUNT]

    def make(name: str) -> Path:
        ending, out = CODED[name]
        path = folder / f"{name}{ending}"
        if not path.exists():
            vfr = ["-fps_mode", "passthrough", "-enc_time_base", "filter"] if "variable" in name else []
            encode(path, frames, *out, *vfr, "-pix_fmt", "yuv420p")
        return path

    return make


@pytest.mark.parametrize("name", CODED)
def test_the_packets_tell_the_frames_and_spans_give_the_same_bytes(long_clip: Callable[[str], Path], name: str) -> None:
    path = long_clip(name)
    info, whole = probe(path), probe_whole(path, look(path))
    assert (info.packets is None) == (name == "transport stream")
    assert (info.timestamps, info.fps, info.width) == (whole.timestamps, whole.fps, whole.width)
    for first, stride in ((3, 1), (150, 2), (COUNT - 30, 7)):
        settings = ClipSettings(start=info.timestamps[first], frames=4, stride=stride)
        short, full = read_clip(path, settings, (64, 48), info), read_clip(path, settings, (64, 48), whole)
        assert short.indices == full.indices == tuple(range(first, first + 4 * stride, stride))
        assert short.frames.tobytes() == full.frames.tobytes()
        assert numbers(short.frames) == [index % 64 for index in short.indices]


def test_an_edit_list_hides_the_same_frames(long_clip: Callable[[str], Path], tmp_path: Path) -> None:
    ffmpeg("-ss", "1.3", "-i", long_clip("open groups"), "-c", "copy", tmp_path / "cut.mp4")
    info, whole = probe(tmp_path / "cut.mp4"), probe_whole(tmp_path / "cut.mp4", look(tmp_path / "cut.mp4"))
    assert info.packets is not None
    assert (info.timestamps, info.num_frames) == (whole.timestamps, COUNT - 13)
    frames = read_clip(tmp_path / "cut.mp4", ClipSettings(start=20.0, frames=3), (64, 48), info).frames
    assert numbers(frames) == [(200 + 13 + k) % 64 for k in range(3)]


def decoded_frames(path: Path, info: ClipInfo, settings: ClipSettings) -> int:
    """How many frames ffmpeg says that it decoded for the span that `settings` needs."""
    choice = choose_frames(info, settings)
    assert info.packets is not None
    part = span(info.packets, choice.indices[0], choice.indices[-1])
    count = ["-map", "0:V:0", "-vf", f"showinfo=checksum=0,{part.trim(part.first)}", "-f", "null", "-"]
    log = finish([*part.reading(path, info.picture), *count]).stderr.decode()
    return len(re.findall(r"\] n: *\d+ pts", log))


def test_ten_minutes_are_not_decoded_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    source = "testsrc=size=64x48:rate=25:duration=600"
    ffmpeg("-f", "lavfi", "-i", source, "-preset", "ultrafast", "-g", "250", "-pix_fmt", "yuv420p", path)
    info = probe(path)
    assert info.num_frames == 15_000
    assert decoded_frames(path, info, ClipSettings()) <= 24 * 2 + 40
    late = ClipSettings(start=500.0, frames=24, stride=2)
    assert decoded_frames(path, info, late) <= 3 * 250 + 40
    assert read_clip(path, late, (64, 48), info).info.packets is not None  # not decoded whole after all


def test_frames_of_a_span_rise_by_one_group_of_warm_up(long_clip: Callable[[str], Path]) -> None:
    info = probe(long_clip("closed groups"))
    assert info.packets is not None
    keys = info.packets.keys
    assert all(b - a for a, b in pairwise(keys))
    part = span(info.packets, 130, 140)
    assert part == Span(info.packets.ticks[130], info.packets.ticks[140], info.packets.ticks[80], info.packets)
    assert span(info.packets, 30, 40).begin is None


def test_damage_is_found_where_it_is_taken(long_clip: Callable[[str], Path], tmp_path: Path) -> None:
    content = bytearray(long_clip("closed groups").read_bytes())
    path = tmp_path / "rotten.mp4"
    middle = len(content) // 2
    content[middle : middle + 200] = b"\xff" * 200
    path.write_bytes(content)
    info = probe(path)
    assert info.packets is not None
    clean = read_clip(path, ClipSettings(frames=3), (64, 48), info)
    assert numbers(clean.frames) == [0, 1, 2]
    with pytest.raises(VideoError, match=r"damaged or cut off: it breaks after [0-9]+ good frames"):
        read_clip(path, ClipSettings(stride="uniform", frames=20), (64, 48), info)


@pytest.mark.parametrize("name", ["closed groups", "open groups, Matroska"])
def test_a_long_clip_that_is_cut_off_is_refused(long_clip: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    whole = tmp_path / f"whole{CODED[name][0]}"
    ffmpeg("-i", long_clip(name), "-c", "copy", "-movflags", "+faststart", whole)
    content = whole.read_bytes()
    cut = tmp_path / f"cut{CODED[name][0]}"
    cut.write_bytes(content[: len(content) * 95 // 100])
    with pytest.raises(VideoError, match="cut off"):
        probe(cut)
