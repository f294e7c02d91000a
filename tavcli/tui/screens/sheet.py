"""The sheet of an edit: frames of the clip above those of the edit, as large as the terminal allows."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from tavcli.tui import graphics
from tavcli.tui.screens.tav_screen import TavScreen
from tavcli.tui.widgets.player import Player


class Sheet(TavScreen):
    """The sheet, in pixels where the terminal can draw them, else in half cells."""

    TITLE = "Sheet"
    HELP = """Sheet
    Some frames of the clip above the same ones of the edit. In a terminal with graphics (sixel, or kitty's) they are
    drawn in pixels, if textual-image is installed: pip install "tav[images]"."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,i", "back", "Back", key_display="⏎", tooltip="Go back to the edits")
    ]
    DEFAULT_CSS = """
    Sheet > .sheet { width: 100%; height: auto; margin: 1 2; }
    Sheet > Player { width: 1fr; height: 1fr; }
    """

    def __init__(self, title: str, path: Path) -> None:
        super().__init__()
        self.path, self.sub_title = path, title

    def body(self) -> Iterable[Widget]:
        if graphics.sharp:
            yield graphics.sharp(self.path, classes="sheet")
        else:
            player = Player(classes="sheet")
            player.open(self.path)
            yield player
