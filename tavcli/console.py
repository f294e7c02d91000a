"""The only place that prints: data to stdout, talk and progress to stderr."""

import codecs
import io
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from tav.events import InvertStep, LessAtOnce, NotLearning, Recomputing, SampleStep, TuneStep, VaeStep
from tavcli.jobs import Began, Ended
from tavcli.options import Options
from tavcli.quantities import clock, size
from tavcli.recipes import plain
from tavcli.session import Begin, Checked, Note, Preview

# The loss of one step says little, since its timestep is random: show the mean of the last ones.
_SMOOTHED = 25
# Where nobody watches a bar (a log, a pipe), a line this often, in seconds.
_LINE_EVERY = 10


__all__ = ["Talk", "checked", "clock", "short", "size"]


def say_anything() -> None:
    """Let stdout take any text: bytes of file names as they are, else what the terminal's encoding lacks in escapes.

    A stream that is closed takes everything, and keeps nothing.
    """
    codecs.register_error("tav", _bytes_or_escapes)
    if sys.stdout is None or sys.stderr is None:
        nowhere = Path(os.devnull).open("w")  # noqa: SIM115  (until the end)
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="tav")


def _bytes_or_escapes(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def flush() -> None:
    """Write out what is on its way to stdout. Raises OSError where that cannot be, and then forgets it."""
    try:
        sys.stdout.flush()
    except OSError:
        # Else the interpreter would try again at its end, and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


class Talk:
    """What one command says."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A line for people."""
        if not self.options.quiet:
            self.err.print(escape(text))

    def detail(self, text: str) -> None:
        """A line for people who asked for more."""
        if self.options.verbose:
            self.err.print(f"[dim]{escape(text)}[/]")

    def warn(self, text: str) -> None:
        """A line that --quiet does not hide."""
        self.err.print(f"[yellow]warning:[/] {escape(text)}")

    def result(self, data: Any, lines: Iterable[str] = ()) -> None:
        """What the command is about, on stdout: `data` as JSON if asked for, else the lines."""
        if self.options.json:
            sys.stdout.write(json.dumps(data, indent=2, default=str) + "\n")
            return
        for line in lines:
            sys.stdout.write(line + "\n")

    def table(self, data: Any, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A listing on stdout: `data` as JSON if asked for, else a table."""
        if self.options.json:
            self.result(data)
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self.out.print(table)

    def follow(self, events: Iterable[Any]) -> list[Any]:
        """Show a run as it goes; returns what it yields that is no progress."""
        results = []
        with self._progress() as progress:
            for event in events:
                if isinstance(event, Begin):
                    progress.begin(event)
                elif isinstance(event, (TuneStep, InvertStep, SampleStep, VaeStep)):
                    progress.step(event)
                elif isinstance(event, Note):
                    self.warn(event.text) if event.warning else self.say(event.text)
                elif isinstance(event, Recomputing):
                    self.say(f"out of memory in step {event.step}: going on with recompute = {event.rung}")
                elif isinstance(event, LessAtOnce):
                    self.say("out of memory: going on with attention in smaller pieces")
                elif isinstance(event, Preview):
                    continue  # for screens
                elif isinstance(event, Began):
                    self.say(f"job {event.name}: {plain(event.title)}")
                elif isinstance(event, Ended):
                    self._ended(event)
                    results.append(event)
                elif isinstance(event, NotLearning):
                    self.warn(_not_learning(event))
                else:
                    results.append(event)
        return results

    def _ended(self, event: Ended) -> None:
        if event.state == "failed":
            self.warn(f"job {event.name} failed: {plain(event.message)}")
            self.warn(f"  {plain(event.hint)}") if event.hint else None
        else:
            self.say(f"job {event.name} {event.state} after {clock(event.seconds)}")

    @contextmanager
    def _progress(self) -> "Iterator[_Bar | _Lines]":
        if self.options.quiet:
            yield _Lines(lambda _: None)
        elif not self.err.is_terminal:
            yield _Lines(self.say)
        else:
            columns = [TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()]
            times = [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
            with Progress(*columns, TextColumn("{task.fields[loss]}"), *times, console=self.err) as progress:
                yield _Bar(progress)


class _Loss:
    """The loss as shown."""

    def __init__(self) -> None:
        self.last: deque[float] = deque(maxlen=_SMOOTHED)

    def of(self, event: Any) -> str:
        if not isinstance(event, TuneStep):
            return ""
        self.last.append(event.loss)
        return f"loss {sum(self.last) / len(self.last):.4f}"


class _Bar:
    """Progress on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.loss = _Loss()
        self.task: TaskID | None = None

    def begin(self, event: Begin) -> None:
        # Speed is measured from here: what was done before must not count as fast.
        self.task = self.progress.add_task(escape(event.what), total=event.total, completed=event.done, loss="")

    def step(self, event: Any) -> None:
        if self.task is not None:
            done = event.frames if isinstance(event, VaeStep) else event.step
            self.progress.update(self.task, completed=done, loss=self.loss.of(event))


class _Lines:
    """Progress in a log: the first, the last, and one every few seconds."""

    def __init__(self, say: Any) -> None:
        self.say = say
        self.loss = _Loss()
        self.what, self.done, self.began, self.said = "", 0, 0.0, 0.0

    def begin(self, event: Begin) -> None:
        self.what, self.done = event.what, event.done
        self.began = self.said = time.monotonic()

    def step(self, event: Any) -> None:
        now, loss = time.monotonic(), self.loss.of(event)
        done = event.frames if isinstance(event, VaeStep) else event.step
        if done < event.total and now - self.said < _LINE_EVERY:
            return
        self.said = now
        elapsed = now - self.began
        left = elapsed / max(1, done - self.done) * (event.total - done)
        words = [f"{self.what}: {done}/{event.total}", loss, f"{clock(elapsed)} elapsed", f"{clock(left)} left"]
        self.say(", ".join(word for word in words if word))


def _not_learning(event: NotLearning) -> str:
    names = event.without_gradient or event.not_moved
    what = "have no gradient" if event.without_gradient else "are not moved by the optimiser"
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"after {event.step} steps {names[0]}{more} {what}: the tuning will not be what it should be"


def checked(event: Checked) -> str:
    """The reconstruction check in a line."""
    return (
        f"reconstruction {event.psnr:.1f} dB, of at most {event.vae_psnr:.1f} dB that the base's VAE can give; "
        f"sheet: {short(event.sheet)}"
    )


def short(path: Path) -> str:
    """A path as people would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
