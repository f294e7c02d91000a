"""Warnings of cuts, stillness and wide jumps, on clips made for it: a texture panned over, joined, stood still."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tav.settings import ClipSettings
from tav.video import judge, read_clip
from tav.video.quality import bars

SIZE = 96
Frames = np.ndarray


def texture(seed: int, side: int = 400) -> np.ndarray:
    """Patches of all sizes, as pictures of the world have: uint8 (side, side, 3)."""
    generator = np.random.default_rng(seed)
    total = np.zeros((side, side, 3))
    for cells in (4, 8, 16, 32):
        noise = generator.integers(0, 256, (cells, cells, 3), np.uint8)
        total += np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))
    return ((total - total.min()) / np.ptp(total) * 255).astype(np.uint8)


def pan(seed: int, share: float, frames: int = 8) -> Frames:
    """A view that moves by this share of its width from frame to frame, to and fro."""
    picture, room = texture(seed), 400 - SIZE
    places = [round(number * share * SIZE) for number in range(frames)]
    lefts = [room - abs(place % (2 * room) - room) for place in places]
    return np.stack([picture[100 : 100 + SIZE, left : left + SIZE] for left in lefts])


def ball(step: int, frames: int = 8) -> Frames:
    """Something small moves before what stands still."""
    still = pan(3, 0, frames)
    for number in range(frames):
        still[number, 40:52, 4 + step * number : 16 + step * number] = (255, 240, 80)
    return still


SEEDS = range(2)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.01, 0.03, 0.06, 0.1])
def test_a_slow_pan_is_good(seed: int, share: float) -> None:
    looks = judge(pan(seed, share))
    assert (looks.cuts, looks.still, looks.jumps, looks.bars) == ((), False, False, (0, 0))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_pan_too_fast_jumps(seed: int, share: float) -> None:
    looks = judge(pan(seed, share))
    assert looks.jumps
    assert not looks.still


@pytest.mark.parametrize("place", [1, 2, 5, 7])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.08])
def test_a_cut_is_found_where_it_is(place: int, share: float) -> None:
    frames = np.concatenate([pan(1, share)[:place], pan(2, share)[place:]])
    assert judge(frames).cuts == (place,)
    assert not judge(frames).jumps


def test_every_cut_is_found() -> None:
    frames = np.concatenate([pan(seed, 0.03, 6) for seed in range(3)])
    assert judge(frames).cuts == (6, 12)


def test_a_lively_scene_beside_a_quiet_one_is_not_cut_in_itself() -> None:
    lively = pan(1, 0.1, 6)
    lively[:, 30:70] = np.random.default_rng(0).integers(0, 256, (6, 40, SIZE, 3))
    assert judge(np.concatenate([lively, pan(2, 0, 12)])).cuts == (6,)


@pytest.mark.parametrize("noise", [0, 2, 6])
def test_stillness_is_seen_through_noise(noise: int) -> None:
    grain = np.random.default_rng(0).normal(0, noise, (8, SIZE, SIZE, 3))
    frames = np.clip(pan(0, 0) + grain, 0, 255).astype(np.uint8)
    assert judge(frames).still
    assert judge(frames[:1]).still
    assert not judge(frames).cuts


@pytest.mark.parametrize("step", [1, 3, 8])
def test_something_small_that_moves_is_motion(step: int) -> None:
    looks = judge(ball(step))
    assert (looks.cuts, looks.still, looks.jumps) == ((), False, False)


def test_slow_light_is_no_cut() -> None:
    frames = pan(0, 0.02).astype(float) * np.linspace(1, 0.5, 8)[:, None, None, None]
    assert (judge(frames.astype(np.uint8)).cuts, judge(frames.astype(np.uint8)).jumps) == ((), False)


def test_black_bars_are_measured() -> None:
    frames = np.maximum(pan(0, 0.02), 40)
    frames[:, :12], frames[:, -12:] = 3, 3
    assert bars(frames) == (0, 0.25)
    frames[:, :, :10] = 0
    assert bars(frames) == pytest.approx((10 / SIZE, 0.25))
    assert bars(np.zeros((2, 8, 8, 3), np.uint8)) == (0, 0)  # all dark: no bars


def test_the_demo_clip_is_good() -> None:
    from tavcli.config.templates import templates

    (clip,) = (path for path in (templates() / "demo").iterdir() if path.suffix == ".mp4")
    looks = judge(read_clip(Path(clip), ClipSettings(), (128, 128)).frames)
    assert (looks.cuts, looks.still, looks.jumps, looks.bars) == ((), False, False, (0, 0))
