"""Can still pictures be drawn in pixels? If the terminal has graphics, and textual-image is there (extra `images`).

The terminal can be asked only before the application runs: afterwards its answers would be taken for keys.
"""

import os
from typing import Any

# textual-image's widget, once asked; None where half cells have to do.
sharp: Any = None


def ask_terminal() -> None:
    """Ask it, if anybody could draw what it can."""
    global sharp
    if os.environ.get("TEXTUAL_DRIVER") or os.environ.get("NO_COLOR"):
        return
    try:
        from textual_image import renderable, widget
    except Exception:  # not there; or it asks a terminal that does not say how large its cells are, and fails
        return
    if renderable.Image in (renderable.SixelImage, renderable.TGPImage):
        sharp = widget.Image
