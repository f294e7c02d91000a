"""Faults of a clip that harm the learning of its motion: cuts, no motion, and jumps between its chosen frames.

They are measured by block matching on small grey pictures: each block of a frame is searched for in the frame before.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.float32]

SIDE, BLOCK = 48, 8  # pixels of the small picture, and of a block in it
REACH = 15  # pixels: how far away a block is searched for, almost a third of the picture
PLAIN = 4.0  # grey levels: a block with a smaller deviation is too plain to be matched
ALIKE = 0.5  # a block is found where the difference is below this share of its deviation
MOST_STEPS = 256  # the most steps from frame to frame that are measured

# The limits were measured on clips of skiers, cars and drawn figures: joined, panned over and still
# (tests/tav/video/test_quality.py).
# A clip jumps if the usual share of blocks found is below FEW_FOUND, or the usual distance above FAR.
FEW_FOUND = 0.5
FAR = 0.12  # of the picture's side
# A step is a cut if it finds less than CUT times the share usually found in the NEAR steps before, and after, it.
CUT, NEAR = 0.5, 3
STILL = 5.0  # grey levels: noise changes blocks less than this
DARK, BAR = 24, 0.03  # black bars: the brightest grey level, the smallest share of a side


@dataclass(frozen=True)
class ClipQuality:
    """Faults of uint8 frames (f, h, w, 3).

    `cuts`: numbers of the frames after a cut. `still`: nothing moves. `jumps`: the motion between frames is too large.
    `bars`: shares of width and height that are black borders, (0, 0) if there are none.
    """

    cuts: tuple[int, ...]
    still: bool
    jumps: bool
    bars: tuple[float, float]


def judge(frames: NDArray[np.uint8]) -> ClipQuality:
    """The faults of the first MOST_STEPS + 1 frames, uint8 (f, h, w, 3), without the bars that fitting added."""
    if len(frames) < 2:
        return ClipQuality((), True, False, bars(frames))
    steps = measure(frames)
    drift = measure(frames[[0, -1]]).changed.max()
    jumps = bool(np.median(steps.found) < FEW_FOUND or np.median(steps.moved) > FAR)
    cuts = () if jumps else _cuts(steps.found)
    return ClipQuality(cuts, bool(max(drift, steps.changed.max()) < STILL), jumps, bars(frames))


def _cuts(found: NDArray[np.float64]) -> tuple[int, ...]:
    """The numbers of the frames after a cut; the scenes before and after it may differ in how much they move."""
    cuts = []
    for step, share in enumerate(found):
        sides = found[max(0, step - NEAR) : step], found[step + 1 : step + 1 + NEAR]
        if share < CUT * min((float(np.median(side)) for side in sides if len(side)), default=0.0):
            cuts.append(step + 1)
    return tuple(cuts)


def bars(frames: NDArray[np.uint8]) -> tuple[float, float]:
    """Shares of width and height at the borders that are black in every frame; 0 if not above BAR."""
    brightest = frames.max((0, 3))
    shares = _dark_ends(brightest.max(0) > DARK), _dark_ends(brightest.max(1) > DARK)
    return (shares[0] if shares[0] > BAR else 0.0), (shares[1] if shares[1] > BAR else 0.0)


def _dark_ends(lit: NDArray[np.bool_]) -> float:
    """The share of places before the first and after the last lit one; 0 if none is lit."""
    places = np.flatnonzero(lit)
    return 1 - float(places[-1] - places[0] + 1) / len(lit) if len(places) else 0.0


@dataclass(frozen=True)
class Steps:
    """Measurements from each frame to the next, (f - 1) values each.

    `found`: share of the blocks that are found in the frame before (1 if all are plain). `moved`: the distance that a
    quarter of the found blocks exceeds, as a share of the picture's side. `changed`: the change of the block that
    changes most, in grey levels, changes of light included.
    """

    found: NDArray[np.float64]
    moved: NDArray[np.float64]
    changed: NDArray[np.float64]


def measure(frames: NDArray[np.uint8]) -> Steps:
    """The measurements of uint8 frames (f, h, w, 3)."""
    grey = np.stack([_small(frame) for frame in frames[: MOST_STEPS + 1]])
    before, after = grey[:-1], grey[1:]
    variation = _deviation(after)
    light = grey.mean((1, 2), keepdims=True)
    differs, distance = _best_match(before - light[:-1], after - light[1:], variation)
    telling = variation > PLAIN
    found = telling & (differs < ALIKE * variation)
    share = np.where(telling.any((1, 2)), found.sum((1, 2)) / np.maximum(telling.sum((1, 2)), 1), 1.0)
    moved = [
        np.percentile(one[seen], 75) / SIDE if seen.any() else 0.0 for one, seen in zip(distance, found, strict=True)
    ]
    changed = np.sqrt(_means((after - before) ** 2)).max((1, 2), initial=0)
    return Steps(share, np.array(moved), changed.astype(np.float64))


def _small(frame: NDArray[np.uint8]) -> Grey:
    picture = Image.fromarray(frame).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(picture, np.float32)


def _means(pictures: Grey) -> Grey:
    """The mean of every block: (n, SIDE, SIDE) -> (n, blocks, blocks)."""
    blocks = SIDE // BLOCK
    means: Grey = pictures.reshape(-1, blocks, BLOCK, blocks, BLOCK).mean((2, 4))
    return means


def _deviation(pictures: Grey) -> Grey:
    """The standard deviation in every block: (n, SIDE, SIDE) -> (n, blocks, blocks)."""
    deviation: Grey = np.sqrt(np.maximum(_means(pictures**2) - _means(pictures) ** 2, 0))
    return deviation


def _best_match(before: Grey, after: Grey, variation: Grey) -> tuple[Grey, Grey]:
    """(difference, distance in pixels) between each block of `after` and the most similar place in `before`."""
    padded = np.pad(before, ((0, 0), (REACH, REACH), (REACH, REACH)), constant_values=np.nan)
    best, distance = np.full_like(variation, np.inf), np.zeros_like(variation)
    places = [(y, x) for y in range(-REACH, REACH + 1) for x in range(-REACH, REACH + 1)]
    for y, x in sorted(places, key=lambda place: place[0] ** 2 + place[1] ** 2):
        window = padded[:, REACH + y : REACH + y + SIDE, REACH + x : REACH + x + SIDE]
        differs = np.sqrt(_means((after - window) ** 2))
        # A more distant place must match clearly better, so that noise alone is not taken for motion.
        better = differs < best - 0.02 * variation - 0.1
        best, distance = np.where(better, differs, best), np.where(better, np.float32(np.hypot(y, x)), distance)
    return best, distance
