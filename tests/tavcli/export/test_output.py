"""`tav edit -o`, the sound, and `tav show FILE`: what leaves a workspace, and what can be read of it elsewhere."""

import json
import shlex
import subprocess
import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import tomlkit
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tav.metrics.fidelity import psnr
from tav.settings import ClipSettings
from tav.video import has_sound, probe, read_clip, read_recipe, write_video
from tavcli.config.files import read_toml
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]
NAMES = ["x.mp4", "x.webm", "x.gif", "x.webp", "x"]
RECIPE = {
    "tav": "0.1.0",
    "prompt": "a cat",
    "guidance_scale": 12.5,
    "negative_prompt": "",
    "vary": 0.0,
    "seed": 0,
    "inversion": True,
    "steps": 4,
    "precision": "fp32",
    "caption": "a man",
}


def make(path: Path, *more: str) -> Path:
    """A second of 96 x 64 at 12 frames a second, with a tone."""
    picture = "testsrc=size=96x64:rate=12:duration=1"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", "sine=frequency=500:duration=1"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *inputs, "-pix_fmt", "yuv420p"]
    subprocess.run([*command, *more, path], check=True)
    return path


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, done: Call) -> Path:
    """A workspace of a clip with sound and one edit, "a cat"."""
    folder = tmp_path_factory.mktemp("loud")
    make(folder / "clip.mp4")
    flags = ["--device", "cpu", "--precision", "fp32", "--frames", 6, "--start", 0.25, "--stride", 1, "--size", "32x32"]
    done(folder, "init", "clip.mp4", "w", "--caption", "a man", "--base", tiny_base, *flags)
    Workspace(folder / "w").remember({"tune": {"steps": 2}, "invert": {"steps": 2, "check": False}})
    done(folder / "w", "edit", "a cat")
    return folder / "w"


def video(folder: Path) -> Path:
    (path,) = folder.glob("edits/*/video.mp4")
    return path


def recipe_beside(path: Path) -> Path:
    return path / "recipe.toml" if path.suffix == "" else path.with_name(f"{path.name}.recipe.toml")


# --- -o


@pytest.mark.parametrize("name", NAMES)
def test_the_ending_chooses(done: Call, loud: Path, tmp_path: Path, name: str) -> None:
    done(loud, "edit", "a cat", "-o", tmp_path / name)
    recipe = read_toml(video(loud).with_name("edit.toml"))
    assert read_recipe(tmp_path / name) == recipe == read_toml(recipe_beside(tmp_path / name))
    if name == "x":
        assert sorted(path.name for path in (tmp_path / name).glob("*.png")) == [f"{n:05}.png" for n in range(6)]
    elif name in ("x.gif", "x.webp"):
        assert Image.open(tmp_path / name).n_frames == 6
    else:
        info = probe(tmp_path / name)
        assert (info.num_frames, has_sound(tmp_path / name)) == (6, True)
        assert float(info.fps) == pytest.approx(12, rel=2e-3)  # WebM counts in ms


def test_an_ending_slash_means_a_folder(done: Call, loud: Path, tmp_path: Path) -> None:
    done(loud, "edit", "a cat", "-o", f"{tmp_path}/new/frames/")
    done(loud, "edit", "a cat", "-o", f"{tmp_path}/new/frames/")  # what tav wrote, tav replaces
    assert len(list((tmp_path / "new" / "frames").glob("*.png"))) == 6
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["frames"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-o", "x.avi"], ".mp4, .webm, .gif, .webp"),
        (["-o", "x.png"], "name a folder"),
        (["-o", "v1.2/"], "no dot"),
        (["-o", "."], "is a folder that holds other files"),
        (["-o", "tav.toml/x.mp4"], "is not a folder"),
        (["-o", "README.md"], "no video can be written with this ending"),
        (["-o", "edits/x.gif", "--scale", "twice"], "there is only `source`"),
        (["--scale", "source"], "-o NAME"),
    ],
)
def test_a_bad_place_is_refused_before_anything_is_made(
    tav: Call, initial: Path, snapshot: Call, flags: list[str], words: str
) -> None:
    before = snapshot(initial, all_of_it=True)
    said = tav(initial, "edit", "a cat", *flags)
    assert said.code == 1
    assert words in said.err
    assert len(said.err.splitlines()) == 2
    assert snapshot(initial, all_of_it=True) == before


@pytest.mark.parametrize(("fit", "size"), [("crop", (64, 64)), ("letterbox", (96, 64))])
def test_scale_source_gives_back_the_clips_own_pixels(
    done: Call, loud: Path, tmp_path: Path, copy_of: Call, fit: str, size: tuple[int, int]
) -> None:
    folder = copy_of(loud)
    Workspace(folder).remember({"clip": {"fit": fit}})
    said = done(folder, "--json", "edit", "a cat", "-o", tmp_path / "x.mp4", "--scale", "source").json()
    info = probe(tmp_path / "x.mp4")
    assert (info.width, info.height, info.num_frames, info.fps) == (*size, 6, 12)
    assert has_sound(tmp_path / "x.mp4")
    own = Path(said[0]["video"])
    assert read_recipe(tmp_path / "x.mp4") == read_recipe(own) | {"scale": "source"}
    small = probe(own)
    assert (small.width, small.height) == ((32, 32) if fit == "crop" else (32, 22))
    again = read_clip(tmp_path / "x.mp4", ClipSettings(stride=1), (small.width, small.height)).frames
    frames = read_clip(own, ClipSettings(stride=1), (small.width, small.height)).frames
    assert psnr(frames, again) > 25 > psnr(frames, again[:, ::-1]) + 5  # the base is random: its pictures are noise


@pytest.fixture
def full_disk(tmp_path: Path, mounted: Callable[..., Any]) -> Iterator[Path]:
    """A disk with room for one page."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4k", "tmpfs") as folder:
        yield folder


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_keeps_the_edit_and_leaves_nothing(tav: Call, loud: Path, full_disk: Path, name: str) -> None:
    said = tav(loud, "edit", "a cat", "-o", full_disk / name)
    assert (said.code, said.out) == (1, "")
    error, hint = said.err.splitlines()[-2:]
    assert error.startswith(f"error: cannot write {full_disk / name}: ")
    assert "No space left" in error
    assert hint.strip()
    assert list(full_disk.iterdir()) == []
    assert video(loud).is_file()


def test_a_clip_out_of_step_loses_its_sound_and_that_is_said(done: Call, tiny_base: Path, tmp_path: Path) -> None:
    slower = ["-vf", "settb=1/1000,setpts='1000/12*(N+40*gt(N,6))'", "-fps_mode", "passthrough"]
    make(tmp_path / "clip.mp4", *slower, "-enc_time_base:v", "filter")
    flags = ["--device", "cpu", "--precision", "fp32", "--stride", 1, "--size", "32x32"]
    done(tmp_path, "init", "clip.mp4", "w", "--caption", "a man", "--base", tiny_base, *flags)
    Workspace(tmp_path / "w").remember({"tune": {"steps": 1}, "invert": {"steps": 1, "check": False}})
    said = done(tmp_path, "edit", "a cat")
    assert "edit 1 has no sound" in said.err
    assert not has_sound(video(tmp_path / "w"))


def test_equal_recipes_make_equal_bytes(done: Call, loud: Path, copy_of: Call) -> None:
    folder = copy_of(loud)
    before = video(folder).read_bytes()
    assert has_sound(video(folder))
    video(folder).unlink()
    done(folder, "edit", "a cat")
    assert video(folder).read_bytes() == before


# --- show FILE


@pytest.mark.parametrize("name", NAMES)
def test_show_reads_a_recipe_out_of_any_file(done: Call, loud: Path, tmp_path: Path, name: str) -> None:
    done(loud, "edit", "a cat", "-o", tmp_path / name)
    recipe = read_toml(video(loud).with_name("edit.toml"))
    for path in (tmp_path / name, recipe_beside(tmp_path / name)):
        said = done(tmp_path, "show", path)
        assert tomllib.loads(said.out) == recipe
        command = shlex.split(said.err.split("tuning: ")[1])
        assert done(tmp_path, "--json", "show", path).json().items() >= recipe.items()
    said = done(tmp_path, "show", name if name != "x" else "./x")
    command = shlex.split(said.err.split("tuning: ")[1])
    before = (tmp_path / name if name != "x" else tmp_path / "x" / "00001.png").read_bytes()
    assert "nothing to do" in done(loud, *(str(tmp_path / word) if word == name else word for word in command[1:])).err
    assert (tmp_path / name if name != "x" else tmp_path / "x" / "00001.png").read_bytes() == before


def test_an_edits_names_still_mean_the_edit(done: Call, loud: Path, tmp_path: Path) -> None:
    (loud / "1").touch()
    for name in ("1", "0001-a-cat"):
        assert "0001-a-cat (done)" in done(loud, "show", name).err
    assert "0001-a-cat (done)" in done(loud / "edits", "show", "0001-a-cat").err
    (loud / "1").unlink()
    assert tomllib.loads(done(tmp_path, "show", loud / "edits" / "0001-a-cat").out)["prompt"] == "a cat"


@pytest.mark.parametrize("name", ["nope.mp4", "empty.gif", "text.webp", "folder.d", ".", "plain.mp4", "x.toml"])
def test_what_has_no_recipe_is_refused(tav: Call, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.gif").touch()
    (tmp_path / "text.webp").write_text("hello")
    (tmp_path / "x.toml").write_text("= nothing")
    (tmp_path / "folder.d").mkdir()
    write_video(tmp_path / "plain.mp4", np.zeros((1, 16, 16, 3), np.uint8), 8)
    said = tav(tmp_path, "show", name)
    assert (said.code, said.out, len(said.err.splitlines())) == (1, "", 2), said


WRONG: list[dict[str, Any]] = [
    {"prompt": 3},
    {"steps": 0},
    {"steps": 10**30},
    {"seed": "0; reboot"},
    {"guidance_scale": float("nan")},
    {"precision": "fp31"},
    {"prompt": None},
    {"clip": {"size": [None]}},
    {"scale": "/etc/passwd"},
    {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": {}}}}}}}}}},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_recipes_are_one_error_line(tav: Call, tmp_path: Path, wrong: dict[str, Any]) -> None:
    write_video(tmp_path / "x.gif", np.zeros((1, 4, 4, 3), np.uint8), 8, {**RECIPE, **wrong})
    said = tav(tmp_path, "show", "x.gif")
    assert (said.code, said.out, len(said.err.splitlines())) == (1, "", 2), said
    assert "x.gif" in said.err


def harmless(text: str) -> bool:
    """Nothing in it that a terminal would obey."""
    return all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)


NASTY = st.text(max_size=30) | st.text("\x1b[]31m\x07\x9b\r\n\t\0\u202e\u200b\ud800'\"\\$`=#/é🎿", max_size=20)
VALUES = st.recursive(
    NASTY | st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
    max_leaves=6,
)
MORE = st.dictionaries(NASTY, VALUES, max_size=3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NASTY | st.sampled_from(sorted(RECIPE)), VALUES, max_size=3), NASTY, NASTY)
@example({}, "\x1b]0;pwned\x07[bold red]x[/]", "[/]")
@pytest.mark.parametrize("name", ["x.gif", "x.toml"])
def test_a_recipe_does_nothing_to_the_terminal(
    tav: Call, tmp_path: Path, name: str, more: dict[str, Any], prompt: str, negative: str
) -> None:
    recipe = {**RECIPE, "prompt": prompt, "negative_prompt": negative, **more}
    if name == "x.gif":
        write_file(tmp_path / name, recipe)
    else:
        try:
            (tmp_path / name).write_text(tomlkit.dumps(recipe), encoding="utf-8")
        except Exception:  # not all of it is TOML
            return
    for flags in ([], ["--json"]):
        said = tav(tmp_path, *flags, "show", name)
        assert said.code in (0, 1), said
        assert harmless(said.out), said
        assert harmless(said.err), said
        if said.code == 1:
            assert (said.out, len(said.err.splitlines())) == ("", 2)
    if said.code == 0 and name == "x.gif":
        assert tomllib.loads(tav(tmp_path, "show", name).out) == recipe


def write_file(path: Path, recipe: dict[str, Any]) -> None:
    """A GIF with this recipe as any program could write it."""
    data = json.dumps(recipe).encode()
    blocks = b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255))
    path.write_bytes(b"GIF89a\1\0\1\0\0\0\0\x21\xfe" + blocks + b"\0\x3b")


@pytest.mark.parametrize("prompt", ["it's a \x1b[31mcat", "a\nb\tc", "é🎿\u202e\\x", "a 'quoted' one"])
def test_the_command_says_the_prompt_exactly_to_bash(done: Call, tmp_path: Path, prompt: str) -> None:
    write_file(tmp_path / "x.gif", {**RECIPE, "prompt": prompt})
    command = done(tmp_path, "--json", "show", "x.gif").json()["command"]
    last = 'for last; do :; done; printf %s "$last"'
    script = f"set -- {command}\n{last}"
    printed = subprocess.run(["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}).stdout
    assert printed.decode() == prompt
