"""The user's list of bases: a name means the same everywhere, and nothing is lost by what cannot be added."""

import contextlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from one_file import write_one_file
from safetensors.torch import save_file

from tav.bases import inspect_base, load_base
from tav.errors import BaseModelError, SettingsError
from tavcli.config import bases
from tavcli.config.bases import Entry, find_base, known_bases, list_file, read_list
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of this test's own."""
    monkeypatch.setenv("TAV_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "Photo Real v1.5"))


@pytest.fixture
def checkpoint(make_tiny_base: Callable[..., Path], tmp_path: Path) -> Path:
    """A checkpoint of one file, of the tiny base's shapes, and the folder that it was made of."""
    dreamed = make_tiny_base(tmp_path / "dreamed", seed=7)
    return write_one_file(dreamed, tmp_path / "dream.safetensors")


def listed(done: Call, folder: Path) -> dict[str, dict[str, Any]]:
    return {base["name"]: base for base in done(folder, "--json", "bases", "list").json()}


# A folder -------------------------------------------------------------------------------------------------------------


def test_a_name_means_the_same_everywhere(done: Call, folder: Path, clip: Path, tmp_path: Path) -> None:
    assert done(tmp_path, "bases", "add", folder).out == "photo-real-v1.5\n"
    done(tmp_path, "bases", "add", "Photo Real v1.5", "--name", "photo")
    assert listed(done, tmp_path)["photo"]["place"] == "folder"
    (tmp_path / "elsewhere").mkdir()
    info = done(tmp_path / "elsewhere", "--json", "bases", "info", "photo").json()
    assert info["folder"] == str(folder)
    done(tmp_path / "elsewhere", "init", clip, "w", "--caption", "x", "--base", "photo")
    workspace = tmp_path / "elsewhere" / "w"
    assert Workspace(workspace).read()["base"] == "photo"
    assert done(workspace, "--json", "show").json()["stages"]["tuned"]["state"] == "missing"


def test_the_list_comes_before_a_folder_of_that_name(folder: Path, tmp_path: Path) -> None:
    bases.add("photo", Entry(path=str(folder)))
    (tmp_path / "photo").mkdir()
    assert find_base("photo", tmp_path) == folder
    assert find_base("./photo", tmp_path) == tmp_path / "photo"


def test_a_folder_that_is_gone_is_said_to_be(done: Call, tav: Call, folder: Path, clip: Path, tmp_path: Path) -> None:
    done(tmp_path, "bases", "add", folder, "--name", "photo")
    done(tmp_path, "init", clip, "w", "--caption", "x", "--base", "photo")
    shutil.move(folder, tmp_path / "away")
    assert listed(done, tmp_path)["photo"]["gone"]
    assert "folder, gone" in done(tmp_path, "bases", "list").out
    said = tav(tmp_path, "-C", "w", "tune")
    assert (said.code, said.err.splitlines()[0]) == (1, f"error: base photo is gone: no folder {folder}")
    shutil.move(tmp_path / "away", folder)
    assert not listed(done, tmp_path)["photo"]["gone"]


def test_removing_forgets_and_leaves_the_folder(done: Call, tav: Call, folder: Path, tmp_path: Path) -> None:
    done(tmp_path, "bases", "add", folder, "--name", "photo")
    done(tmp_path, "--dry-run", "bases", "remove", "photo")
    assert read_list().keys() == {"photo"}
    done(tmp_path, "bases", "remove", "photo")
    assert read_list() == {}
    assert inspect_base(folder)
    said = tav(tmp_path, "bases", "info", "phot")
    assert (said.code, "bases list" in said.err) == (1, True)


def test_removing_takes_nothing_that_tav_has_not_made(done: Call, folder: Path, tmp_path: Path) -> None:
    """Whatever the list says."""
    bases.add("photo", Entry(path=str(folder), converted_from="x.safetensors"))
    assert not done(tmp_path, "--json", "bases", "remove", "photo").json()["removed"]
    assert inspect_base(folder)


@pytest.mark.parametrize(
    ("name", "words"), [("storybook", "part of tav"), ("phot", "did you mean `photo`"), ("other", "bases list")]
)
def test_what_is_in_no_list_is_not_removed(name: str, words: str, folder: Path, tav: Call, tmp_path: Path) -> None:
    bases.add("photo", Entry(path=str(folder)))
    said = tav(tmp_path, "bases", "remove", name, "--yes")
    assert (said.code, words in said.err, read_list().keys()) == (1, True, {"photo"})


# What cannot be added -------------------------------------------------------------------------------------------------


def lora(path: Path) -> None:
    save_file({"unet.lora_up.weight": torch.zeros(2, 2)}, path / "bad.safetensors")


def without_text(path: Path) -> None:
    save_file(
        {"model.diffusion_model.x": torch.zeros(1), "first_stage_model.x": torch.zeros(1)}, path / "bad.safetensors"
    )


BAD: dict[str, tuple[Callable[[Path], object], list[str], str]] = {
    "nothing": (lambda _: None, ["bad"], "no folder"),
    "an empty folder": (lambda path: (path / "bad").mkdir(), ["bad"], "incomplete"),
    "a pickle": (lambda path: (path / "bad.ckpt").write_bytes(b"x"), ["bad.ckpt"], "pickle"),
    "a text": (lambda path: (path / "bad.txt").write_text("x"), ["bad.txt"], "no base"),
    "garbage": (lambda path: (path / "bad.safetensors").write_bytes(b"x" * 99), ["bad.safetensors"], "cannot read"),
    "a LoRA": (lora, ["bad.safetensors"], "a LoRA without unet"),
    "a part": (without_text, ["bad.safetensors"], "without text_encoder"),
    "a bad name": (lambda _: None, ["good", "--name", "a/b"], "no name for a base"),
    "a reserved name": (lambda _: None, ["good", "--name", "storybook"], "the embedded base"),
    "a taken name": (lambda _: None, ["good", "--name", "photo"], "already"),
    "configs for a folder": (lambda _: None, ["good", "--like", "photo"], "of its own"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_added_changes_nothing(
    what: str, tiny_base: Path, folder: Path, tav: Call, snapshot: Call, tmp_path: Path
) -> None:
    make, arguments, words = BAD[what]
    (tmp_path / "good").symlink_to(tiny_base)
    bases.add("photo", Entry(path=str(folder)))
    make(tmp_path)
    before = snapshot(tmp_path)
    said = tav(tmp_path, "bases", "add", "--yes", *arguments)
    assert (said.code, said.out, len(said.err.splitlines())) == (1, "", 2)
    assert words in said.err
    assert snapshot(tmp_path) == before


# A checkpoint of one file ---------------------------------------------------------------------------------------------


def test_a_file_is_converted_once(
    done: Call, tav: Call, checkpoint: Path, tiny_base: Path, home: Path, tmp_path: Path
) -> None:
    done(tmp_path, "bases", "add", tiny_base, "--name", "tiny")
    asked = tav(tmp_path, "bases", "add", checkpoint)
    assert (asked.code, "--yes" in asked.err, "about" in asked.err) == (1, True, True)
    planned = done(tmp_path, "--json", "--dry-run", "bases", "add", checkpoint).json()
    assert not (home / "bases").exists()
    made = done(tmp_path, "--json", "bases", "add", checkpoint, "--yes").json()
    assert planned == made
    assert (made["name"], made["like"]) == ("dream", "tiny")
    assert find_base("dream") == home / "bases" / "dream"
    assert listed(done, tmp_path)["dream"]["place"] == "converted file"
    one, other = load_base(home / "bases" / "dream"), load_base(tmp_path / "dreamed")
    for part in ("unet", "vae", "text_encoder"):
        weights, wanted = (getattr(base, part).state_dict() for base in (one, other))
        assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    assert tav(tmp_path, "bases", "add", checkpoint, "--yes").code == 1


def test_a_converted_base_is_removed_with_its_folder(
    done: Call, tav: Call, checkpoint: Path, tiny_base: Path, home: Path, tmp_path: Path
) -> None:
    done(tmp_path, "bases", "add", checkpoint, "--yes", "--like", tiny_base, "--name", "mine")
    assert tav(tmp_path, "bases", "remove", "mine").code == 1
    assert (home / "bases" / "mine" / "unet").is_dir()
    assert done(tmp_path, "--json", "bases", "remove", "mine", "--yes").json()["removed"]
    assert list((home / "bases").iterdir()) == []
    assert checkpoint.is_file()
    assert read_list() == {}


def test_the_configs_are_those_of_the_base_named(
    done: Call, checkpoint: Path, make_tiny_base: Callable[..., Path], tiny_base: Path, tmp_path: Path
) -> None:
    done(tmp_path, "bases", "add", tiny_base, "--name", "first")
    velocity = make_tiny_base(tmp_path / "velocity", prediction_type="v_prediction", seed=3)
    said = done(tmp_path, "bases", "add", checkpoint, "--yes", "--like", velocity)
    assert "predicts v_prediction" in said.err
    assert done(tmp_path, "--json", "bases", "info", "dream").json()["predicts"] == "v_prediction"


def test_without_a_base_of_its_family_it_says_what_to_fetch(
    tav: Call, checkpoint: Path, make_tiny_base: Callable[..., Path], home: Path, tmp_path: Path
) -> None:
    said = tav(tmp_path, "bases", "add", checkpoint, "--yes")
    assert (said.code, "no base here has configs" in said.err, "--like" in said.err) == (1, True, True)
    other = make_tiny_base(tmp_path / "other", latents=8)
    said = tav(tmp_path, "bases", "add", checkpoint, "--yes", "--like", other)
    assert (said.code, "is not like base" in said.err, len(said.err.splitlines())) == (1, True, 2)
    assert not (home / "bases").exists()


def test_what_lies_in_its_place_stays(tav: Call, checkpoint: Path, tiny_base: Path, home: Path, tmp_path: Path) -> None:
    (home / "bases" / "dream").mkdir(parents=True)
    (home / "bases" / "dream" / "mine.txt").write_text("x")
    said = tav(tmp_path, "bases", "add", checkpoint, "--yes", "--like", tiny_base)
    assert (said.code, "already there" in said.err) == (1, True)
    assert (home / "bases" / "dream" / "mine.txt").read_text() == "x"


# The file -------------------------------------------------------------------------------------------------------------

NAMES = st.from_regex(bases.NAME, fullmatch=True)
ENTRIES = st.builds(
    Entry,
    path=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1),
    converted_from=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
)


@settings(max_examples=25)
@given(entries=st.dictionaries(NAMES, ENTRIES, max_size=4))
def test_what_is_written_is_read_again(entries: dict[str, Entry]) -> None:
    list_file().unlink(missing_ok=True)
    for name, entry in entries.items():
        bases.add(name, entry)
    assert read_list() == entries
    for name in entries:
        bases.remove(name)
    assert read_list() == {}


BROKEN = [
    "",
    "[",
    "bases = 3",
    "[bases]\nx = 3",
    "[bases.x]",
    "[bases.x]\npath = ''",
    "[bases.'a/b']\npath = 'x'",
    "[x]",
]


@given(text=st.sampled_from(BROKEN) | st.text() | st.text("[]bases.x=\n'\"pth 0{}"))
def test_a_broken_list_is_said_to_be_and_left_alone(text: str) -> None:
    list_file().parent.mkdir(exist_ok=True)
    list_file().write_text(text, encoding="utf-8", errors="surrogatepass")
    before = list_file().read_bytes()
    with contextlib.suppress(SettingsError):
        read_list()
        return  # it happens to be one
    for ask in (lambda: find_base("photo"), lambda: bases.add("x", Entry(path="/x")), lambda: list(known_bases())):
        with pytest.raises(SettingsError, match=bases.LIST):
            ask()
    assert list_file().read_bytes() == before


def test_a_list_of_a_newer_tav_is_left_alone(tav: Call, folder: Path, home: Path, tmp_path: Path) -> None:
    home.mkdir()
    (home / bases.LIST).write_text("format = 99\n")
    said = tav(tmp_path, "bases", "add", folder)
    assert (said.code, "newer tav" in said.err) == (1, True)
    assert (home / bases.LIST).read_text() == "format = 99\n"


def test_nobody_overwrites_what_another_adds(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: bases.add(f"b{number}", Entry(path=str(folder))), range(16)))
    assert read_list().keys() == {f"b{number}" for number in range(16)}


def test_paths_in_the_list_are_from_the_list(folder: Path, home: Path) -> None:
    home.mkdir()
    (home / bases.LIST).write_text('[bases.photo]\npath = "../Photo Real v1.5"\n')
    assert find_base("photo") == folder


def test_a_listed_base_that_is_none_any_more_is_refused(folder: Path, tav: Call, tmp_path: Path) -> None:
    bases.add("photo", Entry(path=str(folder)))
    shutil.rmtree(folder / "unet")
    said = tav(tmp_path, "bases", "info", "photo")
    assert (said.code, "incomplete" in said.err) == (1, True)
    with pytest.raises(BaseModelError, match="no folder") as caught:
        find_base("phot")
    assert caught.value.hint == "did you mean `photo`?"
