"""Measurements of this machine, in the user's cache: attention kernels, speeds, counted costs. Safe to delete."""

import json
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import filelock

from tav.atomic import write_text
from tavcli.config.home import cache_folder


class Measured(MutableMapping[str, Any]):
    """One table of `calibration.json`. The first value of a name stays, whichever process measured it: results depend
    on it, and must not change from run to run.

    If the cache cannot be written, values are kept in memory only.
    """

    def __init__(self, table: str) -> None:
        # Another version of torch needs other measurements.
        self.table = f"{table}, torch {version('torch')}"
        self.path = cache_folder() / "calibration.json"
        self._values: dict[str, Any] = _read(self.path).get(self.table, {})

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._keep(name, value, replace=False)

    def replace(self, name: str, value: Any) -> None:
        """Set a value that does not decide results, such as a time."""
        self._keep(name, value, replace=True)

    def _keep(self, name: str, value: Any, replace: bool) -> None:
        self._values[name] = value
        with suppress(OSError, filelock.Timeout):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.path.with_suffix(".lock"), timeout=10):
                tables = _read(self.path)
                there = tables.setdefault(self.table, {})
                if replace or name not in there:
                    there[name] = value
                    write_text(self.path, json.dumps(tables, indent=1, sort_keys=True))
                self._values = there

    def __delitem__(self, name: str) -> None:
        raise TypeError("what was measured stays")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The tables in the file; empty if it is missing or invalid."""
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(tables, dict):
        return {}
    return {name: table for name, table in tables.items() if isinstance(table, dict)}
