"""The base inside this package, a small one for drawn pictures: tav works with it before another base is fetched."""

from pathlib import Path

from tav.errors import BaseModelError

EMBEDDED = "storybook"
FOLDER = Path(__file__).resolve().parents[1] / "storybook" / "base"


def embedded_folder() -> Path:
    """The embedded base's folder. Raises BaseModelError in a source tree without its weights."""
    if not is_there():
        raise BaseModelError(
            f"the embedded base {EMBEDDED} has no weights in this copy of tav ({FOLDER})",
            "install a complete tav, or choose another base with --base FOLDER",
        )
    return FOLDER


def is_there() -> bool:
    """Whether this copy of tav has the embedded base's weights."""
    return (FOLDER / "unet" / "config.json").is_file()
