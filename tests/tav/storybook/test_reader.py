from pathlib import Path

import numpy as np
import pytest
import torch

from tav.storybook.train.augment import SHIFT, worn
from tav.storybook.train.fresh import drawn, fresh_scenes
from tav.storybook.train.labels import VOCABULARY, centres, shown
from tav.storybook.train.pixels import as_input, as_pictures
from tav.storybook.train.reader import Reader, load_reader, read, save_reader
from tav.storybook.train.teaching import examine, teach

SHIPPED = Path(__file__).parents[3] / "benchmarks" / "storybook" / "reader.safetensors"


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 128, 128, 3), np.uint8)


@pytest.fixture
def tiny() -> Reader:
    torch.manual_seed(0)
    return Reader((8, 16, 24)).eval()


def test_a_reading_has_words_of_the_vocabulary_and_places_in_the_picture(tiny: Reader) -> None:
    reading = read(tiny, noise(5), batch=2)
    assert set(reading.words) == set(VOCABULARY)
    assert all(len(words) == 5 and set(words) <= set(VOCABULARY[name]) for name, words in reading.words.items())
    assert reading.centres.shape == (5, 2)
    assert ((reading.centres > 0) & (reading.centres < 128)).all()


def test_pictures_are_read_one_by_one(tiny: Reader) -> None:
    together, alone = read(tiny, noise(3)), read(tiny, noise(3)[1:2])
    assert together.centres[1] == pytest.approx(alone.centres[0], abs=1e-3)


def test_no_pictures_and_pictures_of_another_size(tiny: Reader) -> None:
    assert read(tiny, noise(0)).centres.shape == (0, 2)
    with pytest.raises(ValueError, match="128"):
        read(tiny, noise(1)[:, :64])


def test_pictures_come_back_from_what_the_networks_take() -> None:
    assert (as_pictures(as_input(noise(2))) == noise(2)).all()


def test_weights_are_kept_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reader = Reader()
    save_reader(tmp_path / "reader.safetensors", reader)
    again = load_reader(tmp_path / "reader.safetensors")
    for name, value in again.state_dict().items():
        assert torch.equal(value, reader.state_dict()[name].half().float())
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_lessons_teach(tiny: Reader) -> None:
    scenes = fresh_scenes(24, held_out=False)
    pictures = drawn(scenes)
    lessons = list(teach(tiny, pictures, scenes, steps=6, seed=0, batch=8))
    assert [lesson.step for lesson in lessons] == [1, 2, 3, 4, 5, 6]
    assert lessons[-1].loss < lessons[0].loss
    assert not tiny.training


def test_wear_moves_pictures_by_what_it_says() -> None:
    point = torch.full((8, 3, 128, 128), -1.0)
    point[:, :, 56:72, 40:56] = 1.0
    soft, shifts = worn(point, torch.Generator().manual_seed(1))
    assert shifts.abs().max() <= SHIFT
    bright = (soft.mean(1) > 0).float()
    rows, columns = torch.arange(128.0)[:, None], torch.arange(128.0)
    for one, shift in zip(bright, shifts, strict=True):
        found = torch.stack([(one * columns).sum(), (one * rows).sum()]) / one.sum()
        assert (found - torch.tensor([47.5, 63.5]) - shift).abs().max() < 1


@pytest.mark.slow
def test_the_shipped_reader_reads_drawn_pictures() -> None:
    scenes = fresh_scenes(100, held_out=True)
    figures = examine(load_reader(SHIPPED), drawn(scenes), scenes)
    assert figures.pop("centre") < 1.5
    assert min(figures.values()) >= 0.97


def test_examining_counts_what_is_read_right(tiny: Reader) -> None:
    scenes = fresh_scenes(20, held_out=False)
    pictures = drawn(scenes)
    reading, figures = read(tiny, pictures), examine(tiny, pictures, scenes)
    right = [word == shown(scene)["time"] for word, scene in zip(reading.words["time"], scenes, strict=True)]
    assert figures["time"] == pytest.approx(np.mean(right))
    off = np.linalg.norm(reading.centres - centres(scenes), axis=1)
    assert figures["centre"] == pytest.approx(off.mean(), rel=1e-5)
