from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from tav.storybook.train.base import read_origin
from tav.storybook.train.fresh import drawn, fresh_scenes
from tav.storybook.train.loop import Plan
from tav.storybook.train.pixels import as_input
from tav.storybook.train.scorer import (
    caption_features,
    load_scorer,
    new_scorer,
    picture_features,
    retrieval,
    save_scorer,
    train_scorer,
)
from tav.storybook.train.workers import ALONE
from tav.storybook.words import write_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scorer")
    torch.manual_seed(0)
    save_scorer(folder, new_scorer(write_tokenizer(folder)))
    return folder


def test_the_folder_is_a_clip_model_of_at_most_six_megabytes(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6_000_000
    scorer, tokenizer = load_scorer(folder)
    scenes = fresh_scenes(6, held_out=False)
    pictures = picture_features(scorer, drawn(scenes))
    captions = caption_features(scorer, tokenizer, [scene.caption for scene in scenes])
    assert pictures.shape == captions.shape
    assert np.linalg.norm(pictures, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    assert np.linalg.norm(captions, axis=1) == pytest.approx(np.ones(6), abs=1e-5)


def test_its_preprocessing_is_ours(folder: Path) -> None:
    processor = AutoImageProcessor.from_pretrained(folder)
    pictures = drawn(fresh_scenes(2, held_out=True))
    theirs = processor([Image.fromarray(picture) for picture in pictures], return_tensors="np")["pixel_values"]
    assert np.abs(theirs - as_input(pictures).numpy()).max() < 1e-5


def test_a_captions_features_do_not_depend_on_its_neighbours(folder: Path) -> None:
    scorer, tokenizer = load_scorer(folder)
    long = "a cat wearing red clothes is riding a bike in the forest at night, van gogh style"
    alone, among = (caption_features(scorer, tokenizer, texts)[0] for texts in (["a cat"], ["a cat", long]))
    assert alone == pytest.approx(among, abs=1e-5)


def test_retrieval_counts_own_captions_in_each_group() -> None:
    pictures = np.eye(128, dtype=np.float32)[:100]
    assert retrieval(pictures, pictures) == 1
    assert retrieval(pictures, np.roll(pictures, 1, axis=0)) == 0
    assert retrieval(pictures, np.roll(pictures, 1, axis=0), among=1) == 1


def test_training_ends_with_a_folder_that_loads_and_that_it_can_go_on_from(tmp_path: Path) -> None:
    scenes, into = fresh_scenes(12, held_out=False), tmp_path / "scorer"
    for sitting in (1, 2):
        plan, state = Plan("scorer", steps=sitting, rate=1e-3, warmup=1), tmp_path / str(sitting)
        state.mkdir()
        train_scorer(ALONE, state, into, scenes, drawn(scenes), plan, 5, batch=4)
        assert read_origin(into)["scorer"]["steps"] == sitting
    scorer, _ = load_scorer(into)
    assert picture_features(scorer, drawn(scenes[:1])).shape == (1, 128)
