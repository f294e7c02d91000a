"""One workspace: its clip and its edits."""

from collections.abc import Iterable

from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Static

from tavcli.edits import all_edits
from tavcli.recipes import plain
from tavcli.tui.look import state
from tavcli.tui.screens.screen import TavScreen
from tavcli.tui.shelf import read
from tavcli.workspace import Workspace


class WorkspaceScreen(TavScreen):
    """The edits of a workspace, by number."""

    TITLE = "Workspace"
    HELP = """Workspace
    The clip, and the edits that were made of it."""
    DEFAULT_CSS = """
    WorkspaceScreen #caption { padding: 1 1 0 1; text-style: bold; }
    WorkspaceScreen DataTable { height: 1fr; padding: 1; background: $background; }
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    def body(self) -> Iterable[Widget]:
        yield Static(id="caption")
        yield DataTable[Content](cursor_type="row")

    def on_mount(self) -> None:
        entry = read(self.workspace.folder)
        self.sub_title = str(self.workspace.folder)
        self.query_one("#caption", Static).update(Content(plain(entry.caption)))
        table: DataTable[Content] = self.query_one(DataTable)
        for name, width in (("edit", 5), ("state", 13), ("prompt", 50)):
            table.add_column(name, width=width)
        for edit in all_edits(self.workspace):
            word = "done" if edit.done else "unfinished"
            table.add_row(Content(str(edit.number)), state(word), Content(plain(str(edit.recipe["prompt"]))))
        table.focus()
