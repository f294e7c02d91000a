from pathlib import Path

import numpy as np
import pytest

from tav.storybook.textures import random_texture
from tav.storybook.train import pictures
from tav.storybook.train.latents import captions
from tav.storybook.world import draw, is_held_out


def test_a_texture_is_a_picture_and_its_seed_decides() -> None:
    one, same, other = (np.asarray(random_texture(np.random.default_rng(seed))) for seed in (1, 1, 2))
    assert one.shape == (128, 128, 3)
    assert (one == same).all()
    assert (one != other).any()


def test_textures_have_the_spectra_of_photographs() -> None:
    rng = np.random.default_rng(0)
    stack = np.stack([np.asarray(random_texture(rng)).mean(-1) for _ in range(40)])
    spectrum = (np.abs(np.fft.fft2(stack - stack.mean((1, 2), keepdims=True))) ** 2).mean(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    bands = [spectrum[(frequency > low) & (frequency <= 2 * low)].mean() for low in (1 / 64, 1 / 32, 1 / 16, 1 / 8)]
    slope = np.polyfit(np.arange(4), np.log2(bands), 1)[0]
    assert -3.2 < slope < -1.3  # power falls about as the frequency squared


def test_pictures_are_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "CHUNK", 6)
    made = pictures.rendered(tmp_path, "scenes", 1, chunks=2, workers=1)
    times = [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    again = pictures.rendered(tmp_path, "scenes", 1, chunks=2, workers=1)
    assert times == [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    assert len(made) == len(again) == 12
    scenes = [scene for chunk in (0, 1) for scene in pictures.chunk_scenes(1, chunk)]
    assert not any(map(is_held_out, scenes))
    assert all((made[i] == np.asarray(draw(scene).picture)).all() for i, scene in enumerate(scenes))
    assert made.crops(np.random.default_rng(0), 3, 64).shape == (3, 64, 64, 3)


def test_captions_are_in_the_order_of_the_pictures() -> None:
    assert captions(1, 1) == [scene.caption for scene in pictures.chunk_scenes(1, 0)]
