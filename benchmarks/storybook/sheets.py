"""Sheets of pictures, each with its own caption below it."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tav.atomic import replacing

SIDE, GAP, LETTERS, LINE, LINES = 192, 10, 30, 15, 3


def captioned(path: Path, captions: Sequence[str], pictures: NDArray[np.uint8], columns: int = 8) -> None:
    """Write a PNG of pictures (n h w 3), each enlarged, its caption below it in at most three lines."""
    rows = -(-len(pictures) // columns)
    cell = SIDE + GAP, SIDE + GAP + LINES * LINE
    sheet = Image.new("RGB", (columns * cell[0] + GAP, rows * cell[1] + GAP), (255, 255, 255))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for index, (caption, picture) in enumerate(zip(captions, pictures, strict=True)):
        x, y = GAP + index % columns * cell[0], GAP + index // columns * cell[1]
        sheet.paste(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x, y))
        lines = textwrap.wrap(caption, LETTERS, max_lines=LINES)
        draw.multiline_text((x, y + SIDE + 2), "\n".join(lines), fill=(32, 32, 36), font=font, spacing=1)
    with replacing(path) as temporary:
        sheet.save(temporary, optimize=True)
