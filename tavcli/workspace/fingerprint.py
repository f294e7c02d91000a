"""Keys of stages: a hash of the settings that matter to a stage and the digests of what goes into it."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tav.bases.digest import file_digest
from tav.formats import FORMAT
from tavcli.config.home import cache_folder


def key(stage: str, inputs: dict[str, Any]) -> str:
    """12 hex digits that name the result of `stage` for `inputs` (plain JSON values), written in today's format."""
    text = json.dumps({"stage": stage, "format": FORMAT, **inputs}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def digest_cache() -> Path:
    """The file that remembers digests of big files, by real path, size and time."""
    return cache_folder() / "digests.json"


def digest(path: Path) -> str:
    """sha256 (hex) of a file; for a folder, a key of its frames' order and content."""
    if path.is_dir():
        from tav.video import frame_files

        return key("frames", {"files": [file_digest(file, digest_cache()) for file in frame_files(path)]})
    return file_digest(path, digest_cache())
