"""The job that runs now, how far it is, and what is left of the queue."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Sparkline, Static

from tavcli.text import printable
from tavcli.tui.data.snapshot import Snapshot
from tavcli.tui.theme import state
from tavcli.units import duration

_BAR = 24
# How many of the last losses are averaged for the number shown.
_SMOOTHED = 25


class Progress(Vertical):
    """Two lines, for the job and the queue; while tuning the loss curve below them."""

    DEFAULT_CSS = """
    Progress { height: auto; background: $surface; padding: 0 1; }
    Progress > Static { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    Progress > Sparkline { height: 3; display: none; }
    Progress.-learning > Sparkline { display: block; }
    Progress > Sparkline > .sparkline--min-color { color: $primary; }
    Progress > Sparkline > .sparkline--max-color { color: $accent; }
    """

    def compose(self) -> ComposeResult:
        yield Static(id="now")
        yield Static(id="queue")
        yield Sparkline([], id="losses")

    def show(self, snapshot: Snapshot, problem: str = "", resting: bool = False) -> None:
        """Show the progress, or the `problem`; `resting`: the user has stopped the worker."""
        losses = snapshot.working.losses if snapshot.working else []
        self.set_class(len(losses) > 1, "-learning")
        if len(losses) > 1:
            self.query_one("#losses", Sparkline).data = losses
        self.query_one("#now", Static).update(_now(snapshot, problem, resting), layout=False)
        self.query_one("#queue", Static).update(_queue(snapshot), layout=False)


def _now(snapshot: Snapshot, problem: str, resting: bool) -> Content:
    working = snapshot.working
    if problem:
        return Content.assemble(state("failed", printable(problem)))
    if snapshot.paused:
        return Content.assemble(state("paused", "the queue is paused"), _muted("   shift+P goes on"))
    if working is None:
        return _idle(snapshot, resting)
    name = next((f"{row.name}  {printable(row.summary.title)}" for row in snapshot.rows if row.id == working.job), "")
    return Content.assemble(state("running", name), "   ", *_steps(snapshot))


def _idle(snapshot: Snapshot, resting: bool) -> Content:
    """Why no job runs."""
    queued = any(row.state == "queued" for row in snapshot.rows)
    if not queued:
        return _muted("nothing runs" if snapshot.rows else "")
    if resting:
        return Content.assemble(state("paused", "the worker was sent away"), _muted("   w calls it back"))
    return _muted("beginning ..." if snapshot.workers else "starting a worker ...")


def _steps(snapshot: Snapshot) -> list[Content]:
    working = snapshot.working
    if working is None or not working.total:
        return [_muted("loading")]
    full = round(_BAR * working.done / working.total)
    words = f" {working.done}/{working.total}" + (
        f", {duration(working.left)} left" if working.left is not None else ""
    )
    piece = working.what.split(":")[0]
    last = working.losses[-_SMOOTHED:]
    loss = f", loss {sum(last) / len(last):.4f}" if last else ""
    bar = [Content.styled("━" * full, "$primary"), Content.styled("─" * (_BAR - full), "$foreground-muted")]
    return [_muted(f"{printable(piece)} "), *bar, Content(words + loss)]


def _queue(snapshot: Snapshot) -> Content:
    queued = sum(row.state == "queued" for row in snapshot.rows)
    done = sum(row.state == "done" for row in snapshot.rows)
    words = [f"{queued} queued", f"{done} done"]
    words += [f"all done in about {duration(snapshot.left)}"] if snapshot.left else []
    words += [f"worker on {worker.device}" for worker in snapshot.workers[:2]]
    return _muted(" · ".join(words))


def _muted(text: str) -> Content:
    return Content.styled(text, "$foreground-muted")
