"""The user's own folders: settings, bases and the digests of files, outside any workspace. `TAV_HOME` overrides all."""

import os
from pathlib import Path

from platformdirs import user_cache_path, user_config_path, user_data_path


def config_folder() -> Path:
    """The folder of `config.toml` and `bases.toml`."""
    return Path(os.environ["TAV_HOME"]) if os.environ.get("TAV_HOME") else user_config_path("tav", appauthor=False)


def cache_folder() -> Path:
    """The folder of digests, measurements and bug reports; safe to delete."""
    home = os.environ.get("TAV_HOME")
    return Path(home) / "cache" if home else user_cache_path("tav", appauthor=False)


def data_folder() -> Path:
    """The folder of bases that were made from checkpoints of one file."""
    return Path(os.environ["TAV_HOME"]) if os.environ.get("TAV_HOME") else user_data_path("tav", appauthor=False)
