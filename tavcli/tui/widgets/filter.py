"""A line for words that the rows shown must have. `/` shows it; Escape clears and hides it."""

from textual.binding import Binding
from textual.message import Message
from textual.widgets import Input


def matches(words: str, text: str) -> bool:
    """Does `text` have all the `words`, whatever their order and case?"""
    return all(word in text.casefold() for word in words.casefold().split())


class Filter(Input, can_focus=False):
    """Posts `Input.Changed` at every key, and `Filter.Left` on return to the rows."""

    HELP = """Filter
    Only rows that have all the words you type are shown, in any order."""
    BINDINGS = [
        Binding("escape", "clear", "Show all", tooltip="Clear the filter and go back to the rows"),
        Binding("enter,down", "leave", "To the rows", tooltip="Keep the filter and go to the rows"),
    ]
    DEFAULT_CSS = """
    Filter { display: none; height: 3; border: round $border-blurred; background: $background; }
    Filter:focus { border: round $border; }
    Filter.-shown { display: block; }
    """

    class Left(Message):
        """The rows should get the focus back."""

    def __init__(self) -> None:
        super().__init__(placeholder="only what has these words")
        self.border_title = "filter"

    def show(self) -> None:
        """Show the filter and give it the focus."""
        self.can_focus = True
        self.add_class("-shown")
        self.focus()

    def action_clear(self) -> None:
        self.value = ""
        self.action_leave()

    def action_leave(self) -> None:
        self.can_focus = bool(self.value)  # what is hidden must not get the focus
        self.set_class(self.can_focus, "-shown")
        self.post_message(self.Left())
