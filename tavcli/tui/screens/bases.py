"""The bases on this machine: look, add, remove, and choose one for the workspace by tuning again or carrying over."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, DataTable, Static

from tav.errors import SettingsError
from tavcli.config.bases import KnownBase, known_bases
from tavcli.text import printable
from tavcli.tui.processes.query import ask_tav
from tavcli.tui.screens.confirm import ask
from tavcli.tui.screens.tav_screen import TavScreen
from tavcli.tui.screens.text_input import Line
from tavcli.tui.theme import place
from tavcli.tui.threads import in_thread
from tavcli.units import duration, size
from tavcli.workspace.folder import Workspace

TUNE, CARRY = "tune", "carry"
# Widths in cells; the column for the folder takes the rest.
_COLUMNS = {"": 1, "name": 24, "size": 9, "place": 20}
# From this width on there is room for a column of folders.
_ROOMY = 110


class BaseTable(DataTable[Content]):
    """The table of bases. Enter, or a second click, chooses a row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Choose", key_display="⏎", tooltip="Choose this base for the workspace")
    ]


class Bases(TavScreen):
    """The list of bases. What needs the engine is asked of a `tav` process of its own."""

    TITLE = "Bases"
    HELP = """Bases
    The text-to-image models that have a name here. Enter chooses one for the workspace, after saying which stages
    become stale and what each way to go on costs: tuning again, or carrying over what was tuned."""
    AUTO_FOCUS = "BaseTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add", "Add", tooltip="Give a base folder, or a checkpoint of one file, a name here"),
        Binding("d,delete", "remove", "Remove", key_display="d", tooltip="Take the base out of your list"),
    ]
    DEFAULT_CSS = """
    Bases BaseTable { height: 1fr; background: $background; overflow-x: hidden; }
    Bases #note { padding: 0 1; height: auto; min-height: 2; background: $surface; color: $foreground-muted; }
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self.known: list[KnownBase] = []
        self.present = ""
        self._doing = ""

    def body(self) -> Iterable[Widget]:
        yield BaseTable(cursor_type="row")
        yield Static(id="note")

    def on_mount(self) -> None:
        self.fill()

    def on_resize(self) -> None:
        self._show()

    @work(exclusive=True)
    async def fill(self) -> None:
        """Read the list of bases again."""
        self.present = str((await in_thread(self.workspace.read)).get("base", ""))
        self.known = await in_thread(lambda: list(known_bases()))
        self.sub_title = f"{self.workspace.folder.name} uses {place(self.present)}"
        self._show()

    def _show(self) -> None:
        table, at = self.query_one(BaseTable), self.query_one(BaseTable).cursor_row
        roomy = self.size.width >= _ROOMY
        table.clear(columns=True)
        for column, width in _COLUMNS.items():
            table.add_column(column, width=width)
        if roomy:
            table.add_column("folder", width=self.size.width - sum(_COLUMNS.values()) - 12)
        for base in self.known:
            table.add_row(*_cells(base, self._is_present(base))[: len(table.columns)])
        table.move_cursor(row=at)
        self._say()

    def _is_present(self, base: KnownBase) -> bool:
        return self.present in (base.name, str(base.path))

    @on(DataTable.RowHighlighted)
    def _say(self) -> None:
        """Show what is being done; else the highlighted base's folder, and the workspace's base if that has no name."""
        at = self.query_one(BaseTable).cursor_row
        lines = [_where(self.known[at])] if at < len(self.known) else []
        if self.present and not any(map(self._is_present, self.known)):
            lines += [f"this workspace's base has no name here: {place(self.present)}"]
        self.query_one("#note", Static).update(Content(self._doing or "\n".join(lines)))

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        """Show `doing` as long as the block runs."""
        self._doing = printable(doing)
        self._say()
        try:
            yield
        finally:
            self._doing = ""
            if self.is_attached:
                self._say()

    def chosen(self) -> KnownBase:
        """The highlighted base. Raises SettingsError if the list is empty."""
        at = self.query_one(BaseTable).cursor_row
        if not 0 <= at < len(self.known):
            raise SettingsError("there is no base", "a adds one")
        return self.known[at]

    @on(DataTable.RowSelected)
    async def _selected(self) -> None:
        await self.app.run_action("choose", self)

    @work(exclusive=True, group="choose")
    async def action_choose(self) -> None:
        base, folder = self.chosen(), self.workspace.folder
        with self._telling(f"reckoning what {base.name} would mean here ..."):
            plan = await ask_tav(folder, "bases", "use", "--dry-run", "--", base.name)
        way = await self.app.push_screen_wait(Ways(plan))
        if way is not None:
            carry = ["--carry-over"] if way == CARRY else []
            with self._telling("carrying over what was tuned ..." if carry else f"changing to {base.name} ..."):
                await ask_tav(folder, "bases", "use", *carry, "--", base.name)
            self.notify(f"this workspace uses {base.name} now", markup=False)
            self.fill()

    @work(exclusive=True, group="choose")
    async def action_add(self) -> None:
        detail = "its whole path; ~ is your home folder"
        typed = await self.app.push_screen_wait(Line("A base folder, or a checkpoint (.safetensors)", "", detail))
        if typed and typed.strip():
            path = str(Path(typed.strip()).expanduser())
            with self._telling(f"adding {path} ..."):
                said = await ask_tav(self.workspace.folder, "bases", "add", "--yes", "--", path)
            self.notify(f"in the list as {said['name']}", markup=False)
            self.fill()

    @work(exclusive=True, group="choose")
    async def action_remove(self) -> None:
        base = self.chosen()
        goes = "The folder that tav made of it goes too." if base.place == "converted file" else "Its folder stays."
        if await ask(self.app, f"Take {base.name} out of the list?", goes, yes="Remove", no="Keep"):
            await ask_tav(self.workspace.folder, "bases", "remove", "--yes", "--", base.name)
            self.fill()


class Ways(ModalScreen[str | None]):
    """Asks how to change the base, with what each way costs. Dismissed with TUNE, CARRY or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", f"dismiss('{TUNE}')", "Tune again"),
        Binding("c", "carry", "Carry over"),
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, plan: dict[str, Any]) -> None:
        super().__init__()
        self._plan = plan

    def compose(self) -> ComposeResult:
        plan = self._plan
        with Vertical(classes="dialog"):
            yield Static(Content(printable(f"{place(plan['was'])} -> {place(plan['base'])}")), classes="question")
            stale = ", ".join(plan["stale"]) or "nothing"
            yield Static(
                Content(printable(f"becomes stale: {stale} (fresh again with the old base)")), classes="detail"
            )
            yield Static(Content.assemble(("tune again: ", "bold"), _cost(plan["tune_again"])), classes="detail")
            yield Static(Content.assemble(("carry over: ", "bold"), self._carry()), classes="detail")
            with Horizontal(classes="buttons"):
                yield Button(Content("Tune again (t)"), id=TUNE)
                yield Button(Content("Carry over (c)"), id=CARRY, disabled=plan["carry_over"] is None)
                yield Button(Content("Cancel (esc)"), id="cancel")

    def _carry(self) -> str:
        plan = self._plan
        if plan["carry_over"] is None:
            return printable(f"not possible: {plan['refused']}")
        return f"what was tuned is put on the new base; {_cost(plan['carry_over'])}"

    def on_mount(self) -> None:
        self.query_one("#cancel").focus()

    def action_carry(self) -> None:
        if self._plan["carry_over"] is not None:
            self.dismiss(CARRY)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id if event.button.id in (TUNE, CARRY) else None)


def _cost(way: dict[str, Any]) -> str:
    runs = [name for name, stage in (("tuning", way["tune"]), ("inversion", way["invert"])) if stage]
    return f"{' and '.join(runs)}, about {duration(way['seconds'])}" if runs else "nothing to do, all of it is there"


def _cells(base: KnownBase, present: bool) -> list[Content]:
    mark = Content.styled("●" if present else " ", "$success")
    where = Content.styled(f"{base.place}, gone", "$text-error") if base.gone else Content(base.place)
    name = Content.styled(printable(base.name), "bold" if present else "")
    return [mark, name, Content("-" if base.gone else size(base.size)), where, Content(_where(base))]


def _where(base: KnownBase) -> str:
    return "part of tav" if base.place == "embedded" else place(base.path)
