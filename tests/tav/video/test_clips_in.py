"""Every clip of the roster: the frames taken are the ones drawn, at their times, at the clip's size and rate."""

from collections.abc import Callable
from pathlib import Path

import made_clips
import numpy as np
import pytest
from made_clips import ROSTER

from tav.metrics.fidelity import psnr
from tav.settings import ClipSettings
from tav.video import probe, read_clip


@pytest.mark.parametrize("name", ROSTER)
def test_what_was_drawn_is_taken(tmp_path: Path, name: str) -> None:
    made, clip = made_clips.take(name, tmp_path)
    assert [what for what, wrong in made_clips.faults(made, clip).items() if wrong] == []


def test_a_wrong_frame_is_told_by_its_number_and_bytes(tmp_path: Path) -> None:
    made, clip = made_clips.take("h264, no loss", tmp_path)
    clip.frames[2] = made.shown[6]
    assert made_clips.faults(made, clip)["frames"]
    clip.frames[2] = made.shown[5] // 8 * 8
    found = made_clips.faults(made, clip)
    assert [what for what, wrong in found.items() if wrong] == ["bytes"]


def test_fields_of_two_times_are_not_woven(tmp_path: Path) -> None:
    fields = made_clips.drawn(24)
    fields[:, 24:] = 0
    woven = fields[::2].copy()
    woven[:, 1::2] = fields[1::2, 1::2]  # top field first: even lines are the earlier ones
    out = ["-c:v", "libx264", "-qp", "0", "-flags", "+ildct+ilme", "-vf", "setfield=tff", "-pix_fmt", "yuv444p"]
    made_clips.encode(tmp_path / "clip.mp4", woven, *out)
    frames = read_clip(tmp_path / "clip.mp4", ClipSettings(stride=2), (64, 48)).frames
    assert len(frames) == 6
    for number, frame in enumerate(frames):
        wrong = np.abs(frame.astype(int) - fields[4 * number]).max(2) > 60
        assert wrong[9:15].sum() <= 8  # in the lines of the square, where weaving gets 3 x 16 pixels wrong


@pytest.mark.parametrize(
    "words", ["partial file", "File ended prematurely", "fmt:rgb24 sar:2/1 s:9x9 i:T", "Stream #0:1: Audio: aac"]
)
def test_names_and_titles_are_not_taken_for_what_ffmpeg_says(tmp_path: Path, words: str) -> None:
    path = tmp_path / f"{words.replace('/', '-')}.mp4"
    titled = f"x\n[error] {words}\n[Parsed_showinfo_0 @ 0x1] [info] n: 0 {words}\n[info]   {words}"
    made_clips.encode(path, made_clips.drawn(), *made_clips.X264, "-metadata", f"title={titled}")
    info = probe(path)
    assert (info.width, info.height, info.num_frames, info.has_audio) == (64, 48, 12, False)
    assert not info.picture.interlaced


# --- high dynamic range: truth is light in cd/m2, by the formulas of SMPTE ST 2084 and ITU-R BT.2100

LIGHT = np.array([0, 2, 10, 25, 50, 100, 203, 400, 1000])
BT2020_OF_BT709 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def pq(light: np.ndarray) -> np.ndarray:
    power = (light / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg(light: np.ndarray) -> np.ndarray:
    """On a display of 1000 cd/m2 (system gamma 1.2), whose luminance weighs the channels as BT.2020 does."""
    luminance = light @ np.array([0.2627, 0.6780, 0.0593])
    scene = light / 1000 * np.maximum(luminance / 1000, 1e-9)[..., None] ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def hdr_clip(path: Path, light: np.ndarray, transfer: str, curve: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Patches of 16x16 of `light` (n, 3), cd/m2 by BT.709's primaries, as BT.2020 in HEVC of 10 bits without loss."""
    signal = np.clip(curve(light @ BT2020_OF_BT709.T), 0, 1)
    rgb = np.round(signal * 65535).astype("<u2").repeat(16, 0)[None].repeat(16, 0)
    labels = f"setparams=range=tv:color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc"
    words = f"scale=out_color_matrix=bt2020:out_range=tv,format=yuv444p10le,{labels}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{16 * len(light)}x16", "-r", "10", "-i", "pipe:0"]
    coded = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "lossless=1:log-level=none"]
    made_clips.ffmpeg(*raw, "-vf", words, *coded, path, data=rgb.tobytes() * 2)
    return path


@pytest.mark.parametrize(("transfer", "curve"), [("smpte2084", pq), ("arib-std-b67", hlg)])
def test_high_dynamic_range_keeps_dark_light_and_true_colours(
    tmp_path: Path, transfer: str, curve: Callable[[np.ndarray], np.ndarray]
) -> None:
    greys = np.repeat(LIGHT[:, None], 3, 1).astype(float)
    coloured = 40.0 * np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0.5, 0.25]])
    light = np.concatenate([greys, coloured])
    path = hdr_clip(tmp_path / "clip.mp4", light, transfer, curve)
    frame = read_clip(path, ClipSettings(), (16 * len(light), 16)).frames[0]
    shown = frame[8, 8::16].astype(float)
    display = 255 * (light / 203) ** (1 / 2.4)  # what a display of BT.1886 needs to give the same share of white
    dark = light.max(1) <= 50
    assert shown[dark] == pytest.approx(display[dark], abs=8)  # levels of 10 bits are that far apart near black
    grey = shown[: len(LIGHT)]
    assert np.ptp(grey, axis=1).max() <= 1
    assert (np.diff(grey[:, 0]) > 0).all()
    assert 200 < grey[6, 0] < 235  # white leaves room for what is brighter
    assert grey[-1, 0] >= 250


@pytest.mark.parametrize("transfer", ["bt2020-10", "bt709"])
def test_wide_colours_are_brought_to_those_of_a_common_display(tmp_path: Path, transfer: str) -> None:
    shares = np.array([[1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.8, 0.3, 0.1], [0.1, 0.3, 0.8]])
    light = shares**2.4  # that a display of BT.1886 makes of these signals
    path = hdr_clip(tmp_path / "clip.mp4", light, transfer, lambda light: np.maximum(light, 0) ** (1 / 2.4))
    frame = read_clip(path, ClipSettings(), (16 * len(light), 16)).frames[0]
    assert (frame[8, 8::16] / 255) ** 2.4 == pytest.approx(light, abs=0.01)


def test_an_unlabelled_ten_bit_clip_is_not_taken_for_high_dynamic_range(tmp_path: Path) -> None:
    out = ["-c:v", "ffv1", "-vf", "scale=out_color_matrix=bt601:out_range=tv,format=yuv444p10le"]
    made_clips.encode(tmp_path / "clip.mkv", made_clips.drawn(), *out)
    frames = read_clip(tmp_path / "clip.mkv", ClipSettings(stride=1), (64, 48)).frames
    assert psnr(frames, made_clips.drawn()) > 45
