"""Still pictures in pixels, if the terminal has graphics and textual-image is installed (extra `images`).

The terminal is asked before the application runs: later its answers would be read as keys.
"""

import os
from typing import Any

# textual-image's widget, set by `ask_terminal`; None: pictures are drawn in half cells.
sharp: Any = None


def ask_terminal() -> None:
    """Set `sharp` if the terminal can draw pixels."""
    global sharp
    if os.environ.get("TEXTUAL_DRIVER") or os.environ.get("NO_COLOR"):
        return
    try:
        from textual_image import renderable, widget
    except Exception:  # not installed, or the terminal does not tell the size of its cells
        return
    if renderable.Image in (renderable.SixelImage, renderable.TGPImage):
        sharp = widget.Image
