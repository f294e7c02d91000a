"""A folder of pictures is a clip; the truth is what the pictures were made from."""

import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from made_clips import HEIGHT, WIDTH, draw, drawn, numbers
from PIL import Image

from tav.errors import VideoError
from tav.metrics.fidelity import psnr
from tav.settings import ClipSettings
from tav.video import frame_files, probe, read_clip

SIZE = WIDTH, HEIGHT
EVERY = ClipSettings(stride=1)


def save(folder: Path, names: list[str], **options: object) -> Path:
    """Frame number n under the n-th name."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(draw(number)).save(folder / name, **options)
    return folder


def test_numbers_count_by_value(tmp_path: Path) -> None:
    names = [f"f{number}.png" for number in range(12)]
    folder = save(tmp_path / "frames", names)
    assert [path.name for path in frame_files(folder)] == names
    info = probe(folder)
    assert (info.width, info.height, info.num_frames, info.fps, info.has_audio) == (*SIZE, 12, Fraction(12), False)
    assert read_clip(folder, EVERY, SIZE, info).frames.tobytes() == drawn(12).tobytes()


def test_order_is_natural_whatever_the_disk_says(tmp_path: Path) -> None:
    names = ["1 a.png", "2.png", "010.png", "10.png", "a1b2.png", "a1b10.png", "A2.png", "b-3.png", "b-20.png"]
    for name in random.Random(0).sample(names, len(names)):
        (tmp_path / name).touch()
    assert [path.name for path in frame_files(tmp_path)] == names


def test_what_is_no_frame_is_passed_over(tmp_path: Path) -> None:
    folder = save(tmp_path / "frames", ["a1.PNG", "a2.png"])
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.png").write_text("x")
    (folder / "more.png").mkdir()
    assert probe(folder).num_frames == 2


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"])
def test_every_kind_of_picture_is_read(tmp_path: Path, ending: str) -> None:
    exact = {"lossless": True} if ending == "webp" else {"quality": 95} if ending.startswith("jp") else {}
    folder = save(tmp_path / "frames", [f"{number}.{ending}" for number in range(3)], **exact)
    frames = read_clip(folder, EVERY, SIZE).frames
    assert numbers(frames) == [0, 1, 2]
    assert psnr(frames, drawn(3)) > 22 if ending.startswith("jp") else frames.tobytes() == drawn(3).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_held_as_its_camera_was(tmp_path: Path, orientation: int) -> None:
    """EXIF orientation: what is stored, brought to the eye by the flips and turns of the EXIF standard."""
    upright = draw(5)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright[:, ::-1], -1),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored[orientation])).save(tmp_path / "1.png", exif=exif)
    info = probe(tmp_path)
    assert (info.width, info.height) == SIZE
    assert read_clip(tmp_path, EVERY, SIZE, info).frames[0].tobytes() == upright.tobytes()


def test_transparency_is_shown_on_white(tmp_path: Path) -> None:
    alpha = np.arange(WIDTH, dtype=np.uint8)[None].repeat(HEIGHT, 0) * 4
    Image.fromarray(np.dstack([draw(1), alpha])).save(tmp_path / "1.png")
    share = alpha[..., None] / 255
    truth = draw(1) * share + 255 * (1 - share)
    assert read_clip(tmp_path, EVERY, SIZE).frames[0].astype(float) == pytest.approx(truth, abs=1)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_of_grey_are_scaled_not_cut(tmp_path: Path, ending: str) -> None:
    ramp = np.linspace(0, 65535, WIDTH).astype(np.uint16)[None].repeat(HEIGHT, 0)
    Image.fromarray(ramp).save(tmp_path / f"1.{ending}")
    frame = read_clip(tmp_path, EVERY, SIZE).frames[0].astype(float)
    assert frame[..., 0] == pytest.approx(ramp / 257, abs=0.51)
    assert np.ptp(frame, axis=2).max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "RGBX"])
def test_other_kinds_of_pixels_are_read(tmp_path: Path, mode: str) -> None:
    ending = "tif" if mode in ("CMYK", "YCbCr", "RGBX") else "png"
    grey = np.where(draw(9).mean(2, keepdims=True) > 128, 255, 0).repeat(3, 2).astype(np.uint8)
    Image.fromarray(grey).convert(mode).save(tmp_path / f"1.{ending}")
    assert read_clip(tmp_path, EVERY, SIZE).frames[0].astype(float) == pytest.approx(grey, abs=2)


def test_crop_and_letterbox_are_those_of_videos(tmp_path: Path) -> None:
    save(tmp_path, ["1.png"])
    crop = read_clip(tmp_path, EVERY, (HEIGHT, HEIGHT)).frames[0]
    assert crop.tobytes() == draw(0)[:, 8:56].tobytes()
    bars = read_clip(tmp_path, ClipSettings(fit="letterbox"), (WIDTH, WIDTH))
    assert bars.content == (0, 8, WIDTH, HEIGHT)
    assert bars.content.cut(bars.frames)[0].tobytes() == draw(0).tobytes()
    assert bars.frames[0, :8].max() == 0


def refusal(folder: Path) -> str:
    with pytest.raises(VideoError) as caught:
        read_clip(folder, EVERY, SIZE)
    assert caught.value.hint
    return caught.value.message


def test_one_of_another_size_is_named(tmp_path: Path) -> None:
    save(tmp_path, [f"{number}.png" for number in range(12)])
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(tmp_path / "10.png")
    assert refusal(tmp_path).endswith("10.png is 64x49, but the other frames are 64x48")


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    save(tmp_path, [f"{number}.png" for number in range(3)])
    content = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(content[: len(content) // 2])
    assert "1.png cannot be read as a picture" in refusal(tmp_path)
    (tmp_path / "1.png").write_bytes(b"words")
    assert "1.png cannot be read as a picture" in refusal(tmp_path)


def test_pixels_of_no_known_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.float32)).save(tmp_path / "1.tif")
    assert "floating-point" in refusal(tmp_path)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("x")
    assert "is a folder without pictures in it" in refusal(tmp_path)


def test_a_folder_that_lost_a_frame_meanwhile_is_refused(tmp_path: Path) -> None:
    save(tmp_path, [f"{number}.png" for number in range(3)])
    info = probe(tmp_path)
    (tmp_path / "2.png").unlink()
    with pytest.raises(VideoError, match="did not give the frames it has"):
        read_clip(tmp_path, EVERY, SIZE, info)
