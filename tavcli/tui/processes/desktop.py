"""Opening a file the way the desktop does."""

import shutil
import subprocess
import sys
from pathlib import Path

from tav.errors import TavError


def show(path: Path) -> None:
    """Start the desktop's program for this file. Raises TavError where there is no desktop."""
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if opener is None:
        raise TavError("this machine has no desktop to open it with", f"the file is {path}")
    quiet = subprocess.DEVNULL
    subprocess.Popen([opener, str(path)], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
