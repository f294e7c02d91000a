"""The folder of templates: in the installed package, else (an editable install) at the repository's top."""

from functools import cache
from pathlib import Path


@cache
def templates() -> Path:
    """The folder `templates/`."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


def presets() -> dict[str, Path]:
    """Preset files by name."""
    return {path.stem: path for path in sorted((templates() / "presets").glob("*.toml"))}
