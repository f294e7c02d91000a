"""The only place that prints: data to stdout, talk and progress to stderr."""

import codecs
import io
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
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

from tav.events import Event, InvertStep, LessAtOnce, NotLearning, Recomputing, SampleStep, TuneStep, VaeStep
from tavcli.commands.options import Options
from tavcli.events import Begin, Checked, Note, Preview, Step
from tavcli.queue.events import JobEnded, JobEvent, JobStarted
from tavcli.text import printable
from tavcli.units import duration
from tavcli.workspace.folder import Workspace

# The loss of one step says little, since its timestep is random: show the mean of the last ones.
_SMOOTHED = 25
# Where nobody watches a bar (a log, a pipe), a line this often, in seconds.
_LINE_EVERY = 10


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


class Output:
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
        """Show a run as it goes, or several at once; returns what it yields that is no progress."""
        results = []
        with self._progress() as progress_of:
            for event in events:
                if isinstance(event, JobEvent):
                    progress = progress_of(event.workspace, event.name)
                    results += self._shown(event.event, progress, _of(event.name))
                    continue
                if isinstance(event, JobEnded):
                    progress_of(event.workspace, event.name).end()
                results += self._shown(event, progress_of(None, ""), "")
        return results

    def _shown(self, event: Any, progress: "_Bar | _Lines", of: str) -> list[Any]:
        """Show one event; returns it if it is no progress."""
        if isinstance(event, Begin):
            progress.begin(event)
        elif isinstance(event, (TuneStep, InvertStep, SampleStep, VaeStep, Step)):
            progress.step(event)
        elif isinstance(event, Note):
            self.warn(of + event.text) if event.warning else self.say(of + event.text)
        elif isinstance(event, Recomputing):
            self.say(f"{of}out of memory in step {event.step}: going on with recompute = {event.rung}")
        elif isinstance(event, LessAtOnce):
            self.say(f"{of}out of memory: going on with attention in smaller pieces")
        elif isinstance(event, JobStarted):
            self.say(f"job {event.name}: {printable(event.title)}")
        elif isinstance(event, JobEnded):
            self._ended(event)
        elif isinstance(event, NotLearning):
            self.warn(of + _not_learning(event))
        progressing = (Event, Begin, Step, Note, Preview, JobStarted)
        return [] if isinstance(event, progressing) else [event]

    def _ended(self, event: JobEnded) -> None:
        if event.message:
            self.warn(f"job {event.name} {event.state}: {printable(event.message)}")
            self.warn(f"  {printable(event.hint)}") if event.hint else None
        else:
            self.say(f"job {event.name} {event.state} after {duration(event.seconds)}")

    @contextmanager
    def _progress(self) -> "Iterator[Callable[[Workspace | None, str], _Bar | _Lines]]":
        """What shows the progress of a job, by workspace and name; without a name, of the only thing that runs."""
        if self.options.quiet:
            yield cache(lambda _, name: _Lines(lambda _: None, name))
        elif not self.err.is_terminal:
            yield cache(lambda _, name: _Lines(self.say, name))
        else:
            columns = [TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()]
            times = [TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()]
            with Progress(*columns, TextColumn("{task.fields[loss]}"), *times, console=self.err) as progress:
                yield cache(lambda _, name: _Bar(progress, name))


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
    """Progress on a terminal. Of several jobs at once, only what they do now is shown."""

    def __init__(self, progress: Progress, name: str) -> None:
        self.progress, self.name = progress, name
        self.loss = _Loss()
        self.task: TaskID | None = None

    def begin(self, event: Begin) -> None:
        if self.name:
            self.end()
        # Speed is measured from here: what was done before must not count as fast.
        what = escape(_of(self.name) + event.what)
        self.task = self.progress.add_task(what, total=event.total, completed=event.done, loss="")

    def step(self, event: Any) -> None:
        if self.task is not None:
            done = event.frames if isinstance(event, VaeStep) else event.step
            self.progress.update(self.task, completed=done, loss=self.loss.of(event))

    def end(self) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None


class _Lines:
    """Progress in a log: the first, the last, and one every few seconds."""

    def __init__(self, say: Any, name: str) -> None:
        self.say, self.name = say, name
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
        words = [f"{self.what}: {done}/{event.total}", loss, f"{duration(elapsed)} elapsed", f"{duration(left)} left"]
        self.say(_of(self.name) + ", ".join(word for word in words if word))

    def end(self) -> None:
        """Lines stay."""


def _of(name: str) -> str:
    """What a line begins with that is about one of several jobs."""
    return f"job {name}: " if name else ""


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
