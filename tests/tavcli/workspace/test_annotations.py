"""Stars, tags and scores: kept as they were given, and harmless when somebody else wrote the file."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.errors import SettingsError
from tavcli.workspace.annotations import MARKS, Marks, parse_tags, read_marks, write_marks
from tavcli.workspace.scores import SCORES, read_scores, write_scores

TAGS = st.lists(st.from_regex(r"[a-z0-9_][a-z0-9_-]{0,31}", fullmatch=True), unique=True).map(sorted).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.booleans(), TAGS)
def test_marks_come_back_and_no_marks_leave_no_file(tmp_path_factory, starred: bool, tags: tuple[str, ...]) -> None:
    folder, marks = tmp_path_factory.mktemp("edit"), Marks(starred, tags)
    write_marks(folder, marks)
    assert read_marks(folder) == marks
    write_marks(folder, Marks())
    assert read_marks(folder) == Marks()
    assert not any(folder.iterdir())


@given(TAGS)
def test_tags_are_read_as_they_are_written(tags: tuple[str, ...]) -> None:
    assert parse_tags(" ".join(tags)) == parse_tags(", ".join(tags)) == tags


@pytest.mark.parametrize("text", ["a!", "-a", "é b/c", "x" * 33])
def test_what_is_no_tag_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="is no tag"):
        parse_tags(text)


@given(st.one_of(JSON.map(json.dumps), st.text()))
def test_whatever_lies_there_is_read_as_marks_and_scores(tmp_path_factory, text: str) -> None:
    folder = tmp_path_factory.mktemp("edit")
    for name in (MARKS, SCORES):
        (folder / name).write_text(text, encoding="utf-8")
    write_marks(folder, read_marks(folder))
    assert all(isinstance(value, float) for value in read_scores(folder).values())


def test_scores_come_back_and_infinite_ones_are_left_out(tmp_path: Path) -> None:
    write_scores(tmp_path, {"psnr": 21.5, "other": float("inf")})
    assert read_scores(tmp_path) == {"psnr": 21.5}
