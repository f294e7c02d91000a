"""F1: a paragraph on the focused widget, and the keys that act there and everywhere."""

import textwrap
from collections.abc import Iterator

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from tavcli.tui.command_palette import Command

# Cells of a line, without the scrollbar.
_WIDE = 66


class Help(ModalScreen[None]):
    """The HELP of the nearest widget that has one, and the commands given."""

    BINDINGS = [Binding("escape,f1,q,enter", "close", "Close")]
    DEFAULT_CSS = """
    Help > .dialog { width: 76; }
    Help > .dialog > .question { color: $primary; }
    Help > .dialog > .keys { margin-top: 1; height: auto; width: auto; }
    """

    def __init__(self, about: Widget, commands: list[Command]) -> None:
        super().__init__()
        self._about, self._commands = about, commands

    def compose(self) -> ComposeResult:
        title, _, paragraph = help_of(self._about).partition("\n")
        with VerticalScroll(classes="dialog"):
            yield Static(Content(title), classes="question")
            yield Static(Content("\n".join(textwrap.wrap(" ".join(paragraph.split()), _WIDE))), classes="detail")
            yield Static(Content("\n").join(_rows(self._commands)), classes="keys")
            yield Static(Content("ctrl+p lists the same commands; so does the footer, for the mouse"), classes="detail")

    def action_close(self) -> None:
        self.dismiss()


def help_of(about: Widget) -> str:
    """The HELP of a widget or of the nearest one around it: a title, then a paragraph on the next lines."""
    around = (node.HELP for node in about.ancestors_with_self if isinstance(node, Widget) and node.HELP)
    return next(around, "tav\n")


def _rows(commands: list[Command]) -> Iterator[Content]:
    wide = max((len(_keys(command)) for command in commands), default=0)
    for command in commands:
        said = f"\n{'':{wide + 2}}".join(textwrap.wrap(command.tooltip, _WIDE - wide - 2))
        yield Content.assemble((f"{_keys(command):>{wide}}", "bold $accent"), f"  {said}")


def _keys(command: Command) -> str:
    return " ".join(command.keys)
