"""Bug reports: a file with the traceback and the versions."""

import sys
import time
import traceback

import tav
from tavcli.config.home import cache_folder


def report() -> str:
    """The hint for a bug: where the traceback was written. Call it while the exception is being handled."""
    try:
        path = cache_folder() / "reports" / time.strftime("%Y%m%d-%H%M%S.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"tav {tav.__version__}, Python {sys.version}\n{sys.argv}\n\n{traceback.format_exc()}")
    except OSError:
        return traceback.format_exc()
    return f"please report it with {path}"
