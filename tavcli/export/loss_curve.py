"""The loss while tuning, read from its log and laid out for a small picture."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from tav.atomic import read_text
from tavcli.workspace.stages import LOG

# The loss of one step says little, since its timestep is random.
WINDOW = 25
# Points of a line: more cannot be told apart.
_MOST = 400
_WIDTH, _HEIGHT = 1000, 100


@dataclass(frozen=True)
class Curve:
    """The losses of `steps` steps, as points in 1000 x 100: `each` loss, and the `mean` of the last `window` losses.

    The picture's top is the loss `top`, its bottom 0; `first` and `last` are means.
    """

    steps: int
    window: int
    top: float
    first: float
    last: float
    each: str
    mean: str


def read_curve(folder: Path) -> Curve | None:
    """The curve of the tuning in `folder`; None without a log of at least two steps, as for imported weights."""
    try:
        losses = list(_losses(read_text(folder / LOG)))
    except (OSError, ValueError):
        return None
    if len(losses) < 2:
        return None
    window = min(WINDOW, max(1, len(losses) // 4))
    means = _means(losses, window)
    top = max(max(means), sorted(losses)[math.ceil(0.98 * len(losses)) - 1]) or 1.0
    lines = (_points(values, top) for values in (losses, means))
    return Curve(len(losses), window, top, means[min(window, len(means)) - 1], means[-1], *lines)


def _losses(log: str) -> Iterator[float]:
    """The losses in a log; lines that are invalid or hold no number are left out."""
    for line in log.splitlines():
        try:
            loss = json.loads(line)["loss"]
        except (ValueError, RecursionError, KeyError, TypeError):
            continue
        if isinstance(loss, int | float) and math.isfinite(loss):
            yield float(loss)


def _means(losses: list[float], window: int) -> list[float]:
    """The mean of the last `window` losses at each step."""
    sums = [0.0, *accumulate(losses)]
    begins = (max(0, end - window) for end in range(1, len(sums)))
    return [(sums[end] - sums[begin]) / (end - begin) for end, begin in enumerate(begins, start=1)]


def _points(values: list[float], top: float) -> str:
    return " ".join(f"{x:.1f},{y:.2f}" for x, y in _places(values, top))


def _places(values: list[float], top: float) -> Iterable[tuple[float, float]]:
    every = math.ceil(len(values) / _MOST)
    last = len(values) - 1
    for step in [*range(0, last, every), last]:
        yield _WIDTH * step / last, _HEIGHT * (1 - min(1.0, max(0.0, values[step] / top)))
