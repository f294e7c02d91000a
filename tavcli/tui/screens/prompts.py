"""The prompt panel: prompts and settings of new edits, how many edits they make, and how long those will take."""

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, Select, Static, TextArea

from tav.errors import SettingsError, TavError
from tavcli.config.bases import known_bases
from tavcli.config.templates import presets
from tavcli.queue.batch import Batch
from tavcli.queue.jobs import JobRequest
from tavcli.queue.queue import Queue
from tavcli.text import printable
from tavcli.tui.data.estimate import CostEstimator, requests_of
from tavcli.tui.threads import in_thread
from tavcli.units import duration
from tavcli.workspace.folder import Workspace


class Prompts(ModalScreen[list[str] | None]):
    """Asks for prompts and settings. Dismissed with the names of the jobs that were queued, or None."""

    TITLE = "Prompts"
    HELP = """New edits
    One prompt a line; {cat,robot} stands for either, {{ for a brace. Guidance, vary and seed take lists: 7.5,12.5 and
    1..4; every combination is queued. Empty fields mean what tav.toml says. `vary` mixes fresh noise into what the clip
    was turned into: each seed gives another video, and 0 stays closest to the clip."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "queue", "Queue", tooltip="Queue them, and go back", priority=True),
        Binding("escape", "cancel", "Cancel", tooltip="Go back, and queue nothing"),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (36, "-high")]
    # CSS, since the application's own rules would win over DEFAULT_CSS.
    CSS = """
    Prompts > .dialog { width: 96%; max-width: 100; padding: 0 1; }
    Prompts .dialog > .question { margin: 0 1; }
    Prompts TextArea { height: 6; border: round $border-blurred; background: $background; padding: 0; }
    Prompts.-high TextArea { height: 12; }
    Prompts TextArea:focus { border: round $border; }
    Prompts Grid {
        grid-size: 4; grid-columns: 8 1fr 8 1fr; grid-rows: 1; grid-gutter: 0 1; height: auto; margin: 0 1;
    }
    Prompts.-high Grid { grid-gutter: 1 1; }
    Prompts Grid > Label { color: $foreground-muted; text-align: right; width: 100%; }
    Prompts #negative, Prompts Checkbox { column-span: 3; }
    Prompts Input { height: 1; border: none; padding: 0 1; background: $background; }
    Prompts Input:focus { background: $block-cursor-background; }
    Prompts Select > SelectCurrent { padding: 0 1; background: $background; }
    Prompts Select:focus > SelectCurrent { background: $block-cursor-background; }
    Prompts Select:nocolor:focus > SelectCurrent { text-style: reverse; }
    Prompts Checkbox { border: none; padding: 0; background: $panel; }
    Prompts Checkbox:focus { border: none; }
    Prompts #count { height: auto; min-height: 2; margin: 1 1 0 1; }
    Prompts .dialog > .buttons { margin: 0 1 0 0; }
    """

    def __init__(self, workspace: Workspace, like: Batch | None = None) -> None:
        super().__init__()
        self.workspace, self.like = workspace, like or Batch(())
        self.wanted: list[JobRequest] = []
        self._estimator = CostEstimator(workspace)

    def compose(self) -> ComposeResult:
        like = self.like
        with VerticalScroll(classes="dialog") as dialog:
            dialog.can_focus = False
            yield Static(Content("New edits"), classes="question")
            yield _text_area("\n".join(like.prompts))
            with Grid():
                yield from _field("without", "negative", like.negative or "", "what the videos should not show")
                yield from _field("guidance", "guidance", like.guidance, "as set, or 7.5,12.5")
                yield from _field("steps", "steps", str(like.steps or ""), "as set")
                yield from _field("vary", "vary", like.vary, "as set, or 0 to 1")
                yield from _field("seed", "seed", like.seed, "as set, or 1..4")
                yield Label("preset")
                yield Select([(name, name) for name in presets()], prompt="as set", id="preset", compact=True)
                yield Label("base")
                yield Select[str]([], prompt="as set", id="base", compact=True)
                yield Label("")
                yield Checkbox("start from the clip (off: from noise alone)", like.inversion is not False)
            yield Static(id="count")
            with Horizontal(classes="buttons"):
                yield Button(Content("Queue (ctrl+s)"), id="queue")
                yield Button(Content("Cancel (esc)"), id="cancel")

    def on_mount(self) -> None:
        text = self.query_one(TextArea)
        text.focus()
        text.move_cursor(text.document.end)
        self.fill_bases()
        self.count()

    @work(group="bases")
    async def fill_bases(self) -> None:
        """Offer the bases that have a name here, and the one that the panel was opened with."""
        known = await in_thread(lambda: [base.name for base in known_bases() if not base.gone])
        present = str((await in_thread(self.workspace.read)).get("base", ""))
        asked = [self.like.base] if self.like.base not in ("", present) else []
        select = self.query_one("#base", Select)
        select.set_options((printable(name), name) for name in dict.fromkeys([*known, *asked]))
        if asked:
            select.value = asked[0]

    # What is typed ----------------------------------------------------------------------------------------------------

    @property
    def typed(self) -> Batch:
        """The batch as typed. Raises SettingsError if `steps` is no whole number."""
        steps = self._text("steps")
        if steps and not steps.isdecimal():
            raise SettingsError(f"steps: `{steps}` is no whole number", "empty means what tav.toml says")
        return Batch(
            tuple(line for line in self.query_one(TextArea).text.splitlines() if line.strip()),
            self._text("negative") or None,
            self._text("guidance"),
            int(steps) if steps else None,
            self._text("vary"),
            self._text("seed"),
            None if self.query_one(Checkbox).value else False,
            self._chosen("preset"),
            self._chosen("base"),
        )

    def _text(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()

    def _chosen(self, name: str) -> str:
        value = self.query_one(f"#{name}", Select).value
        return value if isinstance(value, str) else ""

    @on(TextArea.Changed)
    @on(Input.Changed)
    @on(Select.Changed)
    @on(Checkbox.Changed)
    def _again(self) -> None:
        self.count()

    @work(exclusive=True, group="count")
    async def count(self) -> None:
        """Show how many edits are typed and how long they take, or what is wrong."""
        try:
            batch = self.typed
            self.wanted, unknown = await in_thread(requests_of, self.workspace, batch) if batch.prompts else ([], "")
        except TavError as error:
            self.wanted = []
            self._say(Content.assemble((printable(error.message), "$text-error"), "\n", _muted(printable(error.hint))))
            return
        if not self.wanted:
            self._say(_muted("no prompt yet"))
            return
        seconds = await in_thread(self._estimator.measured, batch, self.wanted)
        self._say(self._words(seconds, unknown))
        if seconds is None:
            self._say(self._words(await self._estimator.forecast(batch, self.wanted), unknown, final=True))

    def _words(self, seconds: float | None, unknown: str, final: bool = False) -> Content:
        many = len(self.wanted)
        takes = f", about {duration(seconds)}" if seconds is not None else "" if final else "; reckoning the time ..."
        said = Content.assemble((f"{many} edit{'s' * (many != 1)}", "bold"), takes)
        return Content("\n").join([said, *([Content.styled(printable(unknown), "$text-warning")] if unknown else [])])

    def _say(self, words: Content) -> None:
        self.query_one("#count", Static).update(words)

    # Queueing ---------------------------------------------------------------------------------------------------------

    @on(Button.Pressed, "#queue")
    async def _queue(self) -> None:
        await self.app.run_action("queue", self)

    @on(Button.Pressed, "#cancel")
    def action_cancel(self) -> None:
        self.dismiss(None)

    def action_queue(self) -> None:
        """Queue after the keys typed before this one: by its priority it overtakes keys on their way to a field."""
        (self.focused or self).call_later(self.app.run_action, "queue_typed", self)

    async def action_queue_typed(self) -> None:
        wanted, _ = await in_thread(requests_of, self.workspace, self.typed)
        added, twins = await in_thread(Queue(self.workspace).add, wanted)
        if twins:
            self.notify(_told(len(twins), twins[0].name, twins[0].state), markup=False)
        self.dismiss([row.name for row in [*added, *twins]])


def _told(many: int, name: str, state: str) -> str:
    if many == 1:
        return f"edit {name} is this very one ({state})"
    return f"{many} of these are there already, as edit {name} ({state})"


def _text_area(text: str) -> TextArea:
    area = TextArea(
        text,
        tab_behavior="focus",
        highlight_cursor_line=False,
        placeholder="a cat is skiing\na {robot,panda} is skiing",
    )
    area.border_title = "prompts, one a line; {cat,robot} is either"
    return area


def _field(label: str, name: str, value: str, placeholder: str) -> tuple[Label, Input]:
    return Label(label), Input(value, placeholder=placeholder, id=name, compact=True)


def _muted(text: str) -> Content:
    return Content.styled(text, "$foreground-muted")
