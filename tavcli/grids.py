"""Many edits in one line: alternatives in prompts, `{cat,robot} is skiing`, and lists of values, `1..4` or `7,12.5`."""

import itertools
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from tav.errors import SettingsError
from tav.settings import SampleSettings
from tavcli.recipes import acting

MOST = 10_000  # edits of one grid
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
N = TypeVar("N", int, float)


def prompts(texts: Iterable[str]) -> list[str]:
    """Every prompt that `texts` stand for, each once, in order. `{a,b}` is a or b; `{{` and `}}` are braces.

    Raises SettingsError for braces that do not close, an empty prompt, or too many prompts.
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
    pieces = itertools.product(*_pieces(text))
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
            pieces.append([word.strip() for word in part[1:-1].split(",")])
        else:
            pieces.append([part])
    return pieces


def whole_numbers(text: str, name: str) -> list[int]:
    """`1..4,9` -> 1, 2, 3, 4, 9. Raises SettingsError naming `name`."""
    found: dict[int, None] = {}
    for part in text.split(","):
        ends = _RANGE.fullmatch(part.strip())
        first, last = (int(ends[1]), int(ends[2])) if ends else (number := _number(part, int, name), number)
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
        raise SettingsError(
            f"{name}: `{text.strip()}` is no number", "give one, or several as in 1,2,5; seeds also as 1..4"
        ) from None


def samplings(
    settings: SampleSettings, seeds: list[int] | None, guidances: list[float] | None, varies: list[float] | None
) -> list[SampleSettings]:
    """`settings` with each seed, guidance and share of noise; those that act alike once.

    Raises SettingsError for several seeds where none of them acts.
    """
    given = (varies or [settings.vary], guidances or [settings.guidance_scale], seeds or [settings.seed])
    found = {
        acting(settings.model_copy(update={"vary": vary, "guidance_scale": guidance, "seed": seed})): None
        for vary, guidance, seed in itertools.product(*given)
    }
    if seeds and len(seeds) > 1 and not any(_seed_acts(one) for one in found):
        raise SettingsError(
            f"{len(seeds)} seeds would give the same video",
            "add --vary 0.3 or --no-inversion: without, no noise is drawn",
        )
    return [SampleSettings.model_validate(one.model_dump()) for one in found]


def _seed_acts(settings: SampleSettings) -> bool:
    return settings.vary > 0 or not settings.inversion
