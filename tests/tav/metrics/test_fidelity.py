import math

import numpy as np
import pytest

from tav.metrics.fidelity import psnr


@pytest.mark.parametrize("shape", [(1, 2, 2, 3), (3, 5, 7, 3)])
@pytest.mark.parametrize("step", [1, 16, 255])
def test_a_constant_difference_gives_its_closed_form(shape: tuple[int, ...], step: int) -> None:
    a = np.zeros(shape, np.uint8)
    b = np.full(shape, step, np.uint8)
    assert psnr(a, b) == psnr(b, a) == pytest.approx(20 * math.log10(255 / step), abs=1e-12)


def test_equal_videos_are_infinitely_close() -> None:
    a = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    assert psnr(a, a.copy()) == math.inf


def test_halving_the_wrong_share_gains_three_decibels() -> None:
    a = np.zeros((8, 4, 4, 3), np.uint8)
    all_wrong, half_wrong = a + np.uint8(9), a.copy()
    half_wrong[:4] = 9
    assert psnr(a, half_wrong) - psnr(a, all_wrong) == pytest.approx(10 * math.log10(2), abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((1, 2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)),
        (np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 2, 3), np.float32)),
        (np.zeros((0, 2, 2, 3), np.uint8), np.zeros((0, 2, 2, 3), np.uint8)),
    ],
)
def test_what_cannot_be_compared_is_refused(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one shape"):
        psnr(a, b)
