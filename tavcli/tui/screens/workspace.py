"""One workspace: its clip, its edits and jobs, what runs now, and everything that can be done with them."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from tav.errors import SettingsError, TavError
from tavcli import marks, presence, recipes, trash
from tavcli.edits import Edit
from tavcli.marks import Marks
from tavcli.orders import Order
from tavcli.overview import overview
from tavcli.presence import Status
from tavcli.quantities import clock
from tavcli.queue import Queue, Row
from tavcli.recipes import plain
from tavcli.tui import crew, desktop
from tavcli.tui.aside import aside
from tavcli.tui.look import state
from tavcli.tui.pictures import picture_of
from tavcli.tui.screens.compare import Compare
from tavcli.tui.screens.confirm import ask
from tavcli.tui.screens.line import Line
from tavcli.tui.screens.note import Note
from tavcli.tui.screens.prompts import Prompts
from tavcli.tui.screens.screen import TavScreen
from tavcli.tui.screens.sheet import Sheet
from tavcli.tui.watching import Sight, Watcher
from tavcli.tui.widgets import cards
from tavcli.tui.widgets.filter import Filter, matches
from tavcli.tui.widgets.jobs import JobList
from tavcli.tui.widgets.pane import Item
from tavcli.tui.widgets.player import Player
from tavcli.tui.widgets.progress import Progress
from tavcli.tui.widgets.thumbnail import half_cells
from tavcli.workspace import Workspace

if TYPE_CHECKING:
    from tavcli.tui.app import TavApp

# Seconds between two looks at the workspace.
_LOOK = 0.5
# Frames a second of the preview of a render.
_PREVIEW_RATE = 8.0
_OPEN = ("running", "queued", "paused")
_SORTS = ("queue and newest", "score", "starred")


class WorkspaceScreen(TavScreen):
    """Looks at the workspace twice a second, beside the event loop, and shows what has changed."""

    app: "TavApp"
    TITLE = "Workspace"
    HELP = JobList.HELP
    AUTO_FOCUS = "JobList"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (36, "-high")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New", tooltip="Write prompts, and queue an edit for each"),
        Binding("v", "vary", "Vary", tooltip="Queue the chosen edit again with other prompts, seeds or settings"),
        Binding("s", "star", "Star", show=False, tooltip="Give the chosen edit a star, or take it away"),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Show only what has some words, #tags or states"),
        Binding("p", "pause", "Pause", tooltip="Pause the chosen job, or go on with it"),
        Binding("d,delete", "delete", "Delete", key_display="d", tooltip="Stop what runs; move the rest to the trash"),
        Binding("b", "bases", "Bases", tooltip="Choose another base for this workspace; add and remove bases"),
        Binding("x", "mark", "Mark", show=False, tooltip="Mark the chosen edit for comparing; up to three"),
        Binding("c", "compare", "Compare", show=False, tooltip="Play the clip and the marked edits side by side"),
        Binding("u", "undo", "Undo", show=False, tooltip="Bring back what was deleted last"),
        Binding("r", "retry", "Retry", show=False, tooltip="Queue again what failed, was cancelled or interrupted"),
        Binding("P", "pause_all", "Pause all", show=False, tooltip="Pause the queue and free the memory, or go on"),
        Binding("shift+up,K", "move(-1)", "Earlier", show=False, tooltip="Move the chosen job up in the queue"),
        Binding("shift+down,J", "move(1)", "Later", show=False, tooltip="Move the chosen job down in the queue"),
        Binding("t", "tags", "Tags", show=False, tooltip="Write tags for the chosen edit"),
        Binding("o", "sort", "Sort", show=False, tooltip="Order by queue and date, by score, or stars first"),
        Binding("y", "copy", "Copy", show=False, tooltip="Copy the command line that makes this edit again"),
        Binding("i", "sheet", "Sheet", show=False, tooltip="Show the sheet: the clip's frames above the edit's"),
        Binding("e", "external", "Open", show=False, tooltip="Open the edit's video in the desktop's player"),
        Binding("T", "queue_stage('tune')", "Tune", show=False, tooltip="Queue the tuning of this clip"),
        Binding("I", "queue_stage('invert')", "Invert", show=False, tooltip="Queue the inversion of this clip"),
        Binding("w", "worker", "Worker", show=False, tooltip="Start the worker, or stop it after saving"),
    ]
    DEFAULT_CSS = """
    WorkspaceScreen #both { height: 1fr; }
    WorkspaceScreen #side { width: 46; padding: 0 1; border-right: vkey $border-blurred; }
    WorkspaceScreen.-narrow #side { width: 27; padding: 0; }
    WorkspaceScreen #side > Player { height: 1fr; max-height: 24; }
    WorkspaceScreen.-narrow #source, WorkspaceScreen.-low #source { display: none; }
    WorkspaceScreen.-narrow #caption, WorkspaceScreen.-low #caption { display: none; }
    WorkspaceScreen #side > Static { height: auto; max-height: 3; padding: 0 1 1 1; color: $foreground-muted; }
    WorkspaceScreen #empty { display: none; padding: 1 2; height: 1fr; }
    WorkspaceScreen.-empty #empty { display: block; }
    WorkspaceScreen.-empty JobList { display: none; }
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace, self.queue = workspace, Queue(workspace)
        self.watcher = Watcher(workspace)
        self.sight = Sight()
        self.problem = ""
        self._words, self._sort = "", 0
        self._shown: tuple[str, str] | None = None
        self._thrown: list[Path] = []
        self._asked: set[str] = set()

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

    @property
    def jobs(self) -> JobList:
        """The list."""
        return self.query_one(JobList)

    def on_mount(self) -> None:
        self.app.crew.know(self.workspace)
        self.set_interval(_LOOK, self.look)
        self.look()
        self.open_source()
        self.judge()

    def on_screen_resume(self) -> None:
        self.look()
        self.judge()

    # Looking ----------------------------------------------------------------------------------------------------------

    def open_source(self) -> None:
        """Play the clip."""
        values = self.workspace.read()
        self.query_one("#source", Player).open(self.source)
        self.query_one("#caption", Static).update(Content(f"clip: {plain(str(values.get('caption', '')))}"))

    @property
    def source(self) -> Path:
        """The clip's file or folder."""
        clip = self.workspace.read().get("clip")
        return self.workspace.folder / str(clip.get("source") if isinstance(clip, dict) else "")

    @work(exclusive=True, group="judge")
    async def judge(self) -> None:
        """Say how the stages are, in the title bar."""
        found = await aside(overview, self.workspace)
        stages = f"tuned {found.tuned} · inverted {found.inverted}" if not found.problem else found.problem
        self.sub_title = f"{self.workspace.folder.name} · {Path(found.base).name} · {stages}"

    @work(exclusive=True, group="look")
    async def look(self) -> None:
        """See what has changed."""
        await self._look_now(self.watcher.look)

    async def _look_now(self, look: Callable[[], Sight]) -> None:
        if not self.is_current and self.sight.rows:
            return
        before = self.sight
        try:
            self.sight = await aside(look)
        except TavError as error:
            self.problem = error.message
            self.query_one(Progress).show(self.sight, self.problem)
            return
        self._keep_working()
        self._show()
        if working := self.sight.working:
            await self._show_preview(working)
        if _done(before) != _done(self.sight):
            self.judge()

    def _keep_working(self) -> None:
        """Somebody has to do what is queued."""
        self.problem = ""
        waits = any(row.state == "queued" for row in self.sight.rows) and not self.sight.paused
        if waits and not self.app.crew.ensure(self.workspace, _done(self.sight)):
            log = presence.folder(self.workspace) / crew.LOG
            self.problem = f"the worker ends without doing its job; see {log}; w tries again"

    def _show(self) -> None:
        rows = _sorted([row for row in self.sight.rows if self._is_wanted(row)], self._sort)
        live = {one.row.id: _live(one.left, one.row, self.sight) for one in self.sight.waiting}
        self.set_class(not self.sight.rows, "-empty")
        self.jobs.show(rows, live)
        self.query_one(Progress).show(self.sight, self.problem)
        self._show_chosen()
        self.call_after_refresh(self.jobs.tell_seen)

    def _is_wanted(self, row: Row) -> bool:
        known = row.summary
        tags = " ".join(f"#{tag}" for tag in known.tags)
        star = "starred ★" if known.starred else ""
        return matches(self._words, f"{row.name} {row.state} {known.title} {known.base} {tags} {star}")

    @on(JobList.Chosen)
    def _show_chosen(self) -> None:
        row = self.jobs.chosen
        shown = None if row is None else (row.id, row.state)
        if shown == self._shown:
            return
        self._shown = shown
        player, about = self.query_one("#edit", Player), self.query_one("#chosen", Static)
        about.update(_about(row) if row else Content())
        if row is not None and row.state == "done" and row.kind == "edit":
            player.open(self._edit_of(row).video)
        else:
            player.say("" if row is None else _waiting_for(row))

    async def _show_preview(self, working: Status) -> None:
        row = self.jobs.chosen
        frames = await aside(self.watcher.picture, working)
        if frames is not None and row is not None and row.id == working.job:
            self.query_one("#edit", Player).show(frames, _PREVIEW_RATE)

    @on(JobList.Seen)
    def _fetch_pictures(self, event: JobList.Seen) -> None:
        wanted = [row for row in event.rows if row.kind == "edit" and row.id not in self._asked]
        self._asked |= {row.id for row in wanted}
        if wanted:
            self.fetch_pictures(wanted)

    @work(group="pictures")
    async def fetch_pictures(self, rows: list[Row]) -> None:
        """The first pictures of edits, one by one."""
        for row in rows:
            picture = await aside(picture_of, self._edit_of(row).video)
            if picture is not None:
                self.jobs.put_picture(row.id, half_cells(picture, cards.PICTURE, cards.HIGH))

    # Doing ------------------------------------------------------------------------------------------------------------

    def chosen(self, *states: str) -> Row:
        """The chosen row, if it is in one of these states. Raises SettingsError."""
        row = self.jobs.chosen
        if row is None:
            raise SettingsError("nothing is chosen", "n queues the first edits")
        if states and row.state not in states:
            raise SettingsError(f"job {row.name} is {row.state}", f"this is for what is {' or '.join(states)}")
        return row

    def chosen_edit(self) -> tuple[Row, Edit]:
        """The chosen edit, which is done."""
        row = self.chosen("done")
        if row.kind != "edit":
            raise SettingsError(f"{row.name} makes no video", "choose an edit")
        return row, self._edit_of(row)

    def _edit_of(self, row: Row) -> Edit:
        return Edit(self.workspace.folder / row.id)

    async def act(self, change: Callable[[], object]) -> None:
        """Change something on disk, beside the event loop, and see what came of it."""
        await aside(change)
        await self._look_now(self.watcher.look_anew)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "filter":
            return not self.query_one(Filter).has_focus
        return super().check_action(action, parameters)

    def action_new(self) -> None:
        self.app.push_screen(Prompts(self.workspace), self._queued)

    def action_vary(self) -> None:
        row = self.chosen()
        if row.summary.guidance is None:
            raise SettingsError(f"{row.name} has no prompt", "choose an edit")
        self.app.push_screen(Prompts(self.workspace, _like(row)), self._queued)

    async def _queued(self, names: list[str] | None) -> None:
        if names:
            self.app.crew.forget_failures(self.workspace)
            await self._look_now(self.watcher.look_anew)
            row = next((row for row in self.sight.rows if row.name == names[0]), None)
            if row is not None:
                self.jobs.choose(row.id)

    def action_mark(self) -> None:
        row, _ = self.chosen_edit()
        if row.id not in self.jobs.marked and len(self.jobs.marked) >= 3:
            raise SettingsError("three edits are marked already", "x on one of them takes the mark away")
        self.jobs.mark(row)

    def action_compare(self) -> None:
        marked = [row for row in self.sight.rows if row.id in self.jobs.marked and row.state == "done"]
        rows = marked or [self.chosen_edit()[0]]
        caption = str(self.workspace.read().get("caption", ""))
        edits = [Item(f"{row.name} {row.summary.title}", self._edit_of(row).video) for row in rows]
        start = float(self.workspace.read().get("clip", {}).get("start", 0.0))
        self.app.push_screen(Compare([Item(f"clip: {caption}", self.source, start), *edits]))

    @on(JobList.Opened)
    async def _open(self) -> None:
        row = self.jobs.chosen
        if row is not None and row.state == "done" and row.kind == "edit":
            self.jobs.marked.clear()
            await self.app.run_action("compare", self)

    async def action_star(self) -> None:
        row, edit = self.chosen_edit()
        known = marks.read_marks(edit.folder)
        await self.act(partial(self._mark, row, Marks(not known.starred, known.tags)))

    @work
    async def action_tags(self) -> None:
        row, edit = self.chosen_edit()
        known = marks.read_marks(edit.folder)
        typed = await self.app.push_screen_wait(Line(f"Tags of edit {row.name}", " ".join(known.tags), "words"))
        if typed is not None:
            await self.act(partial(self._mark, row, Marks(known.starred, marks.parse_tags(typed))))

    def _mark(self, row: Row, wanted: Marks) -> None:
        marks.write_marks(self.workspace.folder / row.id, wanted)
        self.queue.touch(self.queue.job(row))

    async def action_pause(self) -> None:
        row = self.chosen("queued", "running", "paused", "interrupted")
        change = self.queue.pause if row.state in ("queued", "running") else self.queue.resume
        await self.act(partial(change, [row.name]))

    async def action_pause_all(self) -> None:
        await self.act(partial(self.queue.release if self.sight.paused else self.queue.hold))

    async def action_retry(self) -> None:
        row = self.chosen("failed", "cancelled", "interrupted")
        self.app.crew.forget_failures(self.workspace)
        await self.act(partial(self.queue.retry, [row.name]))

    async def action_move(self, by: int) -> None:
        row = self.chosen("queued", "paused")
        waiting = [one.id for one in self.sight.rows if one.state in ("queued", "paused")]
        place = waiting.index(row.id) + 1 + by
        if 1 <= place <= len(waiting):
            await self.act(partial(self.queue.move, [row.name], place))

    @work
    async def action_delete(self) -> None:
        row = self.chosen()
        if row.state == "running":
            if await ask(self.app, f"Stop job {row.name}?", row.summary.title, yes="Stop it", no="Go on"):
                await self.act(partial(self.queue.cancel, [row.name]))
            return
        self._thrown.append(await aside(trash.throw_away, self.queue, row.name))
        await self._look_now(self.watcher.look_anew)
        self.notify(f"{plain(row.summary.title)}", title=f"{row.name} is in the trash; u brings it back", markup=False)

    async def action_undo(self) -> None:
        if not self._thrown:
            raise SettingsError("nothing was deleted since this was opened", "older things are in the folder trash/")
        await self.act(partial(trash.bring_back, self.workspace, self._thrown.pop()))

    def action_filter(self) -> None:
        self.query_one(Filter).show()

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        self._words = event.value
        self._show()

    @on(Filter.Left)
    def _back_to_the_list(self) -> None:
        self.jobs.focus()

    def action_sort(self) -> None:
        self._sort = (self._sort + 1) % len(_SORTS)
        self._show()
        self.notify(f"in order of {_SORTS[self._sort]}", timeout=2)

    def action_copy(self) -> None:
        row, edit = self.chosen_edit()
        command = recipes.command(recipes.checked(edit.recipe, f"{edit.folder.name}/edit.toml"))
        self.app.copy_to_clipboard(command)
        self.app.push_screen(Note(f"Edit {row.name} as a command, copied if the terminal allows it", Content(command)))

    def action_sheet(self) -> None:
        row, edit = self.chosen_edit()
        self.app.push_screen(Sheet(f"{row.name} {plain(row.summary.title)}", edit.sheet))

    def action_external(self) -> None:
        desktop.show(self.chosen_edit()[1].video)

    async def action_queue_stage(self, kind: str) -> None:
        await self.act(partial(_queue_stage, self.workspace, kind))

    def action_bases(self) -> None:
        from tavcli.tui.screens.bases import Bases

        self.app.push_screen(Bases(self.workspace))

    async def action_worker(self) -> None:
        if self.sight.workers:
            await self.app.stop_workers(list(self.sight.workers))
        else:
            self.app.crew.forget_failures(self.workspace)
            self.app.crew.ensure(self.workspace, _done(self.sight))
        await self._look_now(self.watcher.look_anew)


_EMPTY = Content.from_markup("""[b]No edits yet.[/]

Press [b $accent]n[/], and write what the new video should show, one prompt a line:

    a cat is skiing
    a {robot,panda} is skiing on the beach

The first one tunes the base to this clip before, and inverts it; that is kept.""")


def _queue_stage(workspace: Workspace, kind: str) -> None:
    from tavcli import requests
    from tavcli.session import Session

    Queue(workspace).add([requests.stage(Session(workspace, {}), "tune" if kind == "tune" else "invert")])


def _done(sight: Sight) -> int:
    return sum(row.state not in _OPEN for row in sight.rows)


def _sorted(rows: list[Row], sort: int) -> list[Row]:
    """By `_SORTS`; what is open stays first, in the order of the queue."""
    if sort == 1:
        return sorted(rows, key=lambda row: (row.state not in _OPEN, -(row.summary.scores or {}).get("psnr", 0.0)))
    if sort == 2:
        return sorted(rows, key=lambda row: (row.state not in _OPEN, not row.summary.starred))
    return rows


def _live(left: float | None, row: Row, sight: Sight) -> str:
    if row.state == "running" and sight.working and sight.working.job == row.id and sight.working.total:
        return f"{100 * sight.working.done // sight.working.total} %"
    return "" if left is None or row.state == "paused" else f"in {clock(left)}"


def _about(row: Row) -> Content:
    words = f"{row.name}  {plain(row.summary.title)}"
    if row.summary.error:
        return Content.assemble(state("failed", plain(row.summary.error)), "\n", plain(row.summary.hint))
    return Content(words)


def _waiting_for(row: Row) -> str:
    return {"running": "the picture comes in a moment", "done": ""}.get(row.state, row.state)


def _like(row: Row) -> Order:
    known = row.summary
    return Order(
        (known.title,),
        known.negative or None,
        f"{known.guidance:g}",
        known.steps,
        f"{known.vary or 0.3:g}",
        f"{(known.seed or 0) + 1}",
        known.inversion,
    )
