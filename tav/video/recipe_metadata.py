"""The recipe inside a video: its text, its greatest length, and reading it back."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tav.errors import VideoError
from tav.formats import refuse_newer
from tav.video.comment_fields import LONGEST_RECIPE, ffmetadata_comment, gif_comment, png_comment, webp_comment
from tav.video.ffmpeg import from_file, one_line, reading_from

# ffmpeg's text form escapes characters and holds other tags too.
_LONGEST_METADATA = 10 * LONGEST_RECIPE
_RECIPE_FILES = "00000.png", "edit.toml", "recipe.toml"  # in a folder, the first of these


def recipe_text(recipe: dict[str, Any]) -> str:
    """The text of `recipe` in a video. Raises VideoError if it is too long."""
    text = json.dumps(recipe)  # ASCII: survives every container, locale and lone surrogate
    if len(text) > LONGEST_RECIPE:
        raise VideoError(f"the recipe has {len(text)} characters, too many for a video", "use a shorter prompt")
    return text


def check_recipe(recipe: dict[str, Any]) -> None:
    """Raise VideoError if `recipe` is too long for a video; call it before the video is made."""
    recipe_text(recipe)


def read_recipe(path: Path) -> dict[str, Any] | None:
    """The recipe in a video of `write_video`, in an edit's folder or in a recipe's TOML; None if there is none.

    Its content is untrusted. Raises VideoError if `path` cannot be read or its recipe is too long, NewerFormatError if
    a later tav wrote it.
    """
    if path.is_dir():
        return _of_folder(path)
    from_file(path)  # raises VideoError if it is not a file
    try:
        text = _reader(path)(path)
    except OSError as error:
        raise VideoError(
            f"{one_line(path)} cannot be read: {error.strerror or error}", "check the file and its permissions"
        ) from error
    if len(text) > LONGEST_RECIPE:
        raise VideoError(f"the recipe in {one_line(path)} is too long to be one", "tav did not write it")
    recipe = _parsed(text, tomllib.loads if path.suffix == ".toml" else json.loads)
    if recipe is not None:
        refuse_newer(recipe.get("format"), one_line(path))
    return recipe


def _of_folder(folder: Path) -> dict[str, Any] | None:
    for name in _RECIPE_FILES:
        if (folder / name).is_file():
            return read_recipe(folder / name)
    return None


def _reader(path: Path) -> Callable[[Path], str]:
    """The reader for a file's first bytes, not its ending: a GIF named .mp4 is a GIF."""
    if path.suffix == ".toml":
        return _toml
    with path.open("rb") as file:
        start = file.read(12)
    if start.startswith(b"GIF8"):
        return gif_comment
    if start.startswith(b"\x89PNG"):
        return png_comment
    return webp_comment if start[:4] == b"RIFF" and start[8:] == b"WEBP" else _ffmpeg


def _toml(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(4 * LONGEST_RECIPE + 1).decode(errors="replace")


def _ffmpeg(path: Path) -> str:
    failure = f"{one_line(path)} is not a video that ffmpeg can read"
    with reading_from([*from_file(path), "-f", "ffmetadata", "-"], failure) as pipe:
        said = pipe.read(_LONGEST_METADATA + 1)
        if len(said) > _LONGEST_METADATA:
            raise VideoError(f"the tags of {one_line(path)} are too long to hold a recipe", "tav did not write them")
    return ffmetadata_comment(said.decode(errors="replace"))


def _parsed(text: str, parse: Callable[[str], Any]) -> dict[str, Any] | None:
    try:
        recipe = parse(text)
    # ValueError: numbers too long for Python too; RecursionError: brackets too deep.
    except (ValueError, RecursionError):
        return None
    return recipe if isinstance(recipe, dict) else None
