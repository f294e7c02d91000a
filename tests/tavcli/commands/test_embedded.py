"""The embedded base: the default, known by its name alone, so that a workspace on it can move to another machine."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tav.bases import inspect_base, resolve
from tav.bases.digest import base_digest
from tav.bases.embedded import EMBEDDED
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]


def test_the_main_job_with_no_base_named(done: Call, clip: Path, embedded: Path, tmp_path: Path) -> None:
    said = done(tmp_path, "--precision", "fp32", "init", clip, "w", "--caption", "a man")
    assert "base: storybook (embedded drawing base; for photographs choose one with --base)" in said.err
    workspace = Workspace(tmp_path / "w")
    assert workspace.read()["base"] == EMBEDDED
    made = done(tmp_path, "--json", "edit", "a cat").json()
    assert Path(made[0]["video"]).is_file()
    recipe = done(tmp_path, "--json", "show", "1").json()
    assert recipe["base"] == {"name": EMBEDDED, "digest": base_digest(inspect_base(embedded))}
    assert (recipe["steps"], recipe["tuned"]["steps"], recipe["guidance_scale"]) == (2, 2, 3.0)


@pytest.mark.usefixtures("embedded")
def test_a_workspace_names_no_place(done: Call, clip: Path, tmp_path: Path) -> None:
    done(tmp_path, "init", clip, "w", "--caption", "a man", "--base", EMBEDDED)
    done(tmp_path, "tune")
    texts = [path.read_text() for path in (tmp_path / "w").rglob("*") if path.suffix in (".toml", ".json", ".jsonl")]
    assert texts
    assert not [text for text in texts if str(tmp_path) in text]
    shutil.move(tmp_path / "w", tmp_path / "elsewhere")
    assert "tune: nothing to do, fresh" in done(tmp_path, "--dry-run", "edit", "a cat").out


@pytest.mark.usefixtures("embedded")
def test_a_folder_of_its_name_does_not_take_its_place(done: Call, clip: Path, tiny_base: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_base, tmp_path / EMBEDDED)
    done(tmp_path, "init", clip, "one", "--caption", "a man", "--base", EMBEDDED)
    shutil.copytree(tiny_base, tmp_path / "one" / EMBEDDED)
    assert done(tmp_path, "--json", "bases", "info", EMBEDDED).json()["latent channels"] == 8
    assert done(tmp_path / "one", "--json", "show").json()["settings"]["sample"]["guidance_scale"] == 3.0
    done(tmp_path, "init", clip, "two", "--caption", "a man", "--base", f"./{EMBEDDED}")
    assert Workspace(tmp_path / "two").read()["base"] == str(tmp_path / EMBEDDED)


def test_it_is_listed_and_explained(done: Call, embedded: Path, tmp_path: Path) -> None:
    (listed,) = done(tmp_path, "--json", "bases", "list").json()
    size = sum(path.stat().st_size for path in embedded.rglob("*") if path.is_file())
    assert listed == {"name": EMBEDDED, "path": str(embedded), "size": size, "place": "embedded", "gone": False}
    assert "embedded" in done(tmp_path, "bases", "list").out
    said = done(tmp_path, "bases", "info", EMBEDDED).out
    for line in ("latent channels: 8", "words:           3 known, 1 spare", "recommends:      size 32x32"):
        assert line in said
    assert "embedded base: storybook" in done(tmp_path, "doctor").out


def test_the_users_base_comes_first(
    done: Call, clip: Path, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAV_HOME", str(tmp_path))
    (tmp_path / "config.toml").write_text(f'base = "{tiny_base}"')
    said = done(tmp_path, "init", clip, "w", "--caption", "a man")
    assert "embedded" not in said.err
    assert Workspace(tmp_path / "w").read()["base"] == str(tiny_base)


def test_a_copy_without_its_weights_says_so(tav: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tav.bases.embedded.FOLDER", tmp_path / "nothing")
    said = tav(tmp_path, "bases", "info", EMBEDDED)
    assert said.code == 1
    assert "error: the embedded base storybook has no weights in this copy of tav" in said.err
    assert tav(tmp_path, "--json", "bases", "list").json() == []
    assert "none in this copy of tav" in tav(tmp_path, "doctor").out


def test_resolving_gives_the_packages_folder(embedded: Path) -> None:
    assert resolve(EMBEDDED) == embedded
