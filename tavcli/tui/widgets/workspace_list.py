"""The list of workspaces: a card for each, with its first frame."""

from contextlib import suppress
from pathlib import Path

from PIL.Image import Image
from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option, OptionDoesNotExist

from tavcli.text import printable
from tavcli.tui.data.library import Entry
from tavcli.tui.theme import state
from tavcli.tui.widgets.filter import matches
from tavcli.tui.widgets.thumbnail import half_cells

# Cells of a card's picture.
_WIDE, _HIGH = 12, 4


class Shelf(OptionList):
    """Workspaces as cards, by folder. Enter, or a click on the highlighted card, posts `OptionSelected`."""

    HELP = """Library
    The workspaces under this folder: first frame, caption, base, what is tuned and inverted, and the edits. A workspace
    is the folder of one clip; `tav init` makes it. Click a card to highlight it, and once more to open it."""
    BINDINGS = [Binding("enter", "select", "Open", tooltip="Open the highlighted workspace")]
    DEFAULT_CSS = """
    Shelf {
        height: 1fr; border: none; padding: 0; background: $background; text-wrap: nowrap; text-overflow: ellipsis;
        &:focus { border: none; background-tint: transparent; }
        & > .option-list--separator { color: $panel; }
    }
    """

    def __init__(self, root: Path) -> None:
        super().__init__(markup=False)
        self.root = root
        self.entries: dict[Path, Entry] = {}
        self._pictures: dict[Path, list[Content]] = {}
        self._words = ""

    @property
    def chosen(self) -> Entry | None:
        """The highlighted workspace, or None."""
        option = self.highlighted_option
        return self.entries.get(Path(option.id)) if option is not None and option.id is not None else None

    @property
    def readable(self) -> list[Entry]:
        """All workspaces without a problem, those that the filter hides too."""
        return [entry for entry in self.entries.values() if not entry.problem]

    def show(self, folders: list[Path]) -> None:
        """Show the workspaces in these folders, with what is already known of them; the rest is read later."""
        self.entries = {folder: self.entries.get(folder, Entry(folder)) for folder in folders}
        self._fill()

    def put(self, entry: Entry) -> None:
        """Show what was read of a workspace."""
        self.entries[entry.folder] = entry
        self._renew(entry.folder)

    def put_picture(self, folder: Path, picture: Image) -> None:
        """Show a workspace's first frame."""
        self._pictures[folder] = half_cells(picture, _WIDE, _HIGH)
        self._renew(folder)

    def narrow(self, words: str) -> None:
        """Show only the workspaces that have these words."""
        self._words = words
        self._fill()

    def _fill(self) -> None:
        chosen = self.chosen
        shown = [folder for folder, entry in self.entries.items() if self._is_shown(entry)]
        cards = [Option(self._card(self.entries[folder]), id=str(folder)) for folder in shown]
        self.set_options(part for card in cards for part in (card, None))  # None draws a line
        if shown:
            self.highlighted = shown.index(chosen.folder) if chosen is not None and chosen.folder in shown else 0

    def _is_shown(self, entry: Entry) -> bool:
        return matches(self._words, f"{entry.caption} {entry.base} {entry.folder.relative_to(self.root)}")

    def _renew(self, folder: Path) -> None:
        with suppress(OptionDoesNotExist):  # the filter hides the workspace, or it is gone
            self.replace_option_prompt(str(folder), self._card(self.entries[folder]))

    def _card(self, entry: Entry) -> Content:
        picture = self._pictures.get(entry.folder, [Content()] * _HIGH)
        lines = zip(picture, _facts(entry, self.root), strict=True)
        return Content("\n").join(Content.assemble(" ", *_centred(cells), "  ", text) for cells, text in lines)

    def on_click(self, event: events.Click) -> None:
        """Highlight a card at the first click, so that its details can be read; open it at the second."""
        event.prevent_default()
        clicked = event.style.meta.get("option")
        if clicked is not None and clicked != self.highlighted:
            self.highlighted = clicked
        elif clicked is not None:
            self.action_select()


def _centred(cells: Content) -> tuple[str, Content, str]:
    left = (_WIDE - cells.cell_length) // 2
    return " " * left, cells, " " * (_WIDE - cells.cell_length - left)


def _facts(entry: Entry, root: Path) -> list[Content]:
    """The four lines of a card."""
    name = printable(str(entry.folder.relative_to(root)) if entry.folder != root else root.name)
    about = f"{name} · {printable(Path(entry.base).name)}" if entry.base else name
    if not entry.caption:  # not read yet, or unreadable
        return [Content.styled(name, "bold"), stages(entry), Content(), Content()]
    return [
        Content.styled(printable(entry.caption), "bold"),
        Content.styled(about, "$foreground-muted"),
        stages(entry),
        edits(entry),
    ]


def stages(entry: Entry) -> Content:
    """The stages with their states in a line, or the problem; empty until they are read."""
    if entry.problem:
        return Content.styled(f"! {printable(entry.problem)}", "$text-error")
    return Content("   ").join(state(word, f"{name} {word}") for name, word in entry.stages)


def edits(entry: Entry) -> Content:
    """How many edits there are in each state, in a line."""
    if not entry.edits:
        return Content.styled("no edits yet", "$foreground-muted")
    return Content("   ").join(state(word, f"{count} {word}") for word, count in entry.edits)
