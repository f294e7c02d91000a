"""Finding a workspace, making one, and writing its settings file."""

import shutil
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.errors import SettingsError
from tavcli.config.templates import templates
from tavcli.workspace.folder import Workspace, create, find

VALUES = {"caption": "a man", "base": "b", "clip": {"source": "source.mp4", "frames": 6, "size": [32, 32]}}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path.resolve()


@pytest.fixture
def clip_file(here: Path) -> Path:
    (here / "clip.mp4").write_bytes(b"frames")
    return here / "clip.mp4"


def workspace(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "tav.toml").touch()
    return folder


def test_the_nearest_at_or_above_is_taken(here: Path) -> None:
    outer = workspace(here / "outer")
    inner = workspace(outer / "a" / "inner")
    deep = inner / "b" / "c"
    deep.mkdir(parents=True)
    assert find(outer).folder == outer
    assert find(outer / "a").folder == outer
    assert find(inner).folder == find(deep).folder == inner


def test_else_the_only_child(here: Path) -> None:
    with pytest.raises(SettingsError, match="no workspace here"):
        find(here)
    child = workspace(here / "child")
    workspace(here / "empty" / "grandchild")
    workspace(here / ".tmp-half-made")
    assert find(here).folder == child
    workspace(here / "another")
    with pytest.raises(SettingsError, match="several workspaces here: another, child") as refusal:
        find(here)
    assert refusal.value.hint == "choose one: tav -C another ..."


def test_flag_before_environment_before_place(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_place, by_environment, by_flag = (workspace(here / name) for name in "abc")
    monkeypatch.setenv("TAV_WORKSPACE", str(by_environment))
    assert find(by_place, by_flag).folder == by_flag
    assert find(by_place).folder == by_environment
    monkeypatch.setenv("TAV_WORKSPACE", "")
    assert find(by_place).folder == by_place
    monkeypatch.setenv("TAV_WORKSPACE", str(here / "nowhere"))
    with pytest.raises(SettingsError, match="nowhere is not a workspace"):
        find(by_place)


def test_a_relative_flag_gives_a_full_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = workspace(here / "w")
    monkeypatch.chdir(here)
    assert find(here, Path("w")).folder == folder


# --- create


def test_a_workspace_explains_itself(here: Path, clip_file: Path) -> None:
    made = create(here / "new" / "w", clip_file, VALUES)
    assert {path.name for path in made.folder.iterdir()} == {"tav.toml", "README.md", "source.mp4"}
    assert (made.folder / "source.mp4").read_bytes() == b"frames"
    assert made.read() == {"format": 1, **VALUES, "tune": {}, "invert": {}, "sample": {}}
    assert not list(here.rglob(".tmp-*"))


def test_what_a_killed_one_left_is_removed(here: Path, clip_file: Path) -> None:
    left = here / ".tmp-999999999-abcdef01"
    left.mkdir()
    (left / "source.mp4").write_bytes(b"fra")
    made = create(here / "w", clip_file, VALUES)
    assert not left.exists()
    assert (made.folder / "source.mp4").read_bytes() == b"frames"


def test_an_empty_folder_is_taken_and_a_full_one_is_not_touched(here: Path, clip_file: Path) -> None:
    (here / "empty").mkdir()
    create(here / "empty", clip_file, VALUES)
    full = here / "full"
    full.mkdir()
    (full / "letters").write_text("mine")
    for taken in (full, clip_file, here / "empty"):
        before = sorted((path, path.stat().st_mtime_ns) for path in here.rglob("*"))
        with pytest.raises(SettingsError, match="already there"):
            create(taken, clip_file, VALUES)
        assert sorted((path, path.stat().st_mtime_ns) for path in here.rglob("*")) == before


def test_the_folder_we_are_in_is_refused(here: Path, clip_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "w").mkdir()
    monkeypatch.chdir(here / "w")
    for name in (".", "../w", here / "w"):
        with pytest.raises(SettingsError, match="the folder you are in"):
            create(Path(name), clip_file, VALUES)
    assert here.joinpath("w").is_dir()


def test_a_failure_leaves_nothing(here: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        create(here / "a" / "w", here / "gone.mp4", VALUES)
    assert not list(here.glob("a/*"))


# --- remember


@pytest.fixture
def settings_file(here: Path) -> Workspace:
    shutil.copy(templates() / "workspace" / "settings.toml", here / "tav.toml")
    return Workspace(here)


def test_comments_and_order_are_kept(settings_file: Workspace) -> None:
    before = settings_file.settings_file.read_text()
    said = settings_file.remember({"caption": "a man", "tune": {"steps": 9}})
    after = settings_file.settings_file.read_text()
    assert said == ["caption = a man", "tune.steps = 9"]
    assert after.replace('caption = "a man"', 'caption = ""').replace("steps = 9\n", "", 1) == before


def test_what_is_there_already_is_not_written(settings_file: Workspace) -> None:
    settings_file.remember({"tune": {"steps": 9}, "clip": {"size": [32, 32]}})
    before = settings_file.settings_file.stat()
    assert settings_file.remember({"tune": {"steps": 9}, "clip": {"size": [32, 32]}}) == []
    assert settings_file.settings_file.stat().st_ino == before.st_ino


@pytest.mark.parametrize("text", ["", "tune.steps = 3\n", "tune = {steps = 3}\n", "[tune]\nsteps = 3 # few\n[clip]\n"])
def test_any_way_of_writing_a_table_is_understood(here: Path, text: str) -> None:
    (here / "tav.toml").write_text(text)
    assert Workspace(here).remember({"tune": {"steps": 9, "seed": 1}, "precision": "fp32"})
    values = tomllib.loads((here / "tav.toml").read_text())
    assert values["tune"] == {"steps": 9, "seed": 1}
    assert values["precision"] == "fp32"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("w")
    shutil.copy(templates() / "workspace" / "settings.toml", folder / "tav.toml")
    Workspace(folder).remember({"caption": text})
    assert Workspace(folder).read()["caption"] == text


def test_leftovers_of_a_killed_writer_are_removed(settings_file: Workspace) -> None:
    left = settings_file.folder / ".tmp-999999999-abcdef01.toml"
    left.touch()
    settings_file.remember({"caption": "x"})
    assert not left.exists()
