"""Where `tav` starts. Whoever presses Ctrl-C while the rest is being imported stops a program that has done nothing."""

import gc
import os
import signal
from contextlib import suppress
from typing import Any


def main() -> None:
    """Entry point of `tav`."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)
    gc.disable()  # importing makes a great deal, and no garbage
    from tavcli.commands.app import main as run

    gc.enable()
    run()


def _stop(*_: Any) -> None:
    # At once: an exception could be swallowed, or told at length, by whatever is being imported.
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
