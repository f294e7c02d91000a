"""Details of one workspace beside the library's list, where the terminal is wide enough."""

from pathlib import Path

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tavcli.text import printable
from tavcli.tui.data.library import Entry
from tavcli.tui.theme import place, state
from tavcli.tui.widgets.thumbnail import Thumbnail
from tavcli.tui.widgets.workspace_list import edits, stages


class Details(VerticalScroll, can_focus=False):
    """All that the library knows of the workspace that was shown last."""

    DEFAULT_CSS = """
    Details { width: 1fr; padding: 1 2; border-left: vkey $border-blurred; }
    Details > Thumbnail { max-height: 20; width: 64; margin-bottom: 1; }
    Details > #facts { height: auto; }
    """

    def compose(self) -> ComposeResult:
        yield Thumbnail()
        yield Static(id="facts")

    def show(self, entry: Entry | None) -> None:
        """Show this entry, or nothing."""
        self.query_one(Thumbnail).path = entry.cover if entry is not None else None
        lines = _lines(entry) if entry is not None else []
        self.query_one("#facts", Static).update(Content("\n").join(lines))


def _lines(entry: Entry) -> list[Content]:
    if not entry.caption:
        return [stages(entry), Content(), _fact("folder", entry.folder)]
    return [
        Content.styled(printable(entry.caption), "bold"),
        Content(),
        _fact("folder", entry.folder),
        _fact("base", entry.base),
        Content.assemble(_label("stages"), stages(entry)),
        Content.assemble(_label("edits"), edits(entry)),
        Content(),
        *(Content.assemble(state(word, f"{word:<13}"), printable(prompt)) for word, prompt in entry.latest),
    ]


def _fact(name: str, value: Path | str) -> Content:
    return Content.assemble(_label(name), place(value))


def _label(name: str) -> Content:
    return Content.styled(f"{name:<8}", "$foreground-muted")
