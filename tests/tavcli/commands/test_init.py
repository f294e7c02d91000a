"""What `tav init` takes, says, shows and warns of, and the names it copes with."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from tav.video import write_video
from tavcli.config.files import read_toml

Call = Callable[..., Any]


def texture(seed: int, side: int = 96) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (side // 6, side // 6, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))


def pan(seed: int, step: int, frames: int) -> np.ndarray:
    """A view of 32x32 that moves by `step` pixels a frame."""
    return np.stack([texture(seed)[30:62, step * number : step * number + 32] for number in range(frames)])


@pytest.fixture
def init(done: Call, tiny_base: Path, tmp_path: Path) -> Call:
    """`init(clip, ...)`: make the workspace `w` in the test's folder."""
    where = ["--caption", "x", "--base", tiny_base]
    return lambda clip, *flags: done(tmp_path, "init", clip, "w", *where, *flags)


def test_a_good_clip_is_told_and_shown_without_a_warning(init: Call, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", pan(0, 1, 12), 12)
    said = init("clip.mp4", "--size", "48x32")
    assert "clip: 32x32, 12 frames, 12 a second, no sound" in said.err
    assert "taken: 12 frames from 0 to 0.9167 s, every frame, at 48x32; the result plays at 12 a second" in said.err
    assert "crop: 33% of the height is cut off, half at each side (--fit letterbox keeps it)" in said.err
    assert "what was taken, as a sheet: w/frames.png" in said.err
    assert "warning" not in said.err
    sheet = Image.open(tmp_path / "w" / "frames.png")
    assert sheet.width > 8 * 128


def test_sound_and_bars_are_told(init: Call, tmp_path: Path) -> None:
    write_video(tmp_path / "silent.mp4", pan(0, 1, 12), 12)
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", tmp_path / "silent.mp4"]
    tone = ["-f", "lavfi", "-i", "sine=duration=1", "-c:v", "copy", tmp_path / "clip.mp4"]
    subprocess.run([*ffmpeg, *tone], check=True, stdin=subprocess.DEVNULL)
    said = init("clip.mp4", "--size", "64x32", "--fit", "letterbox")
    assert "a second, with sound" in said.err
    assert "letterbox: the whole picture, 50% of the network's is black bars" in said.err


def test_the_sheet_shows_every_frame_in_its_place(init: Call, tmp_path: Path) -> None:
    frames = np.stack([np.full((32, 32, 3), 10 * number, np.uint8) for number in range(20)])
    write_video(tmp_path / "clip.mp4", frames, 12)
    init("clip.mp4", "--size", "32x32")
    sheet = np.asarray(Image.open(tmp_path / "w" / "frames.png").convert("L")).astype(int)
    rows = [sheet[top, 20 + 64 : 20 + 8 * 132 : 132] for top in picture_rows(sheet)]
    shown = np.concatenate(rows)[:20]
    assert shown == pytest.approx(np.arange(20) * 10, abs=3)


def picture_rows(sheet: np.ndarray) -> list[int]:
    """Where the middle of each row of pictures is: below its label (31 pixels), 128 high, 22 apart."""
    return [20 + 31 + 64 + row * (31 + 128 + 22) for row in range(3) if 20 + 31 + 64 + row * 181 < sheet.shape[0]]


WARNED = {
    "a cut": (np.concatenate([pan(0, 1, 7), pan(1, 1, 5)]), "a scene cut between the frames taken, at 0.5833 s"),
    "two cuts": (np.concatenate([pan(seed, 1, 4) for seed in range(3)]), "2 scene cuts between the frames taken"),
    "still": (pan(0, 0, 12), "almost nothing moves"),
    "one frame": (pan(0, 0, 1), "there is only one frame"),
    "fast": (pan(0, 16, 4)[[0, 1, 2, 3, 2, 1, 0]], "far apart"),
    "bars": (np.pad(pan(0, 1, 12)[:, 6:-6], ((0, 0), (6, 6), (0, 0), (0, 0))), "the clip has black bars, 3"),
}


@pytest.mark.parametrize("kind", WARNED)
def test_what_may_spoil_the_result_is_warned_of(init: Call, tmp_path: Path, kind: str) -> None:
    frames, words = WARNED[kind]
    write_video(tmp_path / "clip.mp4", frames, 12)
    said = init("clip.mp4", "--size", "32x32")
    (warning,) = (line for line in said.err.splitlines() if line.startswith("warning"))
    assert words in warning


def test_what_the_warning_of_a_cut_advises_helps(done: Call, tiny_base: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", WARNED["a cut"][0], 12)
    where = ["--caption", "x", "--base", tiny_base, "--size", "32x32"]
    warning = done(tmp_path, "-q", "init", "clip.mp4", "w", *where).err
    assert "--frames 7, or behind it with --start 0.584" in warning
    for number, advice in enumerate((["--frames", "7"], ["--start", "0.584"])):
        said = done(tmp_path, "--json", "init", "clip.mp4", f"w{number}", *where, *advice)
        assert said.json()["frames"] == (7, 4)[number]
        assert said.json()["warnings"] == []


# --- folders of frames


def frame_folder(path: Path, frames: int = 12) -> Path:
    path.mkdir()
    for number, frame in enumerate(pan(0, 1, frames)):
        Image.fromarray(frame).save(path / f"f{number}.png")
    (path / "notes.txt").write_text("mine")
    return path


def test_a_folder_of_frames_is_copied_and_works_to_the_end(
    done: Call, tiny_base: Path, tmp_path: Path, settle: Call
) -> None:
    frames = frame_folder(tmp_path / "frames", 6)
    where = ["--device", "cpu", "--precision", "fp32"]
    said = done(tmp_path, *where, "init", "frames/", "--caption", "x", "--base", tiny_base)
    assert said.out == "frames-tav\n"
    assert "6 frames, 12 a second, no sound" in said.err
    folder = tmp_path / "frames-tav"
    assert read_toml(folder / "tav.toml")["clip"]["source"] == "source"
    assert sorted(path.name for path in (folder / "source").iterdir()) == [f"f{number}.png" for number in range(6)]
    shutil.rmtree(frames)
    settle(folder, {"tune": {"steps": 1}, "invert": {"steps": 2, "check": False}})
    assert done(folder, "edit", "a cat").out.strip().endswith("video.mp4")
    assert "nothing to do" in done(folder, "tune").err
    Image.new("RGB", (32, 32), "red").save(folder / "source" / "f3.png")
    assert "nothing to do" not in done(folder, "tune").err


def test_a_folder_that_is_gone_or_empty_is_refused(done: Call, tav: Call, tiny_base: Path, tmp_path: Path) -> None:
    frame_folder(tmp_path / "frames")
    done(tmp_path, "init", "frames", "w", "--caption", "x", "--base", tiny_base)
    shutil.rmtree(tmp_path / "w" / "source")
    said = tav(tmp_path / "w", "tune")
    assert said.code == 1
    assert "clip source is gone" in said.err
    (tmp_path / "w" / "source").mkdir()
    said = tav(tmp_path / "w", "tune")
    assert said.code == 1
    assert "folder without pictures" in said.err


# --- names


NAMES = {
    "not UTF-8": os.fsdecode(b"caf\xe9.mp4"),
    "ending not UTF-8": os.fsdecode(b"clip.\xff\xfe"),
    "very long": "x" * 251 + ".mp4",
    "very long, in Japanese": "日" * 83 + ".mp4",
    "spaces": "  my holiday clip .mp4",
    "quotes": 'it\'s a "clip".mp4',
    "dash": "-i.mp4",
    "percent": "%03d.mp4",
    "colon": "http:clip.mp4",
    "newline": "a\nb.mp4",
    "star": "*?[a].mp4",
    "no ending": "clip",
    "dots": "a.b.c.mp4",
    "brackets of rich": "[bold]x[red].mp4",
}


@pytest.mark.parametrize("kind", NAMES)
def test_any_name_will_do(done: Call, clip: Path, tiny_base: Path, tmp_path: Path, kind: str) -> None:
    shutil.copy(clip, tmp_path / NAMES[kind])
    said = done(tmp_path, "--json", "init", "--caption", "x", "--base", tiny_base, "--", NAMES[kind])
    folder = Path(said.json()["workspace"])
    assert folder.parent == tmp_path.resolve()
    assert {path.name for path in tmp_path.iterdir()} == {NAMES[kind], folder.name}
    source = folder / read_toml(folder / "tav.toml")["clip"]["source"]
    assert source.read_bytes() == clip.read_bytes()
    assert source.name in ("source.mp4", "source")


def test_a_name_that_is_no_text_is_printed_as_its_bytes(
    tav_command: list[str], clip: Path, tiny_base: Path, tmp_path: Path
) -> None:
    shutil.copy(clip, tmp_path / NAMES["not UTF-8"])
    command = [*tav_command, "init", NAMES["not UTF-8"], "--caption", "x", "--base", str(tiny_base)]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    child = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (child.returncode, child.stdout) == (0, b"caf\xe9\n"), child.stderr


def test_links_are_followed(done: Call, clip: Path, tiny_base: Path, tmp_path: Path) -> None:
    frame_folder(tmp_path / "real")
    shutil.copy(clip, tmp_path / "real.mp4")
    (tmp_path / "link.mp4").symlink_to("real.mp4")
    (tmp_path / "link").symlink_to("real")
    for name in ("link.mp4", "link"):
        done(tmp_path, "init", name, f"w-{name}", "--caption", "x", "--base", tiny_base)
        (source,) = (tmp_path / f"w-{name}").glob("source*")
        assert not source.is_symlink()
        assert source.is_dir() == (name == "link")
