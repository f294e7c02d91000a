"""A contact sheet: one labelled row of pictures per video, to compare edits at a glance."""

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from tav.atomic import replacing
from tav.errors import VideoError
from tav.video.ffmpeg import one_line

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

NARROWEST, WIDEST = 128, 256  # width of one picture in pixels
MARGIN, GAP, ROW_GAP, LABEL_GAP = 20, 4, 22, 8
FONT_SIZE, LINE_HEIGHT, MOST_LINES = 17, 23, 2
SYSTEM_FONTS = "NotoSans-Regular.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf"
PAPER, INK = (255, 255, 255), (32, 32, 36)
# The PNG text entry that holds the first picture's box: left, top, right, bottom.
FIRST = "first picture"


def contact_sheet(path: Path, rows: list[tuple[str, NDArray[np.uint8]]], columns: int = 8) -> None:
    """Write a PNG with, per row, a label and at most `columns` evenly chosen frames of uint8 (f, h, w, 3).

    Raises VideoError if it cannot be written, ValueError without rows, or for a row without frames.
    """
    if not rows or columns < 1 or any(frames.ndim != 4 or len(frames) == 0 for _, frames in rows):
        raise ValueError("a contact sheet needs columns, and rows that have frames")
    strips = [_strip(frames, columns) for _, frames in rows]
    width = max(strip.width for strip in strips)
    font = _font("".join(label for label, _ in rows))
    labels = [_wrapped(label, width, font) for label, _ in rows]
    sheet = _assembled(labels, strips, width, font)
    note = PngImagePlugin.PngInfo()
    note.add_text(FIRST, " ".join(map(str, _first(len(labels[0]), strips[0], min(columns, len(rows[0][1]))))))
    try:
        with replacing(path) as temporary:
            sheet.save(temporary, format="PNG", pnginfo=note)
    except OSError as error:
        raise VideoError(
            f"cannot write {one_line(path)}: {error.strerror or error}", "check the folder's permissions and free space"
        ) from error


def first_picture(path: Path) -> Image.Image | None:
    """The first picture of a contact sheet; None if it is not one, or cannot be read."""
    try:
        with Image.open(path) as sheet:
            left, top, right, bottom = map(int, sheet.info[FIRST].split())
            box = max(left, 0), max(top, 0), min(right, sheet.width), min(bottom, sheet.height)
            return sheet.convert("RGB").crop(box)
    # Pillow raises SyntaxError for a broken PNG.
    except (OSError, SyntaxError, Image.DecompressionBombError, KeyError, ValueError):
        return None


def _first(lines: int, strip: Image.Image, pictures: int) -> tuple[int, int, int, int]:
    """The box of the first of `pictures` pictures in a row, below `lines` lines of its label."""
    top = MARGIN + lines * LINE_HEIGHT + LABEL_GAP
    return MARGIN, top, MARGIN + (strip.width + GAP) // pictures - GAP, top + strip.height


def _font(text: str) -> Font:
    """Pillow's own font for ASCII `text`, since it has no accents; else a common font of the system."""
    if not text.isascii():
        for name in SYSTEM_FONTS:
            with suppress(OSError):
                return ImageFont.truetype(name, FONT_SIZE)
    return ImageFont.load_default(size=FONT_SIZE)


def _strip(frames: NDArray[np.uint8], columns: int) -> Image.Image:
    """Evenly chosen frames side by side, the first and the last among them."""
    picked = np.linspace(0, len(frames) - 1, min(columns, len(frames))).round().astype(int)
    height, width = frames.shape[1:3]
    scaled = min(max(width, NARROWEST), WIDEST)
    size = scaled, max(1, round(height * scaled / width))
    strip = Image.new("RGB", (len(picked) * (size[0] + GAP) - GAP, size[1]), PAPER)
    for place, index in enumerate(picked):
        picture = Image.fromarray(frames[index]).resize(size, Image.Resampling.BICUBIC)
        strip.paste(picture, (place * (size[0] + GAP), 0))
    return strip


def _assembled(labels: list[list[str]], strips: list[Image.Image], width: int, font: Font) -> Image.Image:
    heights = [len(lines) * LINE_HEIGHT + LABEL_GAP + strip.height for lines, strip in zip(labels, strips, strict=True)]
    height = sum(heights) + ROW_GAP * (len(strips) - 1)
    sheet = Image.new("RGB", (width + 2 * MARGIN, height + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    top = MARGIN
    for lines, strip, row_height in zip(labels, strips, heights, strict=True):
        for number, line in enumerate(lines):
            draw.text((MARGIN, top + number * LINE_HEIGHT), line, fill=INK, font=font)
        sheet.paste(strip, (MARGIN, top + row_height - strip.height))
        top += row_height + ROW_GAP
    return sheet


def _wrapped(label: str, width: int, font: Font) -> list[str]:
    """The label in at most MOST_LINES lines of at most `width` pixels; the last ends in an ellipsis if it was cut."""
    words = label.split()
    lines: list[str] = []
    while words and len(lines) < MOST_LINES:
        count = next((n for n in range(len(words), 1, -1) if font.getlength(" ".join(words[:n])) <= width), 1)
        if len(lines) == MOST_LINES - 1:
            count = len(words)
        lines.append(_cut(" ".join(words[:count]), width, font))
        words = words[count:]
    return lines


def _cut(line: str, width: int, font: Font) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"
