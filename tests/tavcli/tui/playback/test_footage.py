"""Videos as small frames: all of them, at their times, in their colours, and never more than there is room for."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tav.errors import VideoError
from tav.settings import ClipSettings
from tav.video import probe, read_clip, write_video
from tavcli.tui.playback import footage
from tavcli.tui.playback.footage import Unwanted, fitted, read_footage, read_still

BOX = 256, 160
LENGTHS = st.integers(1, 5000)


def smooth(frames: int, width: int, height: int) -> np.ndarray:
    """Frames in which neighbours hardly differ: any way to shrink them gives the means."""
    y, x = np.mgrid[:height, :width]
    moving = [np.stack([200 * x / width, 200 * y / height, 30 * k + 0 * x], axis=-1) for k in range(frames)]
    return np.stack(moving).astype(np.uint8)


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif", ".webp", ""])
def test_every_kind_gives_all_frames_at_their_times(tmp_path: Path, ending: str) -> None:
    made = smooth(6, 64, 32)
    write_video(tmp_path / f"clip{ending}", made, 12)
    found = read_footage(tmp_path / f"clip{ending}", BOX)
    assert found.frames.shape == made.shape
    assert np.abs(found.frames - made.astype(float)).mean() < 12
    assert found.times == pytest.approx([k / 12 for k in range(6)], abs=0.0051)
    assert found.length == pytest.approx(0.5, abs=0.0051)
    assert found.whole


def test_a_small_clip_has_the_engines_own_pixels_and_times(clip: Path) -> None:
    found, engines = read_footage(clip, BOX), read_clip(clip, ClipSettings(stride=1, frames=6), (32, 32))
    assert np.array_equal(found.frames, engines.frames)
    assert found.times == probe(clip).timestamps


def test_of_a_large_clip_the_means_are_kept(tmp_path: Path) -> None:
    write_video(tmp_path / "clip", smooth(3, 160, 120), 12)
    write_video(tmp_path / "clip.mp4", smooth(3, 160, 120), 12)
    means = smooth(3, 160, 120).reshape(3, 30, 4, 40, 4, 3).mean(axis=(2, 4))
    for name in ("clip", "clip.mp4"):
        assert np.abs(read_footage(tmp_path / name, (40, 99)).frames - means).max() < 8


@pytest.mark.parametrize("name", ["clip", "clip.mp4"])
def test_a_still_is_the_first_frame(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, smooth(4, 64, 48), 12)
    still, moving = (read(tmp_path / name, (32, 32)).frames for read in (read_still, read_footage))
    assert np.array_equal(still, moving[:1])


@pytest.mark.parametrize("ending", ["", ".mp4", ".webm", ".gif"])
@pytest.mark.parametrize(("start", "first"), [(0.25, 3), (0.2, 3), (0.5833, 7), (0.58334, 7)])
def test_it_starts_where_a_clip_is_cut(tmp_path: Path, ending: str, start: float, first: int) -> None:
    path = tmp_path / f"clip{ending}"
    write_video(path, smooth(9, 32, 32), 12)
    whole, part = read_footage(path, BOX), read_footage(path, BOX, start)
    assert np.array_equal(part.frames, whole.frames[first:])
    assert np.array_equal(read_still(path, BOX, start).frames, whole.frames[first : first + 1])
    assert part.times == pytest.approx([time - whole.times[first] for time in whole.times[first:]])


def test_a_picture_is_a_still(tmp_path: Path) -> None:
    Image.fromarray(smooth(1, 90, 60)[0]).save(tmp_path / "sheet.png")
    assert np.array_equal(read_still(tmp_path / "sheet.png", BOX).frames, smooth(1, 90, 60))


@given(LENGTHS, LENGTHS, LENGTHS, LENGTHS)
def test_what_is_fitted_fills_its_box_and_keeps_its_aspect(width: int, height: int, most: int, highest: int) -> None:
    w, h = fitted((width, height), (most, highest))
    assert 1 <= w <= most
    assert 1 <= h <= highest
    assert w == most or h == highest
    scale = min(most / width, highest / height)
    assert abs(w - max(1, width * scale)) <= 0.5001
    assert abs(h - max(1, height * scale)) <= 0.5001


def test_unequal_times_are_kept(tmp_path: Path) -> None:
    first, *rest = (Image.fromarray(frame) for frame in smooth(4, 32, 32))
    first.save(tmp_path / "clip.gif", save_all=True, append_images=rest, duration=[100, 300, 50, 200])
    found = read_footage(tmp_path / "clip.gif", BOX)
    assert found.times == pytest.approx([0, 0.1, 0.4, 0.45])
    assert found.length == pytest.approx(0.65)


@pytest.mark.parametrize("name", ["clip", "clip.mp4"])
def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / name, smooth(9, 32, 32), 12)
    everything = read_footage(tmp_path / name, BOX)
    monkeypatch.setattr(footage, "MOST_BYTES", 4 * everything.frames[0].nbytes + 1)
    part = read_footage(tmp_path / name, BOX)
    assert np.array_equal(part.frames, everything.frames[:4])
    assert (part.whole, everything.whole) == (False, True)
    assert part.length == pytest.approx(4 / 12)


@pytest.mark.parametrize("name", ["clip", "clip.mp4"])
def test_reading_ends_when_nobody_wants_it(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, smooth(60, 64, 64), 12)
    asked, before = iter([True, True, False]), children()  # the browser of other tests, say
    with pytest.raises(Unwanted):
        read_footage(tmp_path / name, BOX, wanted=lambda: next(asked))
    assert children() == before


def children() -> str:
    return "".join(path.read_text() for path in Path("/proc/self/task").glob("*/children"))


@pytest.mark.parametrize(
    "spoil", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_text("no video " * 999)]
)
def test_bad_files_are_refused_in_a_line(clip: Path, tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip.read_bytes())
    spoil(path)
    for read in (read_still, read_footage):
        with pytest.raises(VideoError) as caught:
            read(path, BOX)
        assert "\n" not in caught.value.message


def test_of_a_file_cut_off_at_its_end_the_good_part_is_shown(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.webm", smooth(60, 64, 64), 12)
    data = (tmp_path / "clip.webm").read_bytes()
    (tmp_path / "clip.webm").write_bytes(data[: len(data) * 2 // 3])
    assert 6 < len(read_footage(tmp_path / "clip.webm", BOX).frames) < 60


def test_no_tensor_library_is_loaded() -> None:
    script = "import sys, tavcli.tui.screens.compare; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "diffusers", "transformers", "safetensors"} & set(done.stdout.split())
