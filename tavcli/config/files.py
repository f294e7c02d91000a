"""TOML and JSON files, read with errors that name the file."""

import json
import tomllib
from pathlib import Path
from typing import Any

from tav.atomic import read_text
from tav.errors import SettingsError

Layer = dict[str, Any]


def read_toml(path: Path) -> Layer:
    """The values in a TOML file. Raises SettingsError, with the line of a syntax error."""
    try:
        return tomllib.loads(read_text(path))
    # ValueError: also text that is not UTF-8, and numbers too long for Python; RecursionError: endless brackets.
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path.name} is not valid TOML: {error}", f"look at {path}") from None
    except OSError as error:
        raise SettingsError(f"{path.name} cannot be read: {error.strerror}", f"look at {path}") from None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file that tav wrote. Raises SettingsError if the file is missing or invalid."""
    try:
        values = json.loads(read_text(path))
    except (ValueError, RecursionError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {str(error).splitlines()[0]}", "remove it") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path} is not a JSON object", "remove it")
    return values
