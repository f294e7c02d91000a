"""Words that a base does not know are said before anything is made, and the command goes on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tavcli.workspace.folder import Workspace

LEXICON = {"format": 1, "words": ["a", "cat", "is", "man", "moon", "on", "skiing", "the"], "spare": ["sks"]}
LION = 'warning: the base does not know "lion" (nearest: "moon")\n'
SPARE = 'warning: "sks" is a spare word of the base'


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    """A base that says which words it knows."""
    base = Path(shutil.copytree(tiny_base, tmp_path / "base"))
    (base / "lexicon.json").write_text(json.dumps(LEXICON))
    return base


@pytest.fixture
def workspace(base: Path, tuned: Path, copy_of: Callable[[Path], Path]) -> Path:
    """Tuned on another base of the same digest: the lexicon takes no part in it."""
    folder = copy_of(tuned)
    Workspace(folder).remember({"base": str(base)})
    return folder


def test_init_warns_of_each_word_once(tav: Callable[..., Any], clip: Path, base: Path, tmp_path: Path) -> None:
    arguments = ["init", clip, "w", "--caption", "A lion is on the Lion", "--base", base]
    for said in (tav(tmp_path, "--dry-run", *arguments), tav(tmp_path, *arguments)):
        assert said.code == 0
        assert said.err.count("warning") == said.err.count(LION) == 1


def test_a_base_without_a_lexicon_is_not_checked(
    tav: Callable[..., Any], clip: Path, tiny_base: Path, tmp_path: Path
) -> None:
    said = tav(tmp_path, "--dry-run", "init", clip, "w", "--caption", "sks lion", "--base", tiny_base)
    assert said.code == 0
    assert "warning" not in said.err


def test_edit_warns_and_goes_on(tav: Callable[..., Any], workspace: Path) -> None:
    said = tav(workspace, "--json", "-q", "edit", "a lion is skiing", "the lion", "--negative", "a tree")
    assert said.code == 0
    assert len(said.json()) == 2
    assert said.err.startswith(LION + 'warning: the base does not know "tree"')
    assert said.err.count("warning") == 2


def test_a_dry_run_warns_too(tav: Callable[..., Any], workspace: Path) -> None:
    said = tav(workspace, "--json", "--dry-run", "edit", "a lion is skiing")
    assert said.code == 0
    assert [step["stage"] for step in said.json()] == ["tune", "invert", "edit"]
    assert said.err == LION


def test_a_spare_word_means_something_once_it_is_tuned(tav: Callable[..., Any], workspace: Path) -> None:
    assert SPARE in tav(workspace, "--dry-run", "edit", "a sks cat").err
    Workspace(workspace).remember({"caption": "a Sks man is skiing"})
    assert "warning" not in tav(workspace, "--dry-run", "edit", "a sks cat").err


def test_a_broken_lexicon_is_refused_first(tav: Callable[..., Any], workspace: Path, base: Path) -> None:
    (base / "lexicon.json").write_text("[1, 2]")
    said = tav(workspace, "edit", "a cat is skiing")
    assert said.code == 1
    assert f"cannot read {base / 'lexicon.json'}" in said.err
    assert not (workspace / "edits").exists()
