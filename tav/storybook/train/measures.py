"""Measures of edits and pictures, as formulas on arrays; no network here."""

import math

import numpy as np
from numpy.typing import NDArray

CONFIDENT = 1.959964
"""Standard errors on either side of an interval of 95 %."""

Floats = NDArray[np.floating]


def wilson(right: int, asked: int) -> tuple[float, float]:
    """The 95 % interval of a share, `right` of `asked` (Wilson, 1927); (0, 1) where nothing was asked."""
    if not asked:
        return 0.0, 1.0
    share, z2 = right / asked, CONFIDENT**2
    middle = (share + z2 / (2 * asked)) / (1 + z2 / asked)
    reach = CONFIDENT / (1 + z2 / asked) * math.sqrt(share * (1 - share) / asked + z2 / (4 * asked**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def bootstrap(values: Floats, groups: NDArray[np.integer], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean of `values` (n,), by drawing whole groups (n,) with replacement (Efron, 1979).

    Groups are drawn because edits of one clip are alike. NaN, NaN without values.
    """
    if not len(values):
        return math.nan, math.nan
    names = np.unique(groups)
    sums = np.array([values[groups == name].sum() for name in names])
    counts = np.array([(groups == name).sum() for name in names])
    drawn = np.random.default_rng(seed).integers(0, len(names), (draws, len(names)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), (2.5, 97.5))
    return float(low), float(high)


def centre_error(found: Floats, truth: Floats) -> float:
    """The mean distance in pixels between found places (f, 2) and true ones (f, 2)."""
    return float(np.linalg.norm(found - truth, axis=1).mean())


def path_correlation(found: Floats, truth: Floats) -> float:
    """Pearson's correlation of two paths (f,); 0 where one of them stands still."""
    a, b = found - found.mean(), truth - truth.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else 0.0


def frame_consistency(features: Floats) -> float:
    """100 times the mean cosine over all ordered pairs of different frames of features (f, d), as in LOVEU-TGVE-2023.

    Raises ValueError for fewer than two frames.
    """
    count = len(features)
    if count < 2:
        raise ValueError("frame consistency compares frames: at least two are needed")
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    return 100 * float((np.linalg.norm(units.sum(0)) ** 2 - count) / (count * (count - 1)))


def pixel_change(frames: NDArray[np.uint8]) -> float:
    """The mean change of a pixel's value from a frame (f h w 3) to the next, in levels of 255."""
    return float(np.abs(np.diff(frames.astype(np.int16), axis=0)).mean())


def flicker(frames: NDArray[np.uint8], still: NDArray[np.bool_]) -> float:
    """As `pixel_change`, over the pixels that are `still` (f h w) in both frames of a pair. NaN where none is."""
    both = still[1:] & still[:-1]
    changes = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean(-1)
    return float(changes[both].mean()) if both.any() else math.nan


def grown(masks: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Masks (f h w), dilated by `pixels` to all sides (a square)."""
    for axis in (1, 2):
        masks = _grown_along(masks, pixels, axis)
    return masks


def _grown_along(masks: NDArray[np.bool_], pixels: int, axis: int) -> NDArray[np.bool_]:
    width = [(0, 0)] * masks.ndim
    width[axis] = pixels, pixels
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(masks, width), 2 * pixels + 1, axis)
    return np.asarray(windows.any(-1))
