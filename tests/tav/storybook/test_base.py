"""The weights that ship: a complete base whose files fit each other and the world they were trained on."""

import json
from pathlib import Path

import pytest

from tav.bases.embedded import EMBEDDED, FOLDER
from tav.bases.parts import BaseParts, inspect_base
from tav.storybook.train.stages import RECOMMENDED
from tav.storybook.words import MAX_TOKENS, write_lexicon, write_tokenizer


@pytest.fixture(scope="module")
def parts() -> BaseParts:
    return inspect_base(FOLDER)


def test_it_is_of_the_worlds_size_and_small(parts: BaseParts) -> None:
    assert parts.native_size == (128, 128)
    assert parts.prediction_type == "epsilon"
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 40_000_000


def test_it_recommends_all_that_matters(parts: BaseParts) -> None:
    assert parts.recommendation.model_fields_set >= {"size", "guidance_scale", "learning_rate", "steps"}
    assert json.loads((FOLDER / "tav.json").read_text(encoding="utf-8")) == RECOMMENDED


def test_it_says_how_it_came_about() -> None:
    for folder, names in ((FOLDER, ("vae", "diffusion", "decoder")), (FOLDER.parent / "scorer", ("scorer",))):
        origin = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        assert set(origin) == set(names)
        assert all(
            part["steps"] > 0 and {"seed", "seconds", "rate", "commit"} <= part.keys() for part in origin.values()
        )


def test_its_words_are_those_of_the_world(parts: BaseParts, tmp_path: Path) -> None:
    write_lexicon(tmp_path / "lexicon.json")
    size = write_tokenizer(tmp_path / "tokenizer")
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert (FOLDER / path.relative_to(tmp_path)).read_bytes() == path.read_bytes()
    assert parts.text_tokens == MAX_TOKENS
    config = json.loads(parts.text_encoder.config_file.read_text(encoding="utf-8"))
    vocabulary = json.loads((FOLDER / "tokenizer" / "vocab.json").read_text(encoding="utf-8"))
    assert config["vocab_size"] == size
    assert config["bos_token_id"] == vocabulary["<|startoftext|>"]
    assert config["eos_token_id"] == config["pad_token_id"] == vocabulary["<|endoftext|>"]


def test_it_loads() -> None:
    from tav.bases import load_base

    base = load_base(EMBEDDED)
    assert base.vae.config.latent_channels == base.unet.config.in_channels
    assert all(parameter.isfinite().all() for parameter in base.unet.parameters())
