"""One workspace: its clip, its edits and jobs, and the job that runs now."""

import asyncio
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

from PIL import Image
from textual import on, work
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from tav.errors import TavError
from tavcli.methods.status import overview
from tavcli.queue.jobs import OPEN
from tavcli.queue.queue import Row
from tavcli.queue.workers import Status, queue_folder
from tavcli.text import printable
from tavcli.tui.data.snapshot import Snapshot, Watcher
from tavcli.tui.data.sorting import in_order, words_of
from tavcli.tui.data.thumbnails import picture_of
from tavcli.tui.playback.footage import Frame
from tavcli.tui.processes.workers import LOG, WorkerProcesses
from tavcli.tui.screens.job_commands import JobCommands, clip_of
from tavcli.tui.theme import state
from tavcli.tui.threads import in_thread
from tavcli.tui.widgets import job_card
from tavcli.tui.widgets.filter import Filter, matches
from tavcli.tui.widgets.job_list import JobList
from tavcli.tui.widgets.player import Player
from tavcli.tui.widgets.progress import Progress
from tavcli.tui.widgets.thumbnail import half_cells
from tavcli.units import duration
from tavcli.workspace.edits import Edit
from tavcli.workspace.folder import Workspace

# Seconds between two looks at the workspace.
_LOOK = 0.5
# Seconds until the chosen edit's video is opened.
_REST = 0.15
# Frames a second of the preview of a render.
_PREVIEW_RATE = 8.0


class WorkspaceScreen(JobCommands):
    """Reads the workspace twice a second, in a thread, and shows what has changed."""

    TITLE = "Workspace"
    HELP = JobList.HELP
    AUTO_FOCUS = "JobList"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (36, "-high")]
    DEFAULT_CSS = """
    WorkspaceScreen #both { height: 1fr; }
    WorkspaceScreen #side { width: 46; padding: 0 1; border-right: vkey $border-blurred; }
    WorkspaceScreen.-narrow #side { width: 27; padding: 0; }
    WorkspaceScreen #side > Player { height: 1fr; max-height: 20; }
    WorkspaceScreen.-narrow #source, WorkspaceScreen.-low #source { display: none; }
    WorkspaceScreen.-narrow #caption, WorkspaceScreen.-low #caption { display: none; }
    WorkspaceScreen #side > Static { height: auto; max-height: 6; padding: 0 1; margin-bottom: 1; }
    WorkspaceScreen.-narrow #side > Static { margin-bottom: 0; }
    WorkspaceScreen #caption { color: $foreground-muted; }
    WorkspaceScreen #side > #chosen { height: 5; }
    WorkspaceScreen.-empty #source, WorkspaceScreen.-empty #caption { display: block; }
    WorkspaceScreen.-empty #edit, WorkspaceScreen.-empty #chosen { display: none; }
    WorkspaceScreen #empty { display: none; padding: 1 2; height: 1fr; }
    WorkspaceScreen.-empty #empty { display: block; }
    WorkspaceScreen.-empty JobList { display: none; }
    """

    def __init__(self, workspace: Workspace, processes: WorkerProcesses) -> None:
        super().__init__(workspace, processes)
        self.watcher = Watcher(workspace)
        self.problem = ""
        self._words = ""
        self._shown: tuple[str, str] | None = None
        self._preview: tuple[str, Frame] | None = None
        self._turns = count()
        self._seen: tuple[Snapshot, str, bool] | None = None
        self._looking = asyncio.Lock()
        self._asked: set[str] = set()
        self._unseen: list[Row] = []
        self._fetching = asyncio.Lock()

    def body(self) -> Iterable[Widget]:
        yield Filter()
        with Horizontal(id="both"):
            with Vertical(id="side"):
                yield Player(id="source")
                yield Static(id="caption")
                yield Player(id="edit")
                yield Static(id="chosen")
            with Vertical():
                yield JobList()
                yield Static(_EMPTY, id="empty")
        yield Progress()

    def on_mount(self) -> None:
        self._rest = self.set_timer(_REST, self._show_video)
        self.processes.know(self.workspace)
        self.set_interval(_LOOK, self.look)
        self.open_clip()

    def on_screen_resume(self) -> None:
        self.look()
        self.set_timer(_LOOK, self.judge)  # the list comes first

    @work
    async def open_clip(self) -> None:
        """Play the clip."""
        caption, clip, _ = await in_thread(clip_of, self.workspace)
        self.query_one("#caption", Static).update(Content(f"clip: {printable(caption)}"))
        self.query_one("#source", Player).open(clip)

    @work(exclusive=True, group="judge")
    async def judge(self) -> None:
        """Show the states of the stages in the title bar."""
        found = await in_thread(overview, self.workspace)
        stages = f"tuned {found.tuned} · inverted {found.inverted}" if not found.problem else found.problem
        self.sub_title = f"{self.workspace.folder.name} · {Path(found.base).name} · {stages}"

    # Reading the workspace --------------------------------------------------------------------------------------------

    @work(group="look")
    async def look(self) -> None:
        """Read what has changed, unless another screen is shown or the last reading still runs on a slow disk."""
        if not self._looking.locked() and (self.is_current or not self.snapshot.rows):
            await self._look(self.watcher.look)

    async def look_anew(self) -> None:
        await self._look(self.watcher.look_anew)

    async def _look(self, look: Callable[[], Snapshot]) -> None:
        async with self._looking:
            await self._see(look)

    async def _see(self, look: Callable[[], Snapshot]) -> None:
        before = self.snapshot
        try:
            self.snapshot = await in_thread(look)
            self._keep_working()
        except TavError as error:
            self.problem = error.message
        except OSError as error:
            self.problem = f"{error.filename}: {error.strerror}"
        seen = self.snapshot, self.problem, self.processes.rests(self.workspace)
        if seen != self._seen:
            self._seen = seen
            self.show_rows()
        await self._fetch_preview(self.snapshot.working)
        if _done(before) != _done(self.snapshot):
            self.judge()

    def _keep_working(self) -> None:
        """Start a worker if jobs are queued."""
        self.problem = ""
        waits = any(row.state == "queued" for row in self.snapshot.rows) and not self.snapshot.paused
        if waits and not self.processes.ensure(self.workspace, _done(self.snapshot)):
            log = queue_folder(self.workspace) / LOG
            self.problem = f"the worker ends without doing its job; see {log}; w tries again"

    def show_rows(self) -> None:
        rows = [row for row in self.snapshot.rows if not self._words or matches(self._words, words_of(row))]
        live = {one.row.id: _live(one.left, one.row, self.snapshot) for one in self.snapshot.waiting}
        self.set_class(not self.snapshot.rows, "-empty")
        self.jobs.show(in_order(rows, self.sort), live)
        self.query_one(Progress).show(self.snapshot, self.problem, self.processes.rests(self.workspace))
        self._show_chosen()
        self.call_after_refresh(self.jobs.tell_seen)

    @on(JobList.Chosen)
    def _show_chosen(self) -> None:
        row = self.jobs.chosen
        self.query_one("#chosen", Static).update(_about(row) if row else Content(), layout=False)
        shown = None if row is None else (row.id, row.state)
        if shown != self._shown:
            self._shown = shown
            self._rest.stop()
            self._rest = self.set_timer(_REST, self._show_video)

    def _show_video(self) -> None:
        """Show the chosen edit's video. It runs after a pause: moving through the list opens no video on the way."""
        player, row = self.query_one("#edit", Player), self.jobs.chosen
        if row is not None and row.state == "done" and row.kind == "edit":
            player.open(self.edit_of(row).video)
        elif row is not None and self._preview and self._preview[0] == row.id:
            player.show(self._preview[1], _PREVIEW_RATE)
        else:
            player.say(_instead_of_video(row))

    # The render in flight ---------------------------------------------------------------------------------------------

    async def _fetch_preview(self, working: Status | None) -> None:
        """Show the moving preview of a render in the list, and in the player if its job is chosen."""
        if self._preview and (working is None or working.job != self._preview[0]):
            self.jobs.drop_picture(self._preview[0])
            self._preview = None
        if working is None:
            return
        frames = await in_thread(self.watcher.picture, working)
        if frames is not None:
            self._preview = working.job, frames
            if self.jobs.chosen is not None and self.jobs.chosen.id == working.job:
                self.query_one("#edit", Player).show(frames, _PREVIEW_RATE)
        if self._preview:
            frames = self._preview[1]
            picture = Image.fromarray(frames[next(self._turns) % len(frames)])
            self.jobs.put_picture(working.job, half_cells(picture, job_card.PICTURE, job_card.HIGH))

    @on(JobList.Seen)
    def _fetch_pictures(self, event: JobList.Seen) -> None:
        """Fetch the pictures of rows now in sight, and no longer those of rows that were."""
        self._unseen = [row for row in event.rows if row.kind == "edit" and row.id not in self._asked]
        if self._unseen:
            self.fetch_pictures()

    @work(group="pictures")
    async def fetch_pictures(self) -> None:
        """Fetch the first pictures of edits, one at a time, however often this is called."""
        async with self._fetching:
            while self._unseen:
                row = self._unseen.pop(0)
                self._asked.add(row.id)
                picture = await in_thread(_picture, self.edit_of(row))
                if picture is not None:
                    self.jobs.put_picture(row.id, picture)

    # The list ---------------------------------------------------------------------------------------------------------

    @on(JobList.Opened)
    async def _open(self) -> None:
        await self.app.run_action("play", self)

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        self._words = event.value
        self.show_rows()

    @on(Filter.Left)
    def _back_to_the_list(self) -> None:
        self.jobs.focus()


_EMPTY = Content.from_markup("""[b]No edits yet.[/]

Press [b $accent]n[/], and write what the new video should show, one prompt a line:

    a cat is skiing
    a {robot,panda} is skiing on the beach

The first one tunes the base to this clip before, and inverts it; that is kept.""")


def _picture(edit: Edit) -> list[Content] | None:
    """The picture for an edit's card, if possible from its sheet: that needs no process."""
    picture = picture_of(edit.sheet) or picture_of(edit.video)
    return None if picture is None else half_cells(picture, job_card.PICTURE, job_card.HIGH)


def _done(snapshot: Snapshot) -> int:
    return sum(row.state not in OPEN for row in snapshot.rows)


def _live(left: float | None, row: Row, snapshot: Snapshot) -> str:
    if row.state == "running" and snapshot.working and snapshot.working.job == row.id and snapshot.working.total:
        return f"{100 * snapshot.working.done // snapshot.working.total} %"
    return "" if left is None or row.state == "paused" else f"in {duration(left)}"


def _about(row: Row) -> Content:
    """The text below the video: the chosen job's settings, or why it failed."""
    known = row.summary
    title = Content.assemble((f"{row.name}  ", "bold $primary"), printable(known.title))
    if known.error:
        hint = Content.styled(printable(known.hint), "$foreground-muted")
        return Content("\n").join([title, state("failed", printable(known.error)), hint])
    return Content("\n").join([title, Content.styled(job_card.settings(known), "$foreground-muted")])


def _instead_of_video(row: Row | None) -> str:
    if row is None or row.kind != "edit":
        return ""
    return {"running": "the picture comes in a moment", "done": ""}.get(row.state, row.state)
