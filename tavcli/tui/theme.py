"""The application's look: one dark theme, the style rules that all screens share, and how states and paths are written.

The accents are the colours of Okabe and Ito, lightened for a dark background. A state has a symbol, not only a colour.
"""

from pathlib import Path

from textual.content import Content
from textual.theme import Theme

from tavcli.text import printable

THEME = Theme(
    name="tav",
    primary="#56b4e9",
    secondary="#8fb8de",
    accent="#e69f00",
    success="#2fbf93",
    warning="#e69f00",
    error="#f07a45",
    foreground="#d9dce3",
    background="#14161b",
    surface="#1a1d23",
    panel="#23272f",
    dark=True,
    variables={
        "foreground-muted": "#9aa3b2",
        "block-cursor-background": "#2d4a5e",
        "block-cursor-foreground": "#ffffff",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#262b34",
        "block-cursor-blurred-foreground": "#d9dce3",
        "block-cursor-blurred-text-style": "none",
        "block-hover-background": "#23272f",
        "border": "#56b4e9",
        "border-blurred": "#343a45",
        "footer-background": "#1a1d23",
        "footer-key-foreground": "#e69f00",
        "input-selection-background": "#2d4a5e",
        "scrollbar": "#343a45",
        "scrollbar-hover": "#4a5260",
        "scrollbar-active": "#56b4e9",
        "scrollbar-background": "#14161b",
        "scrollbar-background-hover": "#14161b",
        "scrollbar-background-active": "#14161b",
        "scrollbar-corner-color": "#14161b",
    },
)

# `:nocolor` holds where NO_COLOR is set: the focused and the chosen row must stand out without colours.
CSS = """
Screen { background: $background; }
Footer { background: $footer-background; }
.muted { color: $foreground-muted; }
.strong { text-style: bold; }

ModalScreen { align: center middle; background: $background 60%; }
.dialog {
    width: auto; max-width: 76; min-width: 44; height: auto; max-height: 100%;
    padding: 1 2; background: $panel; border: round $border;
}
.dialog > .question { width: auto; max-width: 70; text-style: bold; }
.dialog > .detail { width: auto; max-width: 70; margin-top: 1; color: $foreground-muted; }
.dialog > .buttons { width: 100%; height: auto; margin-top: 1; align-horizontal: right; }
.dialog > .buttons > Button {
    margin-left: 2; height: 1; min-width: 8; padding: 0 2; border: none;
    background: $border-blurred; color: $foreground;
    &:hover { background: $block-cursor-background; }
    &:focus { background: $primary; color: $background; text-style: bold; background-tint: transparent; }
    &:nocolor:focus { text-style: reverse bold; }
}

OptionList:nocolor:focus > .option-list--option-highlighted { text-style: underline; }
DataTable:focus { background-tint: transparent; }
DataTable:nocolor:focus > .datatable--cursor { text-style: reverse; }
WorkspaceScreen.-narrow FooterKey .footer-key--description { padding: 0; }
WorkspaceScreen.-narrow FooterKey.-command-palette .footer-key--description { padding: 0 0 0 1; }
CommandPalette SearchIcon { display: none; }
Toast { max-width: 70; }
/* Above the footer and the queue's progress, so that toasts hide neither. */
ToastRack { margin-bottom: 3; }
"""

_MUTED = "$foreground-muted"
_STATES = {
    "fresh": ("●", "$success"),
    "stale": ("◐", "$warning"),
    "missing": ("○", _MUTED),
    "queued": ("◌", "$secondary"),
    "running": ("▶", "$primary"),
    "paused": ("‖", "$warning"),
    "done": ("✓", "$success"),
    "failed": ("✗", "$error"),
    "cancelled": ("⊘", _MUTED),
    "interrupted": ("!", "$error"),
}


def symbol(word: str) -> Content:
    """A state's symbol alone, for a line that has no room for its word."""
    sign, style = _STATES.get(word, ("?", _MUTED))
    return Content.styled(sign, style)


def place(path: Path | str) -> str:
    """A path or a name on one line; the home folder is written `~`."""
    path = Path(path)
    home = Path.home()
    return printable(f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else str(path))


def state(word: str, said: str | None = None) -> Content:
    """A state as its symbol and its word; `said` takes the place of the word."""
    symbol, style = _STATES.get(word, ("?", _MUTED))
    return Content.styled(f"{symbol} {said or word}", style)
