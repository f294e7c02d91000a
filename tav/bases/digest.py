"""The digest of a base, over all its files. Digests of single files are cached, since bases are large."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from tav.atomic import read_text, write_text
from tav.bases.parts import BaseParts

Cache = dict[str, Any]


def base_digest(parts: BaseParts, cache_file: Path | None = None) -> str:
    """sha256 (hex) over the relative names and contents of `parts.files`; the folder's place does not matter.

    `cache_file` (JSON) holds each file's digest by (real path, size, times of change). A missing or broken one is
    written anew; if it cannot be written, every file is read.
    """
    files = dict(zip(parts.files, _file_digests(parts.files, cache_file), strict=True))
    used = {path.relative_to(parts.folder).as_posix(): digest for path, digest in files.items()}
    lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(used.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def file_digest(path: Path, cache_file: Path) -> str:
    """sha256 (hex) of one file, cached in `cache_file` as in `base_digest`."""
    (digest,) = _file_digests((path,), cache_file)
    return digest


def _file_digests(files: tuple[Path, ...], cache_file: Path | None) -> list[str]:
    known = _read(cache_file)
    before = dict(known)
    digests = [_file_digest(path, known) for path in files]
    if cache_file is not None and known != before:
        with suppress(OSError):  # only a cache: without it files are read again
            write_text(cache_file, json.dumps(known, indent=1, sort_keys=True))
    return digests


def _file_digest(path: Path, known: Cache) -> str:
    """sha256 of the file, from `known` if neither size nor times changed; else computed and put into `known`."""
    real = path.resolve()
    stat = real.stat()
    # Size and modification time do not suffice: bases of a kind have equal sizes, and archives set equal times.
    stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    entry = known.get(str(real))
    if isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("sha256"), str):
        return str(entry["sha256"])
    with real.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    known[str(real)] = {"stamp": stamp, "sha256": digest}
    return digest


def _read(cache_file: Path | None) -> Cache:
    try:
        values = json.loads(read_text(cache_file)) if cache_file else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
