"""The prompt panel: what the new videos show, how they are made, how many that are, and how long it will take."""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, Select, Static, TextArea

from tav.errors import TavError
from tavcli import estimates
from tavcli.bases import known_bases
from tavcli.data import presets
from tavcli.jobs import Request
from tavcli.orders import Order, made_into_requests, session_for
from tavcli.quantities import clock
from tavcli.queue import Queue, Row
from tavcli.recipes import plain
from tavcli.summaries import Summary
from tavcli.tui.aside import aside
from tavcli.tui.asking import ask_tav
from tavcli.workspace import Workspace

if TYPE_CHECKING:
    from tavcli.tui.app import TavApp

# Seconds without a key before the time is asked of the engine.
_QUIET = 0.6


class Prompts(ModalScreen[list[str] | None]):
    """Dismissed with the names of the jobs that were queued, or None."""

    app: "TavApp"
    TITLE = "Prompts"
    HELP = """New edits
    One prompt a line; {cat,robot} stands for either, {{ for a brace. Guidance, vary and seed take lists: 7.5,12.5 and
    1..4; every combination is queued. Empty fields mean what tav.toml says."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "queue", "Queue", tooltip="Queue them, and go back", priority=True),
        Binding("escape", "dismiss(None)", "Cancel", tooltip="Go back and queue nothing"),
        Binding("f1", "app.help", "Help", show=False),
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    DEFAULT_CSS = """
    Prompts > .dialog { width: 96%; max-width: 110; height: auto; padding: 0 1; }
    Prompts TextArea { height: 5; border: round $border-blurred; background: $background; }
    Prompts.-wide TextArea { height: 8; }
    Prompts TextArea:focus { border: round $border; }
    Prompts Grid { grid-size: 4; grid-columns: 10 1fr 10 1fr; grid-rows: 1; grid-gutter: 0 1; height: auto; }
    Prompts Grid > Label { color: $foreground-muted; text-align: right; width: 100%; }
    Prompts Input, Prompts Select > SelectCurrent { height: 1; border: none; padding: 0 1; background: $background; }
    Prompts Input:focus { background: $block-cursor-background; border: none; }
    Prompts Input.-invalid { border: none; }
    Prompts Select { height: 1; }
    Prompts Select:focus > SelectCurrent { background: $block-cursor-background; border: none; }
    Prompts Checkbox { border: none; padding: 0; height: 1; background: $panel; }
    Prompts Checkbox:focus { border: none; text-style: bold; }
    Prompts #count { height: auto; min-height: 2; margin-top: 1; }
    Prompts .buttons { margin-top: 0; }
    """

    def __init__(self, workspace: Workspace, like: Order | None = None) -> None:
        super().__init__()
        self.workspace, self.like = workspace, like
        self._wanted: list[Request] = []
        self._forecasts: dict[str, float] = {}

    def compose(self) -> ComposeResult:
        like = self.like or Order(())
        with VerticalScroll(classes="dialog") as dialog:
            dialog.can_focus = False
            yield Static(Content("New edits: one prompt a line, {cat,robot} for either"), classes="question")
            yield TextArea("\n".join(like.prompts), id="prompts", tab_behavior="focus", highlight_cursor_line=False)
            with Grid():
                yield from _field("without", "negative", like.negative or "", "what the videos should not show")
                yield from _field("guidance", "guidance", like.guidance, "as set; or 7.5,12.5")
                yield from _field("vary", "vary", like.vary, "0 to 1, fresh noise")
                yield from _field("seed", "seed", like.seed, "as set; or 1..4")
                yield from _field("steps", "steps", str(like.steps or ""), "as set")
                yield Label("")
                yield Checkbox("start from the clip", like.inversion is not False, id="inversion")
                yield Label("preset")
                yield Select([(name, name) for name in presets()], prompt="as set", id="preset", compact=True)
                yield Label("base")
                yield Select[str]([], prompt="as set", id="base", compact=True)
            yield Static(id="count")
            with Horizontal(classes="buttons"):
                yield Button(Content("Queue (ctrl+s)"), id="queue")
                yield Button(Content("Cancel (esc)"), id="cancel")

    def on_mount(self) -> None:
        text = self.query_one("#prompts", TextArea)
        text.focus()
        text.move_cursor(text.document.end)
        self.fill_bases()
        self.count()

    @work(group="bases")
    async def fill_bases(self) -> None:
        """The bases that have a name here."""
        known = await aside(lambda: [base.name for base in known_bases() if not base.gone])
        self.query_one("#base", Select).set_options((name, name) for name in known)

    @property
    def order(self) -> Order:
        """What is typed. Raises TavError for a number that is none."""
        steps = self._text("steps")
        if steps and not steps.isdecimal():
            raise TavError(f"steps: `{steps}` is no whole number", "empty means what tav.toml says")
        return Order(
            tuple(line for line in self.query_one("#prompts", TextArea).text.splitlines() if line.strip()),
            self._text("negative") or None,
            self._text("guidance"),
            int(steps) if steps else None,
            self._text("vary"),
            self._text("seed"),
            None if self.query_one("#inversion", Checkbox).value else False,
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
        """Say how many edits that are, or what is wrong, and how long they take."""
        try:
            order = self.order
            self._wanted = await aside(_requests, self.workspace, order) if order.prompts else []
        except TavError as error:
            self._wanted = []
            self._say(Content.assemble((f"{plain(error.message)}: {plain(error.hint)}", "$text-error")))
            return
        if not self._wanted:
            self._say(Content.styled("no prompt yet", "$foreground-muted"))
            return
        seconds = await aside(_measured, self.workspace, self._wanted)
        self._say(self._words(seconds))
        if seconds is None:
            self._say(self._words(await self._forecast(order)))

    async def _forecast(self, order: Order) -> float | None:
        """Seconds, asked of the engine once for each kind of edit: prompts of one kind take equally long."""
        from asyncio import sleep

        kind = str(replace(order, prompts=(), negative=None)) + str(len(self._wanted))
        if kind not in self._forecasts:
            await sleep(_QUIET)
            flags = ["queue", "add", "--dry-run", *_as_flags(order), "--", *order.prompts]
            try:
                said = await ask_tav(self.workspace.folder, *flags)
            except TavError:
                return None
            self._forecasts[kind] = float(said["seconds"])
        return self._forecasts[kind]

    def _words(self, seconds: float | None) -> Content:
        many = len(self._wanted)
        takes = "; how long that takes is being reckoned ..." if seconds is None else f", about {clock(seconds)}"
        return Content.assemble((f"{many} edit{'s' * (many != 1)}", "bold"), takes)

    def _say(self, words: Content) -> None:
        self.query_one("#count", Static).update(words)

    @on(Button.Pressed, "#queue")
    async def _queue(self) -> None:
        await self.app.run_action("queue", self)

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss(None)

    async def action_queue(self) -> None:
        wanted = await aside(_requests, self.workspace, self.order)
        added, twins = await aside(Queue(self.workspace).add, wanted)
        for row in twins[:3]:
            self.notify(f"edit {row.name} is this very one ({row.state})", markup=False)
        self.dismiss([row.name for row in [*added, *twins]])


def _field(label: str, name: str, value: str, placeholder: str) -> tuple[Label, Input]:
    return Label(label), Input(value, placeholder=placeholder, id=name, compact=True)


def _requests(workspace: Workspace, order: Order) -> list[Request]:
    return made_into_requests(session_for(workspace, order), order)


def _measured(workspace: Workspace, wanted: list[Request]) -> float | None:
    """Seconds for all of it, by how long like edits took here; None where there were none, or a stage is missing."""
    rows = Queue(workspace).rows()
    times = [estimates.measured(rows, _as_row(request)) for request in wanted]
    known = [seconds for seconds in times if seconds is not None]
    return sum(known) if len(known) == len(times) else None


def _as_row(request: Request) -> Row:
    return Row("", 0, request.kind, "queued", 0.0, "", Summary.of_request(request))


def _as_flags(order: Order) -> list[str]:
    given = {"--negative": order.negative, "--guidance": order.guidance, "--vary": order.vary, "--seed": order.seed}
    given["--steps"] = str(order.steps) if order.steps else ""
    flags = [f"{name}={value}" for name, value in given.items() if value]
    return [*flags, *(["--no-inversion"] if order.inversion is False else [])]
