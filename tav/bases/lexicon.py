"""The words that a base knows, from its `lexicon.json`, which is optional. No torch."""

import difflib
import re
import unicodedata
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tav.model_config import Config, read_config, read_json

FILE = "lexicon.json"
# Words as a CLIP tokenizer splits them, but "man's" and "2025" stay in one piece.
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+")
Words = Annotated[
    list[Annotated[str, Field(pattern=r"^\S{1,80}$")]],
    Field(max_length=1_000_000, description="a list of words"),
]


class Lexicon(Config):
    """The words that a base was trained on, and spare words, which have no meaning until they are tuned."""

    format: Annotated[Literal[1], Field(description="1 (a newer tav may read others)")]
    words: Words
    spare: Words = Field(default_factory=list)

    def unknown_words(self, text: str) -> list[tuple[str, list[str]]]:
        """(word, up to three known words, nearest first) for each word of `text` unknown to the base, once each."""
        return [(word, self._near(word)) for word in _words(text) if word not in self._known | self._spare]

    def spare_words(self, text: str) -> list[str]:
        """The spare words in `text`, once each."""
        return [word for word in _words(text) if word in self._spare - self._known]

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(_normal(word) for word in self.words)

    @cached_property
    def _spare(self) -> frozenset[str]:
        return frozenset(_normal(word) for word in self.spare)

    def _near(self, word: str) -> list[str]:
        # Sorted, so that ties have one result. Words as short as "on" do not help.
        candidates = sorted(known for known in self._known if len(known) > 2)
        return difflib.get_close_matches(word[:80], candidates, n=3, cutoff=0.5)


def read_lexicon(folder: Path) -> Lexicon | None:
    """The lexicon of the base in `folder`; None if it has none. Raises BaseModelError for an invalid file."""
    path = folder / FILE
    return read_config(Lexicon, read_json(path), str(path)) if path.is_file() else None


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(_WORD.findall(_normal(text))))


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()
