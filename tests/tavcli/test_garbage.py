"""Whatever stands in a file that tav owns, it is named in one line or quietly made again: never a traceback.

And what a newer tav made is refused, and left as it is.
"""

import contextlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tav.formats import FORMAT
from tav.video import read_recipe
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]


def replaced(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def with_bytes(data: bytes) -> Call:
    return lambda path: path.write_bytes(data)


def folder_of_that_name(path: Path) -> None:
    replaced(path)
    (path / "inside").mkdir(parents=True)


def dangling_link(path: Path) -> None:
    replaced(path)
    path.symlink_to("nowhere")


def pipe(path: Path) -> None:
    replaced(path)
    os.mkfifo(path)


SPOILT: dict[str, Call] = {
    "empty": with_bytes(b""),
    "random bytes": with_bytes(random.Random(0).randbytes(3000)),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3]),
    "a list": with_bytes(b"[1, 2]"),
    "numbers for all": lambda path: path.write_bytes(_numbers(path)),
    "deep": with_bytes(b'{"a":' * 3000 + b"1" + b"}" * 3000),
    "a huge number": with_bytes(b'{"psnr": ' + b"9" * 5000 + b"}"),
    "surrogates": with_bytes(b'{"prompt": "\\udcff\\ud800", "psnr": NaN}'),
    "a folder": folder_of_that_name,
    "a dangling link": dangling_link,
    "a pipe": pipe,
}


def _numbers(path: Path) -> bytes:
    """The same names, other types."""
    text = path.read_bytes().decode(errors="ignore")
    if path.suffix == ".toml":
        lines = (line.split(" = ")[0] + " = 3" if " = " in line else line for line in text.splitlines())
        return "\n".join(lines).encode()
    with contextlib.suppress(ValueError):
        return json.dumps(dict.fromkeys(json.loads(text), 3)).encode()
    return b"3"


LOOK = ("ls", "show", "show 1", "--dry-run clean")
MORE, INVERT, CAT, BIRD = "tune --steps 7", "invert", "edit cat", "edit bird"
# Every file that a workspace or the user's own folder can have, what finds it, and who reads or writes it.
OWNED: dict[str, tuple[str, tuple[str, ...]]] = {
    "tav.toml": ("tav.toml", (*LOOK, MORE, CAT)),
    "clip": ("source.mp4", (*LOOK, MORE)),
    "frames": ("cache/frames-*", (MORE,)),
    "texts": ("cache/text-*", (MORE,)),
    "weights": ("tuned/*/attention.safetensors", ("show", BIRD)),
    "state": ("tuned/*/state.safetensors", ("show", MORE)),
    "log": ("tuned/*/steps.jsonl", ("show", MORE)),
    "tuned inputs": ("tuned/*/inputs.json", ("show", "--dry-run clean", MORE)),
    "latents": ("inverted/*/latents.safetensors", (INVERT, BIRD)),
    "score": ("inverted/*/check.json", (INVERT,)),
    "score sheet": ("inverted/*/sheet.png", (INVERT,)),
    "inverted inputs": ("inverted/*/inputs.json", ("show", "--dry-run clean", INVERT)),
    "unfinished check": ("inverted/*/check-partial.safetensors", (INVERT,)),
    "recipe": ("edits/*/edit.toml", (*LOOK, CAT)),
    "made": ("edits/*/made.json", ("show 1", CAT)),
    "video": ("edits/*/video.mp4", ("ls", CAT)),
    "sheet": ("edits/*/sheet.png", ("ls", CAT)),
    "unfinished edit": ("edits/*/partial.safetensors", ("ls", "edit dog")),
    "lock": (".locks/tuned-*.lock", (MORE,)),
    "holder": (".locks/tuned-*.json", (MORE,)),
    "tuned": ("tuned", (*LOOK, MORE)),
    "inverted": ("inverted", (*LOOK, INVERT)),
    "edits": ("edits", (*LOOK, CAT)),
    "cache": ("cache", (*LOOK, BIRD)),
    "locks": (".locks", ("ls", BIRD)),
    "user settings": ("home/config.toml", ("ls", "--dry-run init source.mp4 w --caption x")),
    "digests": ("home/cache/digests.json", ("show",)),
}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, edited: Path, settle: Call, done: Call) -> Path:
    """A workspace with a file of every kind."""
    folder = Path(shutil.copytree(edited, tmp_path_factory.mktemp("full") / "clip"))
    settle(folder, {"invert": {"steps": 2, "check": True}})
    done(folder, "edit", "cat", "dog")
    (folder / "edits" / "0003-dog" / "video.mp4").unlink()
    (latents,) = folder.glob("inverted/*/check.json")
    latents = latents.with_name("latents.safetensors")
    for partial in (latents.with_name("check-partial.safetensors"), folder / "edits/0003-dog/partial.safetensors"):
        save_file(load_file(latents), partial, {"tav-1": '{"kind": "latents", "provenance": {"done": 1}}'})
    lock = next(folder.glob(".locks/tuned-*.lock"))
    lock.with_suffix(".json").write_text("{}")
    home = folder / "home"
    (home / "cache").mkdir(parents=True)
    (home / "config.toml").write_text('base = "storybook"\n')
    (home / "cache" / "digests.json").write_text("{}")
    # What was measured on this machine need not be measured again for each kind of garbage.
    shutil.copy(Path(os.environ["TAV_HOME"]) / "cache" / "calibration.json", home / "cache")
    return folder


# Without these no edit can be made.
NEEDED = {"tav.toml", "weights", "latents", "recipe"}
# What is no file is as good as not there. (And settings cut at the end of a line are settings.)
GONE = {"a folder", "a dangling link", "a pipe"}
# Made again, or never looked at: a few kinds of garbage are enough, since these runs take their time.
QUIET = {
    "frames",
    "texts",
    "lock",
    "holder",
    "video",
    "sheet",
    "score sheet",
    "cache",
    "locks",
    "score",
    "tuned inputs",
    "log",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", OWNED)
def test_garbage_is_named_or_made_again(
    tav: Call, full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    pattern, commands = OWNED[what]
    for kind in list(SPOILT)[:: 3 if what in QUIET else 1]:
        folder = Path(shutil.copytree(full, tmp_path / kind))
        monkeypatch.setenv("TAV_HOME", str(folder / "home"))
        spoilt = list(folder.glob(pattern))
        assert spoilt
        for path in spoilt:
            if path.is_dir():
                replaced(path)
                path.write_bytes(b"x" * 99)
            SPOILT[kind](path)
        for command in commands:
            said = tav(folder, "-q", *command.split())
            assert said.code in (0, 1), (kind, command, said)
            if said.code == 1:
                error, hint = [line for line in said.err.splitlines() if not line.startswith("warning: ")]
                assert error.startswith("error: "), (kind, command, said)
                assert hint.startswith("  ")
                about = {name for path in spoilt for name in (path.name, path.parent.name)} | {
                    "no workspace here",
                    "there is no edit",
                }
                assert any(name in said.err for name in about), (kind, command, said)
            elif what in NEEDED and "edit" in command and kind not in GONE and (what, kind) != ("tav.toml", "cut"):
                raise AssertionError((kind, command, said))
            assert not list(folder.rglob(".tmp*"))
        shutil.rmtree(folder)


# --- what a newer tav made


def newer_settings(folder: Path) -> None:
    text = (folder / "tav.toml").read_text()
    (folder / "tav.toml").write_text(f"{text.replace('format = 1', 'format = 2')}\n[strength]\nladder = 3\n")


def newer_recipe(folder: Path) -> None:
    path = folder / "edits" / "0001-a-cat-is-skiing" / "edit.toml"
    path.write_text(path.read_text().replace("format = 1", "format = 2"))


def newer_inputs(folder: Path) -> None:
    (path,) = folder.glob("tuned/*/inputs.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))


def newer_tensors(pattern: str) -> Call:
    def change(folder: Path) -> None:
        (path,) = folder.glob(pattern)
        save_file(load_file(path), path, {"tav-2": "{}"})

    return change


NEWER: dict[str, tuple[Call, tuple[list[str], ...]]] = {
    "workspace": (
        newer_settings,
        (["ls"], ["show"], ["show", "1"], ["tune"], ["invert"], ["edit", "x"], ["clean", "--yes"], ["tune", "--fresh"]),
    ),
    "recipe": (newer_recipe, (["ls"], ["show", "1"], ["edit", "x"], ["clean", "--yes"])),
    "inputs": (newer_inputs, (["tune", "--steps", "9"], ["clean", "--yes"])),
    "weights": (newer_tensors("tuned/*/attention.safetensors"), (["edit", "x"], ["invert", "--steps", "3"])),
    "state": (newer_tensors("tuned/*/state.safetensors"), (["tune", "--steps", "9"],)),
    "latents": (newer_tensors("inverted/*/latents.safetensors"), (["edit", "x"],)),
}


@pytest.mark.parametrize("kind", NEWER)
def test_what_a_newer_tav_made_is_refused_and_untouched(
    tav: Call, edited: Path, copy_of: Call, snapshot: Call, kind: str
) -> None:
    folder = copy_of(edited)
    change, commands = NEWER[kind]
    change(folder)
    for command in commands:
        settings = (folder / "tav.toml").read_text()
        before = snapshot(folder)
        said = tav(folder, "-q", *command)
        assert said.code == 1, (command, said)
        assert f"was made by a newer tav (format {FORMAT + 1}; this one knows up to {FORMAT})" in said.err
        assert "update tav" in said.err
        (folder / "tav.toml").write_text(settings)
        after = snapshot(folder)
        assert {**after, "tav.toml": 0} == {**before, "tav.toml": 0}


def test_doctor_says_so_too(tav: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    newer_settings(folder)
    said = tav(folder, "doctor")
    assert said.code == 1
    assert "was made by a newer tav" in said.err


def test_a_workspace_without_the_number_is_an_old_one(done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    text = (folder / "tav.toml").read_text()
    assert "format = 1\n" in text
    (folder / "tav.toml").write_text(text.replace("format = 1\n", ""))
    (inputs,) = folder.glob("tuned/*/inputs.json")
    inputs.write_text(
        json.dumps({name: value for name, value in json.loads(inputs.read_text()).items() if name != "format"})
    )
    for command in (["tune"], ["edit", "a cat is skiing"]):
        assert "nothing to do" in done(folder, *command).err
    assert "going on from step 6" in done(folder, "tune", "--steps", 8).err
    assert Workspace(folder).read()["tune"]["steps"] == 8


def test_everything_carries_the_number(edited: Path) -> None:
    assert Workspace(edited).read()["format"] == FORMAT
    assert json.loads(next(edited.glob("tuned/*/inputs.json")).read_text())["format"] == FORMAT
    assert read_recipe(next(edited.glob("edits/*/video.mp4")))["format"] == FORMAT
