"""The commands on the jobs of a workspace: their keys and what each does."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.content import Content

from tav.errors import SettingsError
from tavcli.queue import batch, trash
from tavcli.queue.batch import stage_request
from tavcli.queue.jobs import Kind
from tavcli.queue.queue import Queue, Row
from tavcli.tui.data.snapshot import Snapshot
from tavcli.tui.data.sorting import SORTS
from tavcli.tui.processes import desktop
from tavcli.tui.processes.workers import WorkerProcesses
from tavcli.tui.screens.compare import MOST, Compare
from tavcli.tui.screens.confirm import ask
from tavcli.tui.screens.message import Note
from tavcli.tui.screens.prompts import Prompts
from tavcli.tui.screens.sheet import Sheet
from tavcli.tui.screens.tav_screen import TavScreen
from tavcli.tui.screens.text_input import Line
from tavcli.tui.threads import in_thread
from tavcli.tui.widgets.filter import Filter
from tavcli.tui.widgets.job_list import JobList
from tavcli.tui.widgets.pane import Item
from tavcli.workspace import annotations, recipes
from tavcli.workspace.annotations import Marks
from tavcli.workspace.edits import Edit
from tavcli.workspace.folder import Workspace
from tavcli.workspace.session import Session


class JobCommands(TavScreen):
    """The commands of a screen that shows a workspace. The screen keeps `snapshot` up to date."""

    workspace: Workspace
    queue: Queue
    snapshot: Snapshot
    sort: str
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

    def __init__(self, workspace: Workspace, processes: WorkerProcesses) -> None:
        super().__init__()
        self.workspace, self.queue, self.processes = workspace, Queue(workspace), processes
        self.snapshot, self.sort = Snapshot(), SORTS[0]
        self._thrown: list[Path] = []

    @property
    def jobs(self) -> JobList:
        """The list of jobs."""
        return self.query_one(JobList)

    async def look_anew(self) -> None:
        """Read the workspace again after a change, and show it."""
        raise NotImplementedError

    def show_rows(self) -> None:
        """Show the jobs of the snapshot again, for example in another order."""
        raise NotImplementedError

    # The chosen job ---------------------------------------------------------------------------------------------------

    def chosen(self, *states: str) -> Row:
        """The chosen row, which must be in one of these states. Raises SettingsError."""
        row = self.jobs.chosen
        if row is None:
            raise SettingsError("nothing is chosen", "n queues edits")
        if states and row.state not in states:
            raise SettingsError(f"job {row.name} is {row.state}", f"this is for what is {_either(states)}")
        return row

    def chosen_edit(self) -> tuple[Row, Edit]:
        """The chosen row and its edit, which must be done. Raises SettingsError."""
        row = self.chosen("done")
        if row.kind != "edit":
            raise SettingsError(f"{row.name} makes no video", "choose an edit")
        return row, self.edit_of(row)

    def edit_of(self, row: Row) -> Edit:
        """The edit of a row."""
        return Edit(self.workspace.folder / row.id)

    async def act(self, change: Callable[[], object]) -> None:
        """Change something on disk, in a thread, and show the result."""
        await in_thread(change)
        await self.look_anew()

    # New jobs ---------------------------------------------------------------------------------------------------------

    def action_new(self) -> None:
        self.app.push_screen(Prompts(self.workspace), self._queued)

    def action_vary(self) -> None:
        row = self.chosen()
        if row.kind != "edit" or row.summary.guidance is None:
            raise SettingsError(f"{row.name} has no prompt", "choose an edit")
        self.app.push_screen(Prompts(self.workspace, batch.varied(row.summary)), self._queued)

    async def _queued(self, names: list[str] | None) -> None:
        if names:
            self.processes.wake(self.workspace)
            await self.look_anew()
            row = next((row for row in self.snapshot.rows if row.name == names[0]), None)
            if row is not None:
                self.jobs.choose(row.id)

    async def action_queue_stage(self, kind: Kind) -> None:
        self.processes.wake(self.workspace)
        await self.act(partial(_queue_stage, self.queue, kind))

    async def action_retry(self) -> None:
        row = self.chosen("failed", "cancelled", "interrupted")
        self.processes.wake(self.workspace)
        await self.act(partial(self.queue.retry, [row.name]))

    # The queue --------------------------------------------------------------------------------------------------------

    async def action_pause(self) -> None:
        row = self.chosen("queued", "running", "paused", "interrupted")
        change = self.queue.pause if row.state in ("queued", "running") else self.queue.resume
        await self.act(partial(change, [row.name]))

    async def action_pause_all(self) -> None:
        await self.act(self.queue.release if self.snapshot.paused else self.queue.hold)

    async def action_move(self, by: int) -> None:
        row = self.chosen("queued", "paused")
        waiting = [one.id for one in self.snapshot.rows if one.state in ("queued", "paused")]
        place = waiting.index(row.id) + 1 + by
        if 1 <= place <= len(waiting):
            await self.act(partial(self.queue.move, [row.name], place))

    async def action_worker(self) -> None:
        if self.snapshot.workers:
            await self.act(partial(self.processes.send_away, self.workspace))
        else:
            self.processes.wake(self.workspace)
            await self.look_anew()

    @work
    async def action_delete(self) -> None:
        row = self.chosen()
        if row.state != "running":
            await self.act(partial(self._throw_away, row))
            self.notify(f"{row.name} is in the trash; u brings it back", markup=False)
        elif await ask(self.app, f"Stop job {row.name}?", row.summary.title, yes="Stop it", no="Let it run"):
            await self.act(partial(self.queue.cancel, [row.name]))

    def _throw_away(self, row: Row) -> None:
        self._thrown.append(trash.throw_away(self.queue, row.name))

    async def action_undo(self) -> None:
        if not self._thrown:
            raise SettingsError("nothing was deleted since this was opened", "older things are in the folder trash/")
        await self.act(partial(trash.bring_back, self.workspace, self._thrown[-1]))
        self._thrown.pop()

    # Finished edits ---------------------------------------------------------------------------------------------------

    def action_mark(self) -> None:
        row, _ = self.chosen_edit()
        if row.id not in self.jobs.marked and len(self.jobs.marked) >= MOST - 1:
            raise SettingsError("three edits are marked already", "x on one of them takes the mark away")
        self.jobs.mark(row)

    async def action_play(self) -> None:
        await self._compare([self.chosen_edit()[0]])

    async def action_compare(self) -> None:
        marked = [row for row in self.snapshot.rows if row.id in self.jobs.marked and row.state == "done"]
        await self._compare(marked or [self.chosen_edit()[0]])

    async def _compare(self, rows: list[Row]) -> None:
        caption, clip, start = await in_thread(clip_of, self.workspace)
        edits = [Item(f"{row.name} {row.summary.title}", self.edit_of(row).video) for row in rows]
        self.app.push_screen(Compare([Item(f"clip: {caption}", clip, start), *edits]))

    async def action_star(self) -> None:
        row, edit = self.chosen_edit()
        known = await in_thread(annotations.read_marks, edit.folder)
        await self.act(partial(self._mark, row, Marks(not known.starred, known.tags)))

    @work
    async def action_tags(self) -> None:
        row, edit = self.chosen_edit()
        known = await in_thread(annotations.read_marks, edit.folder)
        question = f"Tags of edit {row.name}"
        typed = await self.app.push_screen_wait(Line(question, " ".join(known.tags), "words; / then #word finds them"))
        if typed is not None:
            await self.act(partial(self._mark, row, Marks(known.starred, annotations.parse_tags(typed))))

    def _mark(self, row: Row, wanted: Marks) -> None:
        annotations.write_marks(self.workspace.folder / row.id, wanted)
        self.queue.touch(self.queue.job(row))

    async def action_copy(self) -> None:
        row, edit = self.chosen_edit()
        recipe = await in_thread(lambda: edit.recipe)
        command = recipes.command(recipes.checked(recipe, f"{edit.folder.name}/edit.toml"))
        self.app.copy_to_clipboard(command)
        self.app.push_screen(Note(f"Edit {row.name} as a command, copied if the terminal allows it", Content(command)))

    def action_sheet(self) -> None:
        row, edit = self.chosen_edit()
        self.app.push_screen(Sheet(f"{row.name} {row.summary.title}", edit.sheet))

    def action_external(self) -> None:
        desktop.show(self.chosen_edit()[1].video)

    # The list ---------------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        self.query_one(Filter).show()

    def action_sort(self) -> None:
        self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        self.show_rows()
        self.notify(self.sort, timeout=2)

    def action_bases(self) -> None:
        from tavcli.tui.screens.bases import Bases

        self.app.push_screen(Bases(self.workspace))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "filter":
            return not self.query_one(Filter).has_focus
        return super().check_action(action, parameters)


def clip_of(workspace: Workspace) -> tuple[str, Path, float]:
    """The clip's caption, its file or folder, and where in it the edits begin (seconds). Raises SettingsError."""
    values = workspace.read()
    clip = values.get("clip")
    source = clip.get("source") if isinstance(clip, dict) else None
    if not isinstance(source, str):
        raise SettingsError("tav.toml does not say which clip this is", "see [clip] in docs/settings.md")
    start = clip.get("start", 0.0) if isinstance(clip, dict) else 0.0
    begins = float(start) if isinstance(start, int | float) else 0.0
    return str(values.get("caption", "")), workspace.folder / source, begins


def _queue_stage(queue: Queue, kind: Kind) -> None:
    _, twins = queue.add([stage_request(Session(queue.workspace, {}), kind)])
    for row in twins:
        raise SettingsError(f"{row.name} is this very job already ({row.state})", "change what decides it in tav.toml")


def _either(states: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(states[:-1]), states[-1])))
