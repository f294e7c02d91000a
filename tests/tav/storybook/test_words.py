"""The base's tokenizer spells any text, and has one token for each word of the captions."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.bases.lexicon import read_lexicon
from tav.storybook.words import (
    MAX_TOKENS,
    PLACEHOLDERS,
    grammar_words,
    learned_merges,
    write_lexicon,
    write_tokenizer,
)
from tav.storybook.world.scenes import UNSEEN_ACTIONS, UNSEEN_SUBJECTS, random_scene

WORDS = st.lists(st.text("abcde", min_size=1, max_size=6), max_size=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words") / "tokenizer"
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)


def pieces(tokenizer: Any, text: str) -> list[int]:
    """Token numbers without start and end."""
    return tokenizer(text, add_special_tokens=False, verbose=False).input_ids


def captions() -> list[str]:
    rng = random.Random(0)
    return [random_scene(rng).caption for _ in range(500)]


def test_every_word_of_a_caption_is_one_token(tokenizer: Any) -> None:
    words = [*grammar_words(), *PLACEHOLDERS, ","]
    numbers = [pieces(tokenizer, word) for word in words]
    assert [len(found) for found in numbers] == [1] * len(words)
    assert len({found[0] for found in numbers}) == len(words)


def test_a_caption_has_as_many_tokens_as_words_and_fits(tokenizer: Any) -> None:
    for caption in captions():
        numbers = pieces(tokenizer, caption)
        assert len(numbers) == len(caption.replace(",", " ,").split())
        assert len(numbers) + 2 <= MAX_TOKENS == tokenizer.model_max_length


def test_the_words_are_those_of_captions() -> None:
    seen = {word for caption in captions() for word in caption.replace(",", " ").split()}
    assert seen == set(grammar_words())


@pytest.mark.parametrize("word", [*UNSEEN_SUBJECTS, *UNSEEN_ACTIONS])
def test_what_training_never_shows_is_no_word_of_its_own(word: str, tokenizer: Any) -> None:
    assert len(pieces(tokenizer, word)) > 1
    assert word not in grammar_words()


def test_placeholders_are_eight_and_in_no_caption() -> None:
    assert len(set(PLACEHOLDERS)) == 8
    assert not set(PLACEHOLDERS) & set(grammar_words())


@given(text=st.text())
def test_any_text_comes_back(text: str, tokenizer: Any) -> None:
    if "<|" in text:  # may be one of the special tokens by its name
        return
    numbers = pieces(tokenizer, text)
    assert all(0 <= number < len(tokenizer) for number in numbers)
    assert tokenizer.unk_token_id not in numbers
    normal = tokenizer.backend_tokenizer.normalizer.normalize_str(text)
    assert "".join(tokenizer.decode(numbers).split()) == "".join(normal.split())


@pytest.mark.parametrize("text", ["a LION  on the\tmoon!", "naïve 日本 🎿", "</w>", "'s 'll", "\x00\x7f\u2028"])
def test_texts_of_note_come_back(text: str, tokenizer: Any) -> None:
    back = tokenizer.decode(pieces(tokenizer, text))
    assert "".join(back.split()) == "".join(text.lower().split())


@given(WORDS)
def test_each_word_is_built_by_its_merges(words: list[str]) -> None:
    merges = learned_merges(words)
    for word in words:
        symbols = [*word[:-1], word[-1] + "</w>"]
        for left, right in merges:
            symbols = merged(symbols, left, right)
        assert symbols == [word + "</w>"]


def merged(symbols: list[str], left: str, right: str) -> list[str]:
    for place in range(len(symbols) - 1):
        if symbols[place : place + 2] == [left, right]:
            return [*symbols[:place], left + right, *merged(symbols[place + 2 :], left, right)]
    return symbols


@given(WORDS, st.randoms())
def test_the_order_of_the_words_does_not_matter(words: list[str], rng: random.Random) -> None:
    assert learned_merges(rng.sample(words, len(words))) == learned_merges([*words, *words])


def test_the_files_are_the_same_every_time(folder: Path, tmp_path: Path) -> None:
    script = f"from pathlib import Path; from tav.storybook.words import *; write_tokenizer(Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONHASHSEED": "7"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_numbers_have_no_gap_and_the_size_is_returned(folder: Path, tmp_path: Path, tokenizer: Any) -> None:
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert list(vocabulary.values()) == list(range(write_tokenizer(tmp_path))) == list(range(len(tokenizer)))


def test_the_lexicon_can_be_read(tmp_path: Path) -> None:
    write_lexicon(tmp_path / "lexicon.json")
    lexicon = read_lexicon(tmp_path)
    assert lexicon is not None
    assert lexicon.unknown_words(" ".join(grammar_words())) == []
    assert [word for word, _ in lexicon.unknown_words("a bear is Skiing")] == ["bear"]
    assert lexicon.spare_words("a sks man") == ["sks"]


def test_no_torch_is_needed() -> None:
    script = "import sys, tav.storybook.words; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
