"""Edits on disk: their names, their numbers, their recipes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.errors import SettingsError
from tavcli.workspace.edits import Edit, all_edits, claim, find_edit, release, slug
from tavcli.workspace.folder import Workspace

RECIPE: dict[str, Any] = {
    "steps": 4,
    "caption": "x",
    "precision": "fp32",
    "tuned": {"key": "k"},
    "inverted": {},
    "guidance_scale": 12.5,
    "negative_prompt": "",
    "vary": 0.0,
    "seed": 0,
    "inversion": True,
}


def recipe(prompt: str) -> dict[str, Any]:
    return {"prompt": prompt, **RECIPE}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@given(st.text())
def test_a_slug_is_a_safe_file_name(prompt: str) -> None:
    name = slug(prompt)
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", name)
    assert len(name) <= 48
    assert slug(name) == name


def test_a_slug_can_be_read() -> None:
    assert slug("  A Café, in PARIS! ") == "a-cafe-in-paris"
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("x" * 99) == "x" * 48
    assert slug("滑雪") == ""


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_recipe_is_found_again_whatever_its_prompt(tmp_path_factory: pytest.TempPathFactory, prompt: str) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("edits"))
    edit = claim(workspace, recipe(prompt))
    assert edit.recipe == recipe(prompt)
    assert claim(workspace, recipe(prompt)) == edit
    assert claim(workspace, recipe(f"{prompt}.")).number == 2
    assert edit.folder.parent == workspace.edits


def test_numbers_go_on_whatever_they_are(workspace: Workspace) -> None:
    assert claim(workspace, recipe("a")).folder.name == "0001-a"
    assert claim(workspace, recipe("!")).folder.name == "0002"
    (workspace.edits / "0007-without-a-recipe").mkdir()
    assert claim(workspace, recipe("a b")).folder.name == "0008-a-b"
    for number in (9999, 10000, 10001, 100000):
        (workspace.edits / f"{number - 1:04d}-x").mkdir(exist_ok=True)
        assert claim(workspace, recipe(f"past {number}")).folder.name == f"{number:04d}-past-{number}"
    assert [edit.number for edit in all_edits(workspace)] == [1, 2, 8, 9999, 10000, 10001, 100000]
    assert find_edit(workspace, "10000").recipe["prompt"] == "past 10000"


def test_what_is_no_edit_is_left_alone(workspace: Workspace) -> None:
    claim(workspace, recipe("a"))
    for name in ("notes", "12th-try", "², not a number", ".hidden"):
        (workspace.edits / name).mkdir()
        (workspace.edits / name / "edit.toml").write_text("")
    (workspace.edits / "99-file").touch()
    assert [edit.number for edit in all_edits(workspace)] == [1]
    assert claim(workspace, recipe("b")).number == 100


def test_an_edit_is_done_when_its_video_is_there(workspace: Workspace) -> None:
    edit = claim(workspace, recipe("a"))
    assert not edit.done
    edit.video.touch()
    assert edit.done


def test_edits_are_found_by_number_and_by_name(workspace: Workspace) -> None:
    with pytest.raises(SettingsError, match="there are none yet"):
        find_edit(workspace, "1")
    edit = claim(workspace, recipe("a cat"))
    assert find_edit(workspace, "1") == find_edit(workspace, "0001") == find_edit(workspace, "0001-a-cat") == edit
    for name in ("2", "-1", "a-cat", "", "²"):
        with pytest.raises(SettingsError, match="there are 1 to 1"):
            find_edit(workspace, name)


def test_a_claim_given_up_leaves_no_trace_but_nothing_made_is_lost(workspace: Workspace) -> None:
    first, second = claim(workspace, recipe("a")), claim(workspace, recipe("b"))
    second.partial.touch()
    release(workspace, first)
    release(workspace, second)
    assert all_edits(workspace) == [Edit(second.folder)]


def test_leftovers_of_a_killed_claim_are_removed(workspace: Workspace) -> None:
    (workspace.edits / ".tmp-999999999-abcdef01").mkdir(parents=True)
    (workspace.edits / ".tmp-999999999-abcdef01" / "edit.toml").touch()
    claim(workspace, recipe("a"))
    assert [path.name for path in workspace.edits.iterdir()] == ["0001-a"]


def test_recipes_replay_in_a_copy(done: Callable[..., Any], edited: Path, copy_of: Callable[[Path], Path]) -> None:
    assert "nothing to do" in done(copy_of(edited), "edit", "a cat is skiing").err
