"""Scores of an edit, kept in its folder: numbers by name."""

import json
import math
from pathlib import Path

from tav.atomic import write_text
from tav.errors import SettingsError
from tavcli.config.files import read_json

SCORES = "scores.json"


def read_scores(folder: Path) -> dict[str, float]:
    """The scores in an edit's folder; none if the file is missing or invalid."""
    try:
        found = read_json(folder / SCORES)
    except SettingsError:
        return {}
    return {name: float(value) for name, value in found.items() if _is_number(value)}


def write_scores(folder: Path, scores: dict[str, float]) -> None:
    """Write the scores that are finite."""
    kept = {name: round(value, 3) for name, value in scores.items() if math.isfinite(value)}
    write_text(folder / SCORES, json.dumps(kept, indent=1))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
