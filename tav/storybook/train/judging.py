"""Scores of an edit against the ground truth of its clip and of the scenes that were asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tav.storybook.train.fresh import drawn
from tav.storybook.train.labels import centres, named
from tav.storybook.train.measures import (
    centre_error,
    flicker,
    frame_consistency,
    grown,
    path_correlation,
    pixel_change,
)
from tav.storybook.train.reader import Reader, load_reader, read
from tav.storybook.train.scorer import load_scorer, picture_features
from tav.storybook.world import Scene, draw

MARGIN = 8
"""Pixels around moving things that are not counted as still: ears of another subject, the reach of a latent."""
FIGURE = "figure", "gear", "shadow"

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Judges:
    """The networks that edits are judged by."""

    reader: Reader
    scorer: Any

    @classmethod
    def load(cls, reader: Path, scorer: Path) -> "Judges":
        return cls(load_reader(reader), load_scorer(scorer)[0])


@dataclass(frozen=True)
class Source:
    """A clip: its scenes, and its frames after the base's VAE, which are the best that the base can give back."""

    scenes: Sequence[Scene]
    coded: Frames


def judge(judges: Judges, edit: Frames, source: Source, target: Sequence[Scene]) -> dict[str, Any]:
    """Scores of an edit (f h w 3) of `source` that should show the scenes of `target`, by name."""
    reading = read(judges.reader, edit)
    return {
        **accuracy(reading.words, source.scenes, target),
        **motion(reading.centres, source.scenes),
        **steadiness(judges, edit, source, target),
    }


def accuracy(words: dict[str, list[str | None]], source: Sequence[Scene], target: Sequence[Scene]) -> dict[str, Any]:
    """Shares of frames that show what the prompt says: each attribute, all of them, the changed, the kept ones."""
    asked, before = [named(scene) for scene in target], [named(scene) for scene in source]
    hits = {name: [words[name][i] == one[name] for i, one in enumerate(asked)] for name in asked[0]}
    fresh = {name for name in hits if before[0].get(name) != asked[0][name]}
    groups = {"all": set(hits), "changed": fresh, "kept": set(hits) - fresh}
    # An edit with the source's own caption changes nothing: that group is left out.
    found = {
        group: np.mean(np.all([hits[name] for name in sorted(names)], 0)) for group, names in groups.items() if names
    }
    shares: dict[str, Any] = {name: float(np.mean(one)) for name, one in hits.items()}
    return {"attributes": shares, **{group: float(share) for group, share in found.items()}}


def motion(found: NDArray[np.float32], source: Sequence[Scene]) -> dict[str, Any]:
    """The figure's path in the edit against its true path in the source, in pixels and as correlations."""
    truth = centres(source)
    across, up = (path_correlation(found[:, axis], truth[:, axis]) for axis in (0, 1))
    return {"centre_error": centre_error(found, truth), "correlation": across, "correlation_up": up}


def steadiness(judges: Judges, edit: Frames, source: Source, target: Sequence[Scene]) -> dict[str, Any]:
    """Frame consistency, flicker and pixel change, of the edit, of the source and of a perfect edit.

    Drawn frames do not flicker at all, so the source's flicker is measured on its frames after the VAE.
    """
    still, perfect = still_pixels(source.scenes, target), drawn(target)
    frames = {"edit": edit, "source": source.coded, "perfect": perfect}
    features = {name: picture_features(judges.scorer, one) for name, one in frames.items()}
    return {
        "consistency": {name: frame_consistency(one) for name, one in features.items()},
        "flicker": {name: flicker(one, still) for name, one in frames.items()},
        "change": {name: pixel_change(one) for name, one in frames.items()},
        "still": float(still.mean()),
    }


def still_pixels(source: Sequence[Scene], target: Sequence[Scene]) -> NDArray[np.bool_]:
    """A mask (f h w) of pixels that move neither in the source nor in a perfect edit, both drawn without a style.

    Pixels that differ from the frame before or after, pixels of figure, gear and shadow, and all pixels within MARGIN
    of these are left out. Under a moving camera the even sky and ground remain.
    """
    busy = _moving(source) | _moving(target)
    still: NDArray[np.bool_] = ~grown(busy, MARGIN)
    return still


def _moving(scenes: Sequence[Scene]) -> NDArray[np.bool_]:
    plain = [draw(replace(scene, style=None), truth=True) for scene in scenes]
    frames = np.stack([np.asarray(drawing.picture) for drawing in plain])
    differs = (frames[1:] != frames[:-1]).any(-1)
    busy = np.stack([drawing.truth.mask(*FIGURE) for drawing in plain if drawing.truth])
    busy[1:] |= differs
    busy[:-1] |= differs
    return busy
