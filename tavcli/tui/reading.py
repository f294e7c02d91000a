"""Files are read by threads that only wait for ffmpeg: the screen goes on, and closing it ends both."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from tav.errors import TavError
from tavcli.footage import Footage, Size, Unwanted, read_footage, read_still

# Of a screen full of videos, so many are read at once: beside them a worker computes.
_AT_ONCE = threading.BoundedSemaphore(2)


class Reading:
    """A video being read from now on: `deliver` gets its first frame, then all of it, or the error.

    `deliver` is called in the reading thread: with this, what was found, and whether that is all. Not after `cancel`.
    """

    def __init__(self, path: Path, box: Size, deliver: Callable[["Reading", Footage | TavError, bool], object]) -> None:
        self.path, self._box, self._deliver = path, box, deliver
        self._cancelled = threading.Event()
        # A daemon: quitting waits for no file. ffmpeg ends by itself when nobody takes its frames any more.
        self.thread = threading.Thread(target=self._run, name=f"reading {path.name}", daemon=True)
        self.thread.start()

    def cancel(self) -> None:
        """End it: at once while it waits or decodes, else within a first look into the file."""
        self._cancelled.set()

    def _wanted(self) -> bool:
        return not self._cancelled.is_set()

    def _run(self) -> None:
        with _AT_ONCE, suppress(Unwanted):
            for found, all_of_it in self._found():
                if not self._wanted():
                    return
                with suppress(RuntimeError):  # the loop of the screen was closed meanwhile
                    self._deliver(self, found, all_of_it)

    def _found(self) -> Iterator[tuple[Footage | TavError, bool]]:
        try:
            if self._wanted():
                yield read_still(self.path, self._box), False
            yield read_footage(self.path, self._box, self._wanted), True
        except TavError as error:
            yield error, True
        except OSError as error:
            yield TavError(f"{self.path.name} cannot be read: {error.strerror or error}"), True
