"""A contact sheet, and its first picture."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tav.video import contact_sheet, first_picture


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 10), st.integers(130, 250), st.integers(20, 200), st.integers(1, 8), st.text("ab ", max_size=300))
def test_the_first_picture_is_the_first_frame(
    tmp_path: Path, count: int, width: int, height: int, columns: int, label: str
) -> None:
    """Of these widths pictures are neither enlarged nor made smaller."""
    frames = np.random.default_rng(count).integers(0, 256, (count, height, width, 3), np.uint8)
    contact_sheet(tmp_path / "sheet.png", [(label, frames), ("second", frames[:1])], columns)
    picture = first_picture(tmp_path / "sheet.png")
    assert picture is not None
    assert (np.asarray(picture) == frames[0]).all()


@pytest.mark.parametrize("box", ["", "1 2 3", "a b c d", "9 9 1 1", "1 1 9999999999 9999999999", "-9 -9 4 4"])
def test_a_wrong_note_does_no_harm(tmp_path: Path, box: str) -> None:
    note = PngImagePlugin.PngInfo()
    note.add_text("first picture", box)
    Image.new("RGB", (8, 6)).save(tmp_path / "sheet.png", pnginfo=note)
    picture = first_picture(tmp_path / "sheet.png")
    assert picture is None or (picture.width <= 8 and picture.height <= 6)
