"""The clips of the benchmarks: fixed, so that figures of different bases compare."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from tav.storybook.train.labels import named
from tav.storybook.world import is_held_out

CLIPS: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "storybook" / "clips.py"))
ALL = CLIPS["CLIPS"] + CLIPS["UNSEEN_CLIPS"]


@pytest.mark.parametrize("clip", ALL, ids=lambda clip: clip.name)
def test_each_kind_of_edit_changes_what_it_says_and_asks_for_no_held_out_combination(clip: Any) -> None:
    own = named(clip.first)
    for kind, count in zip(CLIPS["KINDS"], (1, 1, 1, 1, 2, 0), strict=True):
        target = clip.target(kind)[0]
        asked = named(target)
        assert sum(asked[name] != own.get(name) for name in asked) == count
        assert not is_held_out(target)


@pytest.mark.parametrize("clip", ALL, ids=lambda clip: clip.name)
def test_figures_go_where_they_face(clip: Any) -> None:
    scenes = clip.scenes()
    assert (scenes[-1].x - scenes[0].x) * clip.first.facing > 0


def test_the_clips_differ() -> None:
    known = CLIPS["CLIPS"]
    assert len(known) == 8
    assert len({clip.first.subject for clip in known}) == 8
    assert len({clip.first.action for clip in known}) == 7
    assert len({clip.first.place for clip in known}) >= 5
    assert len({clip.first.time for clip in known}) == 3
