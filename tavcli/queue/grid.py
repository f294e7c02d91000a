"""Many edits in one line: alternatives in prompts, `{cat,robot} is skiing`, and lists of values, `1..4` or `7,12.5`."""

import math
import re
from collections.abc import Callable, Iterable
from itertools import product
from typing import TypeVar

from tav.errors import SettingsError
from tav.settings import SampleSettings, parse
from tavcli.workspace.recipes import normalized

MOST = 10_000  # edits of one grid
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
N = TypeVar("N", int, float)


def prompts(texts: Iterable[str]) -> list[str]:
    """Every prompt that `texts` stand for, each once, in order. `{a,b}` is a or b; `{{` and `}}` are braces.

    Raises SettingsError for braces that do not close or hold nothing, an empty prompt, or too many prompts.
    """
    found: dict[str, None] = {}
    for text in texts:
        for prompt in _expanded(text):
            if not prompt:
                raise SettingsError("an empty prompt", "say what the new video shows")
            found[prompt] = None
            if len(found) > MOST:
                raise SettingsError(f"more than {MOST} prompts", "queue them in parts")
    return list(found)


def _expanded(text: str) -> Iterable[str]:
    pieces = product(*_pieces(text))
    return (" ".join("".join(piece).split()) for piece in pieces)


def _pieces(text: str) -> list[list[str]]:
    """The text in pieces, each with what may stand there."""
    pieces = [[""]]
    for part in re.findall(r"\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+", text):
        if part in ("{", "}"):
            raise SettingsError(f"`{text}`: a brace that stands alone", "{a,b} is a or b; {{ and }} are plain braces")
        if part in ("{{", "}}"):
            pieces.append([part[0]])
        elif part[0] == "{":
            if not part[1:-1].strip(" ,"):
                raise SettingsError(f"`{text}`: braces with nothing in them", "{a,b} is a or b; {{ and }} are braces")
            pieces.append([word.strip() for word in part[1:-1].split(",")])
        else:
            pieces.append([part])
    return pieces


def whole_numbers(text: str, name: str) -> list[int]:
    """`1..4,9` -> 1, 2, 3, 4, 9. Raises SettingsError naming `name`."""
    found: dict[int, None] = {}
    for part in text.split(","):
        ends = _RANGE.fullmatch(part.strip())
        first, last = (_number(end, int, name) for end in (ends.groups() if ends else (part, part)))
        if last < first or last - first >= MOST:
            raise SettingsError(f"{name} {text}: `{part.strip()}` is no range", "a range is FIRST..LAST, as in 1..4")
        found |= dict.fromkeys(range(first, last + 1))
    return list(found)


def numbers(text: str, name: str) -> list[float]:
    """`7.5,12.5` -> 7.5, 12.5. Raises SettingsError naming `name`."""
    return list(dict.fromkeys(_number(part, float, name) for part in text.split(",")))


def _number(text: str, kind: Callable[[str], N], name: str) -> N:
    try:
        return kind(text.strip())
    except ValueError:
        hint = "give one, or several as in 1,2,5; seeds also as 1..4"
        raise SettingsError(f"{name}: `{text.strip()[:40]}` is no number", hint) from None


def samplings(
    settings: SampleSettings, seeds: list[int] | None, guidances: list[float] | None, varies: list[float] | None
) -> list[SampleSettings]:
    """`settings` with each seed, guidance and share of noise; those that act alike once.

    Raises SettingsError for values out of their range, and for several seeds where none of them acts.
    """
    given = (varies or [settings.vary], guidances or [settings.guidance_scale], seeds or [settings.seed])
    if (size := math.prod(len(values) for values in given)) > MOST:
        raise SettingsError(f"a grid of {size} edits", f"at most {MOST} at once")
    whole = settings.model_dump()
    each = ({"vary": vary, "guidance_scale": guidance, "seed": seed} for vary, guidance, seed in product(*given))
    found = {normalized(parse(SampleSettings, whole | one, "the grid")): None for one in each}
    if seeds and len(seeds) > 1 and not any(_seed_acts(one) for one in found):
        raise SettingsError(
            f"{len(seeds)} seeds would give the same video",
            "add --vary 0.3 or --no-inversion: without, no noise is drawn",
        )
    return list(found)


def _seed_acts(settings: SampleSettings) -> bool:
    return settings.vary > 0 or not settings.inversion
