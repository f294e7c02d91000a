"""How tests wait: for a thing to happen, however long it takes. The only clock is pytest's time-out of a test."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
LOOK_EVERY = 0.01


def wait_for(found: Callable[[], T], *processes: "subprocess.Popen[str]") -> T:
    """What `found` returns once it is true; fails when one of `processes` ends before that."""
    while True:
        ended = [child for child in processes if child.poll() is not None]
        if value := found():
            return value
        for child in ended:
            said = child.stderr.read() if child.stderr and not child.stderr.closed else ""
            raise AssertionError(f"process {child.args} ended with {child.returncode} too early: {said}")
        time.sleep(LOOK_EVERY)  # between two looks


def told() -> str:
    """What the command that the fixture `tav` runs in this process has said so far on stderr; for other threads."""
    return getattr(sys.stderr, "getvalue", str)()


@contextlib.contextmanager
def halted(pid: int) -> Iterator[None]:
    """The process stands still meanwhile: what is done to it then comes in time on every machine."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have been killed
            os.kill(pid, signal.SIGCONT)
