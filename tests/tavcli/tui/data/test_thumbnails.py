"""Pictures in half cells, and where they come from."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tav.video import contact_sheet, write_video
from tavcli.tui.data.thumbnails import picture_of
from tavcli.tui.widgets.thumbnail import half_cells

LENGTHS = st.integers(1, 300)


@given(LENGTHS, LENGTHS, st.integers(1, 40), st.integers(1, 20))
def test_half_cells_fit_and_fill(wide: int, high: int, width: int, height: int) -> None:
    lines = half_cells(Image.new("RGB", (wide, high)), width, height)
    assert len(lines) == height
    assert len({line.cell_length for line in lines}) == 1
    assert 1 <= lines[0].cell_length <= width
    assert lines[0].cell_length == width or any("▀" in lines[place].plain for place in (0, -1))


def test_half_cells_are_the_pixels() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 6, 3), np.uint8)
    seen = np.zeros_like(pixels)
    for y, line in enumerate(half_cells(Image.fromarray(pixels), 6, 4)):
        for span in line.spans:
            for x in range(span.start, span.end):
                seen[2 * y, x] = span.style.foreground.rgb
                seen[2 * y + 1, x] = span.style.background.rgb
    assert (seen == pixels).all()


FRAMES = np.stack([np.full((32, 48, 3), shade, np.uint8) for shade in (60, 200)])


def _sheet(folder: Path) -> Path:
    contact_sheet(folder / "sheet.png", [("frames", FRAMES)])
    return folder / "sheet.png"


def _picture(folder: Path) -> Path:
    Image.fromarray(FRAMES[0]).save(folder / "one.png")
    return folder / "one.png"


def _video(folder: Path) -> Path:
    write_video(folder / "clip.mp4", FRAMES, 12)
    return folder / "clip.mp4"


def _folder(folder: Path) -> Path:
    for number, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("make", [_sheet, _picture, _video, _folder])
def test_the_first_frame_is_found(tmp_path: Path, make) -> None:
    picture = picture_of(make(tmp_path))
    assert picture is not None
    assert abs(np.asarray(picture, int) - 60).max() <= 4  # of a video: what its colours lose


@pytest.mark.parametrize("name", ["clip.mp4", "frames.png", "clip.gif", "empty"])
def test_what_cannot_be_read_has_no_picture(tmp_path: Path, name: str) -> None:
    assert picture_of(tmp_path / name) is None
    (tmp_path / name).mkdir() if name == "empty" else (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    assert picture_of(tmp_path / name) is None
