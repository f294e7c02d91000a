"""Frames as rows of cells: what the terminal is told is the picture."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rich.ansi import AnsiDecoder
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.segment import Segment
from textual.strip import Strip

from tavcli.tui.playback.cells import RAMP, Row, canvas, coloured, plain

GROUND = 9, 8, 7
SYSTEMS = {"truecolor": ColorSystem.TRUECOLOR, "256": ColorSystem.EIGHT_BIT, "standard": ColorSystem.STANDARD}
# Few values, so that neighbours and halves are often equal.
PIXELS = arrays(np.uint8, st.tuples(st.just(2), st.integers(1, 9), st.just(3)), elements=st.sampled_from([0, 7, 255]))


def console(system: str) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system=system)


def row_of(pixels: np.ndarray) -> Row:
    (row,) = coloured(pixels)
    assert isinstance(row, Row)
    return row


def halves(row: Strip) -> list[tuple[Color, Color]]:
    """The upper and the lower colour of every cell, as the segments have them."""
    styles = [(char, segment.style) for segment in row for char in segment.text]
    return [(style.color if text == "▀" else style.bgcolor, style.bgcolor) for text, style in styles]


def pixels_of(row: Strip) -> np.ndarray:
    """The same as pixels, uint8 (2, w, 3)."""
    return np.array([[color.triplet for color in cell] for cell in halves(row)], np.uint8).transpose(1, 0, 2)


def told(row: Row, system: str) -> Strip:
    """What a terminal makes of the escape codes, one segment for each cell."""
    terminal = console(system)
    text = AnsiDecoder().decode_line(row.render(terminal))
    return Strip([Segment(char, text.get_style_at_offset(terminal, at)) for at, char in enumerate(text.plain)])


@given(PIXELS)
def test_segments_are_the_pixels(pixels: np.ndarray) -> None:
    assert np.array_equal(pixels_of(row_of(pixels)), pixels)


@given(PIXELS)
def test_the_terminal_is_told_the_pixels(pixels: np.ndarray) -> None:
    assert np.array_equal(pixels_of(told(row_of(pixels), "truecolor")), pixels)


@given(PIXELS, st.integers(0, 9), st.integers(0, 9))
def test_to_textual_it_is_a_strip_like_any_other(pixels: np.ndarray, one: int, other: int) -> None:
    row, strip = row_of(pixels), Strip(list(row_of(pixels)))
    start, end = sorted((one, other))
    assert row == strip
    assert row.cell_length == strip.cell_length
    assert row.crop(start, end) == strip.crop(start, end)
    cuts = sorted({start, row.cell_length} - {0})
    assert list(row.divide(cuts)) == list(strip.divide(cuts))
    assert row.adjust_cell_length(20) == strip.adjust_cell_length(20)
    assert Strip.join([row, row]) == Strip.join([strip, strip])


@pytest.mark.parametrize("system", ["256", "standard"])
def test_a_terminal_of_few_colours_is_told_the_nearest(system: str) -> None:
    row = row_of(np.random.default_rng(0).integers(0, 32, (2, 99, 3)).astype(np.uint8) * 8)
    nearest = [tuple(color.downgrade(SYSTEMS[system]) for color in cell) for cell in halves(row)]
    assert [tuple(color.number for color in cell) for cell in halves(told(row, system))] == [
        tuple(color.number for color in cell) for cell in nearest
    ]


def test_rows_for_different_terminals_do_not_mix() -> None:
    row = row_of(np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8))
    said = [row.render(console(system)) for system in SYSTEMS]
    assert len(set(said)) == len(said)
    assert said == [row.render(console(system)) for system in SYSTEMS]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_pixel_is_the_mean_of_those_it_covers(down: int, right: int, width: int, height: int, seed: int) -> None:
    scale = max(down, right)
    frame = np.random.default_rng(seed).integers(0, 256, (2 * height * scale, width * scale, 3)).astype(np.uint8)
    means = frame.reshape(2 * height, scale, width, scale, 3).mean(axis=(1, 3))
    assert np.abs(canvas(frame, width, height, GROUND) - means).max() <= 1


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 20))
def test_a_picture_lies_in_the_middle_and_touches_two_edges(w: int, h: int, width: int, height: int) -> None:
    pixels = canvas(np.full((h, w, 3), 200, np.uint8), width, height, GROUND)
    inside = (pixels == 200).all(axis=2)
    assert ((pixels == GROUND).all(axis=2) == ~inside).all()
    rows, columns = inside.any(axis=1), inside.any(axis=0)
    assert (inside == rows[:, None] & columns).all()
    assert rows.all() or columns.all()
    for line in (rows, columns):
        before, behind = np.argmax(line), np.argmax(line[::-1])
        assert 0 <= behind - before <= 1


def test_without_colours_light_is_ink() -> None:
    grey = np.repeat(np.linspace(0, 255, 200).astype(np.uint8), 6).reshape(1, 200, 6)[:, :, :3].repeat(2, axis=0)
    (row,) = plain(grey)
    inks = [RAMP.tolist().index(char) for char in row.text]
    assert inks == sorted(inks)
    assert set(inks) == set(range(len(RAMP)))
    assert all(style is None for _, style, _ in row)
