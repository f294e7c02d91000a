"""What the benchmarks share in reading settings and writing results."""

import json
import sys
from pathlib import Path
from typing import Any

import tav
from tav.atomic import write_text
from tav.bases import Base
from tav.bases.digest import base_digest
from tav.compute.device import DTYPES, choose_device, choose_precision


def say(text: str) -> None:
    """A line for the person who waits."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Results as JSON, whole or not at all."""
    write_text(path, json.dumps(record, indent=2) + "\n")


def read_record(path: Path) -> dict[str, Any] | None:
    """Results that are there already; None where they are not."""
    record: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
    return record


def as_used(source: str) -> tuple[Base, str]:
    """The base on the device and in the precision that tav itself chooses, and that precision."""
    device = choose_device("auto")
    precision = choose_precision("auto", device).precision
    return tav.load_base(source, device=device.type, dtype=DTYPES[precision]), precision


def digest_of(base: Base) -> str:
    """Which base it was: the start of its digest, wherever its folder is."""
    return base_digest(base.parts)[:16]


def guidance_of(base: Base, wanted: float | None) -> float:
    """The guidance scale asked for, else the base's own recommendation, else 4."""
    return next(scale for scale in (wanted, base.parts.recommendation.guidance_scale, 4.0) if scale is not None)


def same_settings(path: Path, settings: dict[str, Any]) -> None:
    """Note the settings of a run; end the program where the folder holds results of others."""
    before = read_record(path)
    if before is not None and before != settings:
        raise SystemExit(f"{path.parent} holds results of other settings: {before}")
    write_record(path, settings)
