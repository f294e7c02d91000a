"""Reading the JSON files of a base. No torch."""

import json
from pathlib import Path
from typing import Any

from tav.errors import BaseModelError


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`. Raises BaseModelError naming the file when it is not one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BaseModelError(f"cannot read {path}: {str(error).splitlines()[0]}", "fetch the base again") from None
    if not isinstance(values, dict):
        raise BaseModelError(f"cannot read {path}: not a JSON object", "fetch the base again")
    return values
