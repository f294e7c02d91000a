"""A job in one line, or as a card of three lines with its first picture."""

from textual.content import Content

from tavcli.queue.queue import Row
from tavcli.queue.summary import Summary
from tavcli.text import printable
from tavcli.tui.theme import state, symbol

# Lines of a card, and its picture's width in cells.
HIGH, PICTURE = 3, 8
_MUTED = "$foreground-muted"


def line(row: Row, live: str, marked: bool, width: int) -> Content:
    """A job as one line: `✓ ★   12  a cat is skiing        21.4 dB`."""
    right = Content.styled(live or score(row.summary), _MUTED)
    head = Content.assemble(_mark(marked), symbol(row.state), " ", _star(row.summary), f" {row.name:>4}  ")
    return _both_ends(Content.assemble(head, printable(row.summary.title)), right, width)


def card(row: Row, live: str, marked: bool, picture: list[Content] | None, width: int) -> list[Content]:
    """A job as three lines beside its picture: prompt; settings; state, and score or error."""
    known, room = row.summary, width - PICTURE - 3
    cells = picture or [Content(" " * PICTURE)] * HIGH
    title = Content.assemble((f"{row.name:>4}  ", "bold $primary"), (printable(known.title), "bold"))
    texts = [
        _both_ends(title, Content.assemble(_tags(known), _star(known)), room),
        _both_ends(Content.styled(f"      {settings(known)}", _MUTED), Content.styled(known.date[:16], _MUTED), room),
        _both_ends(
            Content.assemble("      ", _outcome(row)), Content.styled(live or _likeness(known), "$foreground"), room
        ),
    ]
    return [Content.assemble(_mark(marked), _exactly(cell), " ", text) for cell, text in zip(cells, texts, strict=True)]


def settings(known: Summary) -> str:
    """How an edit is made, in words."""
    if known.guidance is None:
        return printable(known.base)
    words = [f"guidance {known.guidance:g}", f"{known.steps} steps"]
    words += [f"vary {known.vary:g}", f"seed {known.seed}"] if known.vary else []
    words += [] if known.inversion else [f"from noise, seed {known.seed}"]
    words += [f"without “{printable(known.negative)}”"] if known.negative else []
    words += [("carried over to " if known.carried else "") + printable(known.base.rsplit("/", 1)[-1])]
    return " · ".join(words)


def score(known: Summary) -> str:
    """The likeness to the clip; empty if unknown."""
    psnr = (known.scores or {}).get("psnr")
    return "" if psnr is None else f"{psnr:.1f} dB"


def _likeness(known: Summary) -> str:
    said = score(known)
    return f"PSNR {said}" if said else ""


def _outcome(row: Row) -> Content:
    if row.summary.error:
        return Content.assemble(state(row.state), ": ", printable(row.summary.error))
    return state(row.state)


def _mark(marked: bool) -> Content:
    return Content.styled("▌" if marked else " ", "$accent")


def _star(known: Summary) -> Content:
    return Content.styled("★" if known.starred else " ", "$accent")


def _tags(known: Summary) -> Content:
    return Content.styled("".join(f"#{tag} " for tag in known.tags), "$secondary")


def _exactly(cells: Content) -> Content:
    """A line of the picture, centred in the picture's width."""
    left = (PICTURE - cells.cell_length) // 2
    return Content.assemble(" " * left, cells, " " * (PICTURE - cells.cell_length - left))


def _both_ends(left: Content, right: Content, width: int) -> Content:
    """A text at the left, cut if there is no room, and one at the right."""
    room = width - right.cell_length - 2
    left = left.truncate(max(1, room), ellipsis=True)
    return Content.assemble(left, " " * max(1, width - left.cell_length - right.cell_length - 1), right, " ")
