"""The base that is part of this package: a small one that draws. With it everything works before a base is fetched."""

from pathlib import Path

from tav.errors import BaseModelError

EMBEDDED = "storybook"
FOLDER = Path(__file__).resolve().parents[1] / "storybook" / "base"


def embedded_folder() -> Path:
    """Its folder. Raises BaseModelError in a source tree without its weights."""
    if not is_there():
        raise BaseModelError(
            f"the embedded base {EMBEDDED} has no weights in this copy of tav ({FOLDER})",
            "install a complete tav, or choose another base with --base FOLDER",
        )
    return FOLDER


def is_there() -> bool:
    """Are its weights in this copy of tav?"""
    return (FOLDER / "unet" / "config.json").is_file()
