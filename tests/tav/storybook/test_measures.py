import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.storybook.train.measures import (
    CONFIDENT,
    bootstrap,
    centre_error,
    flicker,
    frame_consistency,
    grown,
    path_correlation,
    pixel_change,
    wilson,
)


@given(asked=st.integers(1, 2000), share=st.floats(0, 1))
def test_wilsons_bounds_are_the_shares_that_what_was_seen_is_just_confident_of(asked: int, share: float) -> None:
    right = round(asked * share)
    low, high = wilson(right, asked)
    assert 0 <= low <= right / asked + 1e-12
    assert right / asked - 1e-12 <= high <= 1
    for bound in (low, high):
        if 1e-9 < bound < 1 - 1e-9:
            # The defining equation: |seen - p| = z sqrt(p (1 - p) / n).
            assert abs(right / asked - bound) == pytest.approx(
                CONFIDENT * math.sqrt(bound * (1 - bound) / asked), abs=1e-9
            )


def test_nothing_asked_tells_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_bootstrap_covers_the_mean_of_its_groups_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(200):
        # Groups of 3 alike values: as many facts as groups, not as values.
        values = np.repeat(rng.normal(5, 1, 20), 3)
        low, high = bootstrap(values, np.repeat(np.arange(20), 3), draws=400, seed=trial)
        hits += low <= 5 <= high
    assert 0.86 <= hits / 200 <= 0.99


def test_bootstrap_of_one_group_has_no_width_and_of_nothing_no_value() -> None:
    assert bootstrap(np.array([1.0, 3.0]), np.array([7, 7])) == (2.0, 2.0)
    assert all(math.isnan(bound) for bound in bootstrap(np.array([]), np.array([], dtype=int)))


def test_a_path_moved_aside_is_off_by_the_way_and_correlates_fully() -> None:
    path = np.random.default_rng(2).normal(size=(16, 2))
    assert centre_error(path + np.array([3, 4]), path) == pytest.approx(5)
    assert path_correlation(2 * path[:, 0] + 7, path[:, 0]) == pytest.approx(1)
    assert path_correlation(-path[:, 0], path[:, 0]) == pytest.approx(-1)
    assert path_correlation(np.full(16, 3.0), path[:, 0]) == 0


@given(count=st.integers(2, 9))
def test_frame_consistency_is_the_mean_over_pairs(count: int) -> None:
    features = np.random.default_rng(count).normal(size=(count, 6))
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = [units[i] @ units[j] for i in range(count) for j in range(count) if i != j]
    assert frame_consistency(features) == pytest.approx(100 * np.mean(pairs))


def test_frame_consistency_of_equal_of_orthogonal_and_of_too_few_frames() -> None:
    assert frame_consistency(np.ones((4, 3)) * [[1], [2], [3], [4]]) == pytest.approx(100)
    assert frame_consistency(np.eye(5)) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="at least two"):
        frame_consistency(np.ones((1, 3)))


def test_flicker_sees_still_pixels_alone() -> None:
    frames = np.zeros((3, 4, 4, 3), np.uint8)
    frames[1, :2], frames[:, 2:] = 10, np.arange(3, dtype=np.uint8)[:, None, None, None] * 100
    top = np.zeros((3, 4, 4), bool)
    top[:, :2] = True
    assert flicker(frames, top) == 10
    assert flicker(frames, ~top) == 100
    assert flicker(frames, np.ones_like(top)) == pixel_change(frames) == 55
    assert math.isnan(flicker(frames, np.zeros_like(top)))


def test_a_pixel_must_be_still_in_both_frames_of_a_pair() -> None:
    frames = np.array([0, 50, 60], np.uint8).reshape(3, 1, 1, 1).repeat(3, -1)
    still = np.array([False, True, True]).reshape(3, 1, 1)
    assert flicker(frames, still) == 10


@given(pixels=st.integers(0, 5), y=st.integers(0, 11), x=st.integers(0, 9))
def test_a_grown_point_is_a_square(pixels: int, y: int, x: int) -> None:
    mask = np.zeros((2, 12, 10), bool)
    mask[1, y, x] = True
    rows, columns = np.mgrid[0:12, 0:10]
    square = np.maximum(abs(rows - y), abs(columns - x)) <= pixels
    assert not grown(mask, pixels)[0].any()
    assert (grown(mask, pixels)[1] == square).all()
