"""Ctrl-C, `kill`, and a terminal that goes away: stop at once, or, inside a long loop, after its step is saved."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]


class Interrupted(BaseException):
    """The user stopped the program. Not an Exception, so that nothing swallows it."""


class Interrupts:
    """Turns signals into Interrupted; while `deferred()`, only notes the first one and raises on the second."""

    def __init__(self) -> None:
        self.pending = False  # the work is to stop
        self.stopping = False  # and the program too
        self._deferring = False
        self._say: Callable[[], None] = lambda: None

    def install(self, say: Callable[[], None]) -> None:
        """Handle the signals from now on (main thread only); `say` is called when one has to wait for a step's end.

        What is ignored stays ignored: `nohup` means that a lost terminal must not stop the work.
        """
        self.pending, self.stopping, self._say = False, False, say
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, look at `pending` where stopping is safe, save, raise Interrupted; else it is raised at the end."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self.pending:
            raise Interrupted

    def ask(self) -> None:
        """Stop the work as Ctrl-C would, but not the program: for whoever iterates over the work's events."""
        self.pending = True
        if not self._deferring:
            raise Interrupted

    def answered(self) -> None:
        """What was asked for is done: go on, unless the program is to stop."""
        self.pending = self.stopping

    def _handle(self, *_: Any) -> None:
        first, self.pending, self.stopping = not self.stopping, True, True
        if not (self._deferring and first):
            raise Interrupted
        self._say()


interrupts = Interrupts()
