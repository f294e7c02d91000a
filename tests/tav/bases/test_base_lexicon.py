"""A base may say which words it knows; what it says is checked, and asked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.bases.lexicon import Lexicon, read_lexicon
from tav.errors import BaseModelError

KNOWN = {"format": 1, "words": ["a", "cat", "is", "moon", "on", "the", "running"], "spare": ["sks"]}


def lexicon(**changes: Any) -> Lexicon:
    return Lexicon.model_validate(KNOWN | changes)


def write(folder: Path, text: str) -> Path:
    (folder / "lexicon.json").write_text(text, encoding="utf-8")
    return folder


def test_a_base_need_not_have_one(tmp_path: Path) -> None:
    assert read_lexicon(tmp_path) is None


def test_what_is_written_is_read(tmp_path: Path) -> None:
    found = read_lexicon(write(tmp_path, json.dumps(KNOWN)))
    assert found == lexicon()


def test_unknown_words_come_once_in_order_with_the_nearest() -> None:
    found = lexicon().unknown_words("A lion, a LION and the cats: running on Mars")
    assert [word for word, _ in found] == ["lion", "and", "cats", "mars"]
    near = dict(found)
    assert near["lion"] == ["moon"]
    assert near["cats"][0] == "cat"
    assert lexicon(words=[]).unknown_words("lion") == [("lion", [])]


@pytest.mark.parametrize(
    ("text", "words"),
    [("", []), ("  ,.!? ", []), ("a cat's moon", ["cat's"]), ("2025 cats", ["2025", "cats"]), ("cat-moon", [])],
)
def test_what_counts_as_a_word(text: str, words: list[str]) -> None:
    assert [word for word, _ in lexicon().unknown_words(text)] == words


def test_accents_may_be_written_in_two_ways() -> None:
    assert lexicon(words=["caf\u00e9"]).unknown_words("Cafe\u0301") == []


def test_spare_words_are_told_apart() -> None:
    assert lexicon().spare_words("a Sks cat, sks") == ["sks"]
    assert lexicon().unknown_words("a sks cat") == []
    assert lexicon(words=["sks"]).spare_words("sks") == []
    del (without := dict(KNOWN))["spare"]
    assert Lexicon.model_validate(without).unknown_words("sks") == [("sks", [])]


@given(st.text())
def test_any_text_can_be_asked(text: str) -> None:
    found = lexicon().unknown_words(text)
    assert len({word for word, _ in found}) == len(found)
    assert all(set(near) <= set(KNOWN["words"]) for _, near in found)
    assert lexicon(words=[word for word, _ in found]).unknown_words(" ".join(word for word, _ in found)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot read"),
        ("[]", "not a JSON object"),
        ("{", "cannot read"),
        ("\x00\ud7ff", "cannot read"),
        ("{}", "format is missing"),
        ('{"format": 2, "words": []}', "format must be 1"),
        ('{"format": 1}', "words is missing"),
        ('{"format": 1, "words": "cat"}', "words must be a list of words"),
        ('{"format": 1, "words": ["a cat"]}', "words must be a list of words"),
        ('{"format": 1, "words": [""]}', "words must be a list of words"),
        ('{"format": 1, "words": [1]}', "words must be a list of words"),
        ('{"format": 1, "words": [], "spare": {}}', "spare must be a list of words"),
    ],
)
def test_garbage_is_one_line_that_names_the_file(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError) as caught:
        read_lexicon(write(tmp_path, text))
    assert said in caught.value.message
    assert "lexicon.json" in caught.value.message
    assert "\n" not in caught.value.message


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KNOWN, "x"]), inner, max_size=4),
    )
)
def test_any_json_is_a_lexicon_or_refused(tmp_path_factory: pytest.TempPathFactory, values: Any) -> None:
    folder = write(tmp_path_factory.mktemp("base"), json.dumps(values))
    try:
        found = read_lexicon(folder)
    except BaseModelError as error:
        said = error.message
    else:
        said = "lexicon.json" if isinstance(found, Lexicon) and found.words == values["words"] else ""
    assert "lexicon.json" in said


def test_no_torch_is_needed() -> None:
    script = "import sys, tav.bases.lexicon; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
