"""Clips are made by ffmpeg; frame number n is a flat grey of luma 16 + 8 n, so that every frame tells its number."""

import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from tav.errors import VideoError
from tav.metrics.fidelity import psnr
from tav.settings import ClipSettings
from tav.video import (
    ClipInfo,
    check_recipe,
    choose_frames,
    contact_sheet,
    fit,
    probe,
    read_clip,
    read_recipe,
    write_video,
)

NTSC = Fraction(30000, 1001)


def ffmpeg(*arguments: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def numbered(path: Path, frames: int, rate: str = "10", *more: str) -> Path:
    grey = f"color=black:size=64x48:rate={rate},geq=lum='16+8*N':cb=128:cr=128"
    ffmpeg("-f", "lavfi", "-i", grey, "-frames:v", str(frames), "-pix_fmt", "yuv420p", *more, path)
    return path


def numbers(frames: np.ndarray) -> list[int]:
    """The number each frame shows."""
    return [round(float(frame.mean()) * 219 / 255 / 8) for frame in frames]


def white_square(path: Path, size: str, box: str, *more: str) -> Path:
    picture = f"color=0x404040:size={size}:rate=10,drawbox={box}:color=white:t=fill"
    ffmpeg("-f", "lavfi", "-i", picture, "-frames:v", "2", "-pix_fmt", "yuv420p", *more, path)
    return path


def extent(frame: np.ndarray) -> tuple[int, int]:
    """Width and height of what is white."""
    rows, columns = np.nonzero(frame.mean(axis=2) > 160)
    return int(columns.max() - columns.min() + 1), int(rows.max() - rows.min() + 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    return numbered(folder / "clip.mp4", 24, "10", "-movflags", "+faststart")


@pytest.fixture(scope="module")
def variable(folder: Path) -> Path:
    """Frames at 0, 0.1, 0.2, 0.5, 0.6, 0.7, 1.0, ... seconds."""
    timing = [
        "-vf",
        "settb=1/1000,setpts='100*(N+2*floor(N/3))'",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "filter",
    ]
    return numbered(folder / "variable.mp4", 12, "10", *timing)


# --- probe


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "webm", "mov", "ts"])
@pytest.mark.parametrize(("rate", "exact"), [("25", Fraction(25)), ("30000/1001", NTSC)])
def test_rate_and_timestamps_are_the_clips_own(tmp_path: Path, suffix: str, rate: str, exact: Fraction) -> None:
    info = probe(numbered(tmp_path / f"clip.{suffix}", 20, rate))
    assert (info.width, info.height, info.num_frames, info.fps) == (64, 48, 20, exact)
    assert info.timestamps == pytest.approx([k / float(exact) for k in range(20)], abs=6e-4)


def test_timestamps_of_a_variable_rate_are_kept(variable: Path) -> None:
    info = probe(variable)
    assert info.timestamps == pytest.approx([(n + 2 * (n // 3)) / 10 for n in range(12)], abs=1e-6)
    assert float(info.fps) == pytest.approx(11 / 1.7)


def test_timestamps_start_at_the_first_frame(tmp_path: Path) -> None:
    late = numbered(tmp_path / "late.mkv", 5, "10", "-output_ts_offset", "7")
    assert probe(late).timestamps == pytest.approx([0, 0.1, 0.2, 0.3, 0.4], abs=1e-6)


def test_sound_is_no_picture(tmp_path: Path) -> None:
    sound = ["-f", "lavfi", "-i", "sine=duration=0.5"]
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=32x32:rate=10:duration=0.5", *sound, tmp_path / "loud.mp4")
    ffmpeg(*sound, tmp_path / "sound.m4a")
    assert probe(tmp_path / "loud.mp4").num_frames == 5
    with pytest.raises(VideoError, match="no pictures"):
        probe(tmp_path / "sound.m4a")


def test_rotation_is_applied(tmp_path: Path) -> None:
    flat = white_square(tmp_path / "flat.mp4", "64x48", "x=0:y=0:w=16:h=48")
    ffmpeg("-display_rotation", "90", "-i", flat, "-c", "copy", tmp_path / "turned.mp4")
    info = probe(tmp_path / "turned.mp4")
    assert (info.width, info.height) == (48, 64)
    frame = read_clip(tmp_path / "turned.mp4", ClipSettings(stride=1), (48, 64)).frames[0]
    assert extent(frame) == (48, 16)
    assert frame[-1].mean() > 200 > frame[0].mean()  # turned counter-clockwise: left becomes bottom


@pytest.mark.parametrize(("aspect", "width"), [("2/1", 128), ("1/2", 32), ("4/3", 85), ("0/1", 64)])
def test_pixels_that_are_not_square_are_counted_as_displayed(tmp_path: Path, aspect: str, width: int) -> None:
    info = probe(white_square(tmp_path / "wide.mp4", "64x64", "x=8:y=8:w=8:h=8", "-vf", f"setsar={aspect}"))
    assert (info.width, info.height) == (width, 64)


def test_pixels_that_are_not_square_are_not_squashed(tmp_path: Path) -> None:
    path = white_square(tmp_path / "wide.mp4", "64x64", "x=28:y=24:w=8:h=16", "-vf", "setsar=2/1")
    for size in ((64, 64), (128, 64), (96, 160)):
        for mode in ("crop", "letterbox"):
            width, height = extent(read_clip(path, ClipSettings(fit=mode), size).frames[0])
            assert abs(width - height) <= 2


def test_a_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10), "red").save(tmp_path / "still.png")
    info = probe(tmp_path / "still.png")
    assert (info.width, info.height, info.timestamps) == (20, 10, (0.0,))
    assert read_clip(tmp_path / "still.png", ClipSettings(), (20, 10)).frames.shape == (1, 10, 20, 3)


@pytest.mark.parametrize(
    "name", ["-i.mp4", "a:b.mp4", "concat:x|y.mp4", "%03d.mp4", "spa ce 'quo\"te.mp4", "é🎿\n.mp4"]
)
def test_any_file_name_will_do(clip: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(clip.read_bytes())
    assert probe(Path(name)).num_frames == 24
    write_video(Path("out" + name), np.zeros((1, 16, 16, 3), np.uint8), 10, {"a": 1})
    assert read_recipe(Path("out" + name)) == {"a": 1}


# --- files that are no clips


def refusal(path: Path) -> str:
    """The one-line message with which `path` is refused."""
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("suffix", [".mp4", ".txt", ".mkv", ".png", ""])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"hello world\n" * 300, "not a video"),
        (bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8)), "not a video"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/x.ts\n", "not a video"),
        (b"ffconcat version 1.0\nfile clip.mp4\n", "not a video"),
        (b"\0" * 5000, "not a video"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, suffix: str, content: bytes, why: str) -> None:
    path = tmp_path / f"name{suffix}"
    path.write_bytes(content)
    assert why in refusal(path)
    with pytest.raises(VideoError):
        read_recipe(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert "no file" in refusal(tmp_path / "nope\n.mp4")
    assert "no file" in refusal(tmp_path / "dangling")
    assert "folder" in refusal(tmp_path)
    assert "regular" in refusal(tmp_path / "pipe")


def test_an_mp4_without_its_index_says_so(tmp_path: Path) -> None:
    path = numbered(tmp_path / "index_last.mp4", 24)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"moov") - 4])
    assert "moov" in refusal(path)
    path.write_bytes(content[:-400])
    assert "cut off" in refusal(path)


def test_every_beginning_of_a_clip_is_refused(clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    good = []
    for length in np.linspace(1, len(content) - 1, 24).astype(int):
        (tmp_path / "cut.mp4").write_bytes(content[:length])
        message = refusal(tmp_path / "cut.mp4")
        good.append(int(message.split("after ")[1].split()[0]) if "after" in message else 0)
    assert good == sorted(good)
    assert 0 < good[-1] < 24


def test_damage_in_the_middle_is_found(tmp_path: Path) -> None:
    pattern = "testsrc=size=64x48:rate=10:duration=4"
    ffmpeg("-f", "lavfi", "-i", pattern, "-g", "10", "-bf", "0", "-pix_fmt", "yuv420p", tmp_path / "rotten.mp4")
    content = bytearray((tmp_path / "rotten.mp4").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 60] = b"\xff" * 60
    (tmp_path / "rotten.mp4").write_bytes(content)
    assert "good frame" in refusal(tmp_path / "rotten.mp4")


def test_a_matroska_file_cut_off_is_found(tmp_path: Path) -> None:
    pattern = "testsrc=size=64x48:rate=10:duration=4"
    ffmpeg("-f", "lavfi", "-i", pattern, "-pix_fmt", "yuv420p", tmp_path / "cut.mkv")
    content = (tmp_path / "cut.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) * 2 // 3])
    assert "cut off" in refusal(tmp_path / "cut.mkv")


# --- choose_frames


def made_up(timestamps: list[float], fps: Fraction) -> ClipInfo:
    return ClipInfo(64, 48, tuple(timestamps), fps)


def constant(frames: int, fps: Fraction) -> ClipInfo:
    return made_up([float(n / fps) for n in range(frames)], fps)


RATES = st.sampled_from([Fraction(8), Fraction(10), Fraction(24000, 1001), Fraction(25), NTSC, Fraction(60)])


@st.composite
def clips(draw: st.DrawFn) -> ClipInfo:
    """Clips of constant and of variable rate."""
    if draw(st.booleans()):
        return constant(draw(st.integers(1, 200)), draw(RATES))
    gaps = draw(st.lists(st.integers(1, 40), max_size=80))
    times = np.cumsum([0, *gaps]) / 100
    return made_up([float(t) for t in times], Fraction(len(gaps) * 100, sum(gaps)) if gaps else Fraction(25))


@st.composite
def choices(draw: st.DrawFn) -> dict[str, Any]:
    values: dict[str, Any] = {"start": draw(st.floats(0, 3)), "frames": draw(st.none() | st.integers(1, 40))}
    kind = draw(st.sampled_from(["none", "stride", "uniform", "fps"]))
    if kind == "stride":
        values["stride"] = draw(st.integers(1, 12))
    if kind == "uniform":
        values |= {"stride": "uniform", "frames": draw(st.integers(1, 40))}
    if kind == "fps":
        values["fps"] = draw(st.floats(0.01, 60))
    return values


@given(clips(), choices())
def test_a_choice_is_rising_in_range_and_of_the_right_size_or_refused(info: ClipInfo, values: dict[str, Any]) -> None:
    wanted = ClipSettings(**values)
    try:
        choice = choose_frames(info, wanted)
    except VideoError:
        return
    indices = choice.indices
    assert all(a < b for a, b in pairwise(indices))
    assert indices[-1] < info.num_frames
    assert info.timestamps[indices[0]] >= wanted.start - 1e-6
    assert indices[0] == 0 or info.timestamps[indices[0] - 1] < wanted.start - 1e-6
    assert len(indices) == wanted.frames if wanted.frames else 1 <= len(indices) <= 24
    if choice.stride is not None:
        assert {b - a for a, b in pairwise(indices)} <= {choice.stride}
        assert choice.fps == info.fps / choice.stride
    else:
        assert choice.fps == Fraction(str(wanted.fps))


@given(clips(), choices())
def test_too_few_frames_names_a_number_that_works(info: ClipInfo, values: dict[str, Any]) -> None:
    try:
        choose_frames(info, ClipSettings(**values))
        assume(False)
    except VideoError as error:
        assume("asked for" in error.message)
        hint = error.hint
    most = int(hint.split("frames to at most ")[1].split(",")[0])
    if values.get("stride") == "uniform":
        most_left = ClipSettings(**values | {"frames": most})
        assert len(choose_frames(info, most_left).indices) == most
        return
    assert len(choose_frames(info, ClipSettings(**values | {"frames": most})).indices) == most
    with pytest.raises(VideoError):
        choose_frames(info, ClipSettings(**values | {"frames": most + 1}))
    if "stride to at most " in hint:
        stride = int(hint.split("stride to at most ")[1])
        assert len(choose_frames(info, ClipSettings(**values | {"stride": stride})).indices) == values["frames"]
        with pytest.raises(VideoError):
            choose_frames(info, ClipSettings(**values | {"stride": stride + 1}))


@given(RATES, st.floats(0.2, 60), st.integers(2, 40), st.floats(0, 1))
def test_frames_by_rate_are_the_nearest_in_time(source: Fraction, fps: float, frames: int, start: float) -> None:
    info = constant(150, source)
    assume(fps <= source)
    try:
        choice = choose_frames(info, ClipSettings(fps=fps, frames=frames, start=start))
    except VideoError:
        assume(False)
    begin = info.timestamps[choice.indices[0]]
    for k, index in enumerate(choice.indices):
        assert abs(info.timestamps[index] - begin - k / fps) <= 0.5 / float(source) + 1e-9


@given(RATES)
def test_the_clips_own_rate_takes_every_frame(source: Fraction) -> None:
    for fps in (float(source), round(float(source), 2), 1.009 * float(source)):
        assert choose_frames(constant(50, source), ClipSettings(fps=fps)).indices == tuple(range(24))


@pytest.mark.parametrize(
    ("source", "stride"), [(8, 1), (10, 1), (12, 1), (24, 2), (25, 2), (NTSC, 2), (30, 2), (48, 4), (60, 5), (1, 1)]
)
def test_by_default_about_twelve_frames_a_second(source: Fraction | int, stride: int) -> None:
    choice = choose_frames(constant(400, Fraction(source)), ClipSettings())
    assert (choice.stride, len(choice.indices), choice.fps) == (stride, 24, Fraction(source) / stride)


def test_uniform_spreads_over_what_is_left() -> None:
    info = constant(100, Fraction(10))
    assert choose_frames(info, ClipSettings(stride="uniform", frames=8)).indices == tuple(range(0, 96, 12))
    assert choose_frames(info, ClipSettings(stride="uniform")).indices == tuple(range(0, 96, 4))
    late = choose_frames(info, ClipSettings(stride="uniform", frames=8, start=5.0))
    assert late.indices == tuple(range(50, 98, 6))


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"frames": 30}, "30 frames are asked for, but there are only 24 at stride 1", "at most 24"),
        ({"frames": 9, "stride": 3}, "only 8 at stride 3", "at most 8, or stride to at most 2"),
        ({"frames": 9, "stride": 30}, "only 1 at stride 30", "at most 1, or stride to at most 2"),
        ({"frames": 9, "start": 2.0}, "only 4 at stride 1 from frame 20 of 24", "at most 4, or an earlier start"),
        ({"frames": 9, "fps": 2.0}, "only 5 at this fps", "at most 5, or a higher fps"),
        ({"frames": 25, "stride": "uniform"}, "only 24", "at most 24"),
        ({"start": 2.4}, "behind the last frame", "start to at most 2.3"),
        ({"fps": 10.2}, "more than the clip's own 10", "at most 10"),
    ],
)
def test_what_the_clip_cannot_serve_is_explained(values: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(VideoError) as caught:
        choose_frames(constant(24, Fraction(10)), ClipSettings(**values))
    assert message in caught.value.message
    assert hint in caught.value.hint


# --- fit

LENGTHS = st.integers(16, 4000)
SIZES = st.tuples(st.integers(8, 1024), st.integers(8, 1024))


@given(LENGTHS, LENGTHS, SIZES)
def test_crop_covers_the_picture_evenly_in_both_directions(width: int, height: int, size: tuple[int, int]) -> None:
    result = fit(width, height, size, "crop")
    window = result.window
    assert result.content == (0, 0, *size)
    assert (window.width, window.height) == size
    assert 0 <= window.x <= result.scaled[0] - window.width
    assert 0 <= window.y <= result.scaled[1] - window.height
    assert result.scaled[0] == size[0] or result.scaled[1] == size[1]
    scale = max(size[0] / width, size[1] / height)
    assert abs(result.scaled[0] - width * scale) <= 0.5 + 1e-6
    assert abs(result.scaled[1] - height * scale) <= 0.5 + 1e-6
    assert abs(2 * window.x + window.width - result.scaled[0]) <= 1  # centred
    assert abs(2 * window.y + window.height - result.scaled[1]) <= 1


@given(LENGTHS, LENGTHS, SIZES)
def test_letterbox_shows_everything_on_even_pixels(width: int, height: int, size: tuple[int, int]) -> None:
    result = fit(width, height, size, "letterbox")
    content = result.content
    assert all(number % 2 == 0 for number in content)
    assert (content.width, content.height) == result.scaled == result.window[2:]
    assert min(content.width, content.height) >= 2
    assert 0 <= content.x <= size[0] - content.width
    assert 0 <= content.y <= size[1] - content.height
    scale = min(size[0] / width, size[1] / height)
    assert abs(content.width - width * scale) <= 2
    assert abs(content.height - height * scale) <= 2
    assert abs(2 * content.x + content.width - size[0]) <= 4  # centred
    assert abs(2 * content.y + content.height - size[1]) <= 4


# --- read_clip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, list(range(24))),
        ({"frames": 5, "stride": 3}, [0, 3, 6, 9, 12]),
        ({"frames": 3, "stride": 7, "start": 0.35}, [4, 11, 18]),
        ({"frames": 4, "stride": "uniform"}, [0, 6, 12, 18]),
        ({"frames": 6, "fps": 7.0}, [0, 1, 3, 4, 6, 7]),
        ({"frames": 1, "start": 2.3}, [23]),
    ],
)
def test_exactly_the_chosen_frames_are_read(clip: Path, values: dict[str, Any], expected: list[int]) -> None:
    read = read_clip(clip, ClipSettings(**values), (32, 24))
    assert read.frames.shape == (len(expected), 24, 32, 3)
    assert list(read.indices) == numbers(read.frames) == expected


def test_a_variable_rate_gives_no_frame_twice(variable: Path) -> None:
    assert numbers(read_clip(variable, ClipSettings(stride=1), (32, 24)).frames) == list(range(12))
    assert numbers(read_clip(variable, ClipSettings(fps=2.0), (32, 24)).frames) == [0, 3, 6, 9]
    assert numbers(read_clip(variable, ClipSettings(start=0.3, stride=2), (32, 24)).frames) == [3, 5, 7, 9, 11]


def test_thousands_of_frames_can_be_chosen(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=red:size=16x16:rate=30", "-frames:v", "3000", tmp_path / "long.mp4")
    read = read_clip(tmp_path / "long.mp4", ClipSettings(fps=29.0, frames=2800), (8, 8))
    assert len(set(np.diff(read.indices))) == 2
    assert read.frames.shape == (2800, 8, 8, 3)


@pytest.mark.parametrize("size", [(64, 64), (160, 48), (40, 96), (64, 48)])
@pytest.mark.parametrize("mode", ["crop", "letterbox"])
def test_a_square_stays_a_square(tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    path = white_square(tmp_path / "square.mp4", "96x64", "x=36:y=20:w=24:h=24")
    read = read_clip(path, ClipSettings(fit=mode), size)
    assert read.frames.shape == (2, size[1], size[0], 3)
    width, height = extent(read.frames[0])
    assert abs(width - height) <= 1 + 0.05 * width
    bars = read.frames.copy()
    read.content.cut(bars)[:] = 0
    assert bars.max() == 0
    assert read.content.cut(read.frames).min() > 20  # the clip has no black


def test_a_clip_that_changed_meanwhile_is_refused(clip: Path, tmp_path: Path) -> None:
    info = probe(clip)
    short = numbered(tmp_path / "short.mp4", 3)
    with pytest.raises(VideoError):
        read_clip(short, ClipSettings(frames=20), (32, 24), info)


# --- write_video


def smooth(frames: int, height: int, width: int) -> np.ndarray:
    """Soft colour gradients that move."""
    y, x, f = np.ogrid[0:height, 0:width, 0:frames]
    waves = [127 + 100 * np.sin(x / 40 + f / 5 + c) * np.cos(y / 50 + c) for c in range(3)]
    return np.stack(waves, axis=-1).transpose(2, 0, 1, 3).round().astype(np.uint8)


@pytest.mark.parametrize("fps", [Fraction(8), NTSC / 2, Fraction(12), Fraction(1, 3), 29.97, 1000])
def test_what_is_written_is_read_again(tmp_path: Path, fps: Fraction | float) -> None:
    frames = smooth(6, 48, 64)
    write_video(tmp_path / "out.mp4", frames, fps)
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.num_frames) == (64, 48, 6)
    assert info.fps == Fraction(str(fps))
    again = read_clip(tmp_path / "out.mp4", ClipSettings(stride=1), (64, 48), info).frames
    assert psnr(frames, again) > 40


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)])
def test_colours_survive(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    frames = np.full((2, 32, 32, 3), colour, np.uint8)
    write_video(tmp_path / "out.mp4", frames, 8)
    again = read_clip(tmp_path / "out.mp4", ClipSettings(), (32, 32)).frames
    assert np.abs(again.astype(int) - frames).max() <= 3


@pytest.mark.parametrize(("height", "width"), [(33, 47), (32, 47), (33, 48), (1, 1)])
def test_odd_sizes_keep_every_pixel_in_its_place(tmp_path: Path, height: int, width: int) -> None:
    frames = smooth(3, height, width)
    write_video(tmp_path / "out.mp4", frames, 8)
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height) == (width + width % 2, height + height % 2)
    again = read_clip(tmp_path / "out.mp4", ClipSettings(), (info.width, info.height), info).frames
    assert psnr(frames, np.ascontiguousarray(again[:, :height, :width])) > 38


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    write_video(tmp_path / "a.mp4", noise, NTSC, {"prompt": "x"})
    write_video(tmp_path / "b.mp4", (frame for frame in noise), NTSC, {"prompt": "x"})
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    "frames", [[], np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4, 3)), [np.zeros((4, 4, 3), np.uint8)] * 2 + [None]]
)
def test_wrong_frames_leave_nothing_behind(tmp_path: Path, frames: Any) -> None:
    if len(frames) and frames[-1] is None:
        frames[-1] = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(ValueError, match="frame"):
        write_video(tmp_path / "out.mp4", frames, 8)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_the_child_and_keeps_the_old_file(tmp_path: Path) -> None:
    def interrupted() -> Iterator[np.ndarray]:
        yield np.zeros((64, 64, 3), np.uint8)
        raise KeyboardInterrupt

    (tmp_path / "out.mp4").write_text("old")
    before = _children()
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "out.mp4", interrupted(), 8)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    assert _children() == before  # none is left, running or dead


def _children() -> set[str]:
    """This process's children (Linux); other tests may have left helpers of the standard library's."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_what_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    frames = np.zeros((1, 16, 16, 3), np.uint8)
    with pytest.raises(VideoError, match="cannot write"):
        write_video(tmp_path / "file" / "out.mp4", frames, 8)
    with pytest.raises(VideoError, match="frames a second"):
        write_video(tmp_path / "out.mp4", frames, 0)
    with pytest.raises(VideoError, match="too many"):
        write_video(tmp_path / "out.mp4", frames, 8, {"prompt": "x" * 200_000})
    with pytest.raises(VideoError, match=r"cannot write .*: .*[a-z]"):  # ffmpeg's own refusal: too big for H.264
        write_video(tmp_path / "out.mp4", np.zeros((1, 2, 40000, 3), np.uint8), 8)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --- recipe

TEXT = st.text(st.characters(codec=None), max_size=60) | st.text("=;#\\\n\r\"'[]{} é🎿\0\u2028", max_size=30)
RECIPES = st.dictionaries(
    TEXT, TEXT | st.integers() | st.booleans() | st.none() | st.lists(TEXT, max_size=3), max_size=4
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recipe=RECIPES)
def test_a_recipe_comes_back_as_it_was(tmp_path: Path, recipe: dict[str, Any]) -> None:
    write_video(tmp_path / "out.mp4", np.zeros((1, 16, 16, 3), np.uint8), 8, recipe)
    assert read_recipe(tmp_path / "out.mp4") == recipe


def test_a_recipe_is_refused_before_there_is_a_video() -> None:
    check_recipe({"prompt": "x" * 90_000})
    with pytest.raises(VideoError, match=r"the recipe has .* too many"):
        check_recipe({"prompt": "x" * 200_000})


def test_a_long_recipe_comes_back(tmp_path: Path) -> None:
    recipe = {"prompt": "a = b; " * 12_000}
    write_video(tmp_path / "out.mp4", np.zeros((1, 16, 16, 3), np.uint8), 8, recipe)
    assert read_recipe(tmp_path / "out.mp4") == recipe


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ('{"a": "b=c; #d \\\\ é🎿",\n "[x]":\n[1]}', {"a": "b=c; #d \\ é🎿", "[x]": [1]}),
        ("Cropped with a GIF maker", None),
        ("[1, 2]", None),
        ('"text"', None),
        ("[" * 60_000, None),
        ("1" * 6000, None),
        ("", None),
    ],
)
def test_a_foreign_comment_is_a_recipe_only_if_it_is_an_object(tmp_path: Path, comment: str, expected: Any) -> None:
    more = ["-metadata", f"comment={comment}", "-metadata", 'title=comment={"no": 1}']
    path = numbered(tmp_path / "clip.mp4", 1, "10", *more, "-movflags", "use_metadata_tags")
    assert read_recipe(path) == expected


# --- contact_sheet


@pytest.mark.parametrize(
    ("shape", "columns", "pictures", "size"),
    [
        ((24, 256, 256, 3), 8, 8, (256, 256)),
        ((3, 64, 32, 3), 8, 3, (128, 256)),
        ((9, 100, 200, 3), 4, 4, (200, 100)),
        ((1, 720, 1280, 3), 4, 1, (256, 144)),
    ],
)
def test_a_sheet_has_room_for_every_picture(
    tmp_path: Path, shape: tuple[int, ...], columns: int, pictures: int, size: tuple[int, int]
) -> None:
    frames = np.zeros(shape, np.uint8)
    contact_sheet(tmp_path / "sheet.png", [("", frames), ("", frames)], columns)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    black = (sheet == 0).all(axis=2)
    assert black.any(axis=0).sum() == pictures * size[0]
    assert black.any(axis=1).sum() == 2 * size[1]
    assert (sheet[0] == 255).all()
    assert (sheet[:, -1] == 255).all()


def test_a_sheet_shows_the_first_and_the_last_frame_and_evenly_between(tmp_path: Path) -> None:
    frames = np.stack([np.full((128, 128, 3), 10 * n, np.uint8) for n in range(22)])
    contact_sheet(tmp_path / "sheet.png", [("", frames)], columns=4)
    middle = np.asarray(Image.open(tmp_path / "sheet.png"))[-80, :, 0]
    assert [int(value) for value in np.unique(middle)] == [0, 70, 140, 210, 255]


@pytest.mark.parametrize("label", ["a cat", "a cat is running " * 40, "x" * 500, "é — 🎿\n日本", "\0\x1b[31m", ""])
def test_labels_stay_on_the_sheet(tmp_path: Path, label: str) -> None:
    contact_sheet(tmp_path / "sheet.png", [(label, np.zeros((2, 128, 128, 3), np.uint8))])
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    assert sheet.shape[0] <= 128 + 120
    assert (sheet[:, -16:] == 255).all()
    above = sheet[: sheet.shape[0] - 150]
    assert (above < 128).any() == bool(label)


def test_a_sheet_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    for rows, columns in (([], 8), ([("", frames[:0])], 8), ([("", frames)], 0)):
        with pytest.raises(ValueError, match="sheet"):
            contact_sheet(tmp_path / "sheet.png", rows, columns)
    (tmp_path / "file").write_text("")
    with pytest.raises(VideoError, match="cannot write"):
        contact_sheet(tmp_path / "file" / "sheet.png", [("", frames)])


def test_no_torch_is_loaded() -> None:
    code = "import sys, tav.video, tav.metrics.fidelity; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
