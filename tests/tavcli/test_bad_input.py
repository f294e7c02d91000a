"""Bad input is refused with one line and one hint, exit code 1, and nothing half-written."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from tav.tensor_files import read_tensors, save_tensors
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]
Break = Callable[[Path], object]


def refused(said: Any, *words: str) -> None:
    """One error line, one hint line, nothing else; all of `words` are said in them."""
    assert said.code == 1, said
    assert said.out == ""
    error, hint = said.err.splitlines()
    assert error.startswith("error: ")
    assert not error.endswith(".")
    assert hint.startswith("  ")
    assert hint.strip()
    for word in words:
        assert word in said.err


@pytest.fixture
def refuses(tav: Call, snapshot: Call) -> Callable[..., None]:
    """`refuses(folder, [arguments], words...)`: the command is refused and the folder is as before."""

    def check(folder: Path, arguments: list[object], *words: str) -> None:
        before = snapshot(folder)
        refused(tav(folder, "-q", *arguments), *words)
        assert snapshot(folder) == before

    return check


# --- clips


def write(data: bytes) -> Callable[[Path, Path], object]:
    return lambda bad, _: bad.write_bytes(data)


CLIPS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "not a video": (write(b"just some words\n" * 50), "bad.mp4 is not a video"),
    "empty": (write(b""), "bad.mp4 is empty"),
    "truncated": (lambda bad, clip: bad.write_bytes(clip.read_bytes()[:-400]), "cut off"),
    "without its head": (lambda bad, clip: bad.write_bytes(clip.read_bytes()[40:]), "bad.mp4"),
    "missing": (lambda _, __: None, "there is no file bad.mp4"),
    "folder": (lambda bad, _: bad.mkdir(), "bad.mp4 is a folder"),
    "pipe": (lambda bad, _: os.mkfifo(bad), "not a regular file"),
    "playlist": (lambda bad, clip: bad.write_text(f"#EXTM3U\n#EXTINF:1,\n{clip}\n"), "not a video"),
}


@pytest.mark.parametrize("kind", CLIPS)
def test_a_bad_clip(tav: Call, clip: Path, tiny_base: Path, tmp_path: Path, kind: str) -> None:
    make, words = CLIPS[kind]
    make(tmp_path / "bad.mp4", clip)
    before = [(path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")]
    refused(tav(tmp_path, "-q", "init", "bad.mp4", "w", "--caption", "x", "--base", tiny_base), words)
    assert [(path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")] == before


INIT = {
    "--frames 7": "there are only 6",
    "--frames 4 --stride 2": "only 3",
    "--frames 0": "frames",
    "--start 9": "behind the last frame",
    "--start -1": "start",
    "--stride 0": "stride must be at least 1",
    "--stride often": "stride",
    "--stride evenly": "whole number",
    "--stride 2 --fps 3": "stride and fps exclude each other",
    "--fps 30": "more than the clip's own 12",
    "--fps nan": "fps",
    "--size big": "a size is WIDTHxHEIGHT",
    "--size 32x": "a size is WIDTHxHEIGHT",
    "--size 32x4": "size",
    "--size 33x32": "the nearest is 32x32",
    "--fit squash": "fit",
    "--preset papre": "did you mean `paper`?",
    "--preset paper": "32 frames are asked for",
    "--device tpu": "device",
    "--precision fp8": "precision",
    "--base nowhere": "no folder nowhere",
    "--base ~nobody-here/x": "no folder ~nobody-here/x",
    "--base someone/something": "`tav bases fetch someone/something`",
}


@pytest.mark.parametrize("flags", INIT)
def test_bad_flags_of_init(refuses: Call, clip: Path, tiny_base: Path, tmp_path: Path, flags: str) -> None:
    base = [] if "--base" in flags else ["--base", tiny_base]
    refuses(tmp_path, ["init", clip, "--caption", "x", *base, *flags.split()], INIT[flags])


def test_no_caption_and_nobody_to_ask(refuses: Call, clip: Path, tiny_base: Path, tmp_path: Path) -> None:
    refuses(tmp_path, ["init", clip, "--base", tiny_base], "the caption is missing", "--caption")
    refuses(tmp_path, ["init", clip, "--base", tiny_base, "--caption", ""], "caption")
    refuses(tmp_path, ["init", clip, "--base", tiny_base, "--caption", os.fsdecode(b"\xff")], "caption")


def test_no_embedded_base(refuses: Call, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tav.bases.embedded.FOLDER", tmp_path / "nothing")
    for base in ([], ["--base", "storybook"]):
        refuses(tmp_path, ["init", clip, "--caption", "x", *base], "storybook has no weights", "--base FOLDER")


def test_a_folder_that_is_taken(refuses: Call, clip: Path, tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "letters.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for target in ([], ["file"], ["."], ["clip/.."]):
        refuses(tmp_path, ["init", clip, *target, "--caption", "x", "--base", tiny_base])


def test_the_folder_we_are_in(refuses: Call, clip: Path, tiny_base: Path, tmp_path: Path) -> None:
    refuses(tmp_path, ["init", clip, ".", "--caption", "x", "--base", tiny_base], "folder")


# --- workspaces


def test_no_workspace(refuses: Call, tmp_path: Path, initial: Path) -> None:
    refuses(tmp_path, ["tune"], "no workspace here", "tav init CLIP")
    refuses(tmp_path, ["-C", "nowhere", "tune"], "nowhere is not a workspace")
    for name in "ab":
        shutil.copytree(initial, tmp_path / name)
    refuses(tmp_path, ["edit", "x"], "several workspaces here: a, b", "tav -C a")


COMMANDS = (["tune"], ["invert"], ["edit", "a dog"], ["show"], ["clean"])
TOML: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown setting": ("[tune]\nstepz = 3", ("unknown setting `tune.stepz`", "did you mean `steps`?")),
    "unknown section": ("[tuning]\nsteps = 3", ("unknown setting `tuning`", "did you mean `tune`?")),
    "wrong type": ('[tune]\nsteps = "many"', ("tune.steps", "'many'")),
    "number for a section": ("tune = 3", ("tune",)),
    "list for a number": ("[sample]\nguidance_scale = [1]", ("sample.guidance_scale",)),
    "out of bounds": ("[invert]\nsteps = 0", ("invert.steps",)),
    "not a number": ("[sample]\nguidance_scale = nan", ("sample.guidance_scale",)),
    "syntax": ("[tune\nsteps = 3", ("tav.toml is not valid TOML", "line")),
    "brackets without end": ("x = " + "[" * 5000, ("tav.toml is not valid TOML",)),
    "endless number": ("x = " + "9" * 5000, ("tav.toml is not valid TOML",)),
    "unknown preset": ('preset = "drfat"', ("there is no preset `drfat`", "did you mean `draft`?")),
    "preset of another type": ("preset = 3", ("preset",)),
    "unknown device": ('device = "tpu"', ("device",)),
    "no clip": ('caption_of = "source"', ("clip: must be given",)),
    "no source": ("[clip]\nframes = 3 # of the source", ("clip.source: must be given",)),
    "empty source": ('[clip]\nsource = ""', ("clip.source",)),
    "impossible source": ('[clip]\nsource = "a\\u0000b"', ("clip.source",)),
}


@pytest.mark.parametrize("kind", TOML)
def test_a_bad_settings_file(refuses: Call, initial: Path, copy_of: Call, kind: str) -> None:
    folder, (text, words) = copy_of(initial), TOML[kind]
    known = f'caption = "x"\nbase = "{Workspace(folder).read()["base"]}"\n'
    section, clip = text.startswith("["), "" if "source" in text else '[clip]\nsource = "source.mp4"\n'
    (folder / "tav.toml").write_text(f"{known}{clip}{text}" if section else f"{known}{text}\n{clip}")
    for command in COMMANDS:
        refuses(folder, command, *words)


def test_bytes_that_are_no_text(refuses: Call, initial: Path, copy_of: Call) -> None:
    folder = copy_of(initial)
    (folder / "tav.toml").write_bytes(b'caption = "\xff"')
    refuses(folder, ["show"], "tav.toml is not valid TOML")


def test_a_source_that_is_gone_or_cut(refuses: Call, initial: Path, copy_of: Call) -> None:
    folder = copy_of(initial)
    (folder / "source.mp4").write_bytes((folder / "source.mp4").read_bytes()[:-400])
    refuses(folder, ["tune"], "cut off")
    (folder / "source.mp4").unlink()
    refuses(folder, ["tune"], "source.mp4")


FLAGS = {
    "--device tpu tune": "device",
    "--precision fp8 tune": "precision",
    "tune --steps 0": "tune.steps",
    "tune --lr 0": "tune.learning_rate",
    "tune --scope down": "tune.scope",
    "invert --steps 501": "invert.steps",
    "edit x --guidance -1": "sample.guidance_scale",
    "edit x --vary 1.5": "sample.vary",
    "edit x --seed -1": "sample.seed",
    "edit x y -o out.mp4": "-o takes one prompt",
    "edit x -o .": "is a folder",
    "show 7": "there is no edit `7`",
    "show cat": "there is no edit `cat`",
}


@pytest.mark.parametrize("line", FLAGS)
def test_bad_flags(refuses: Call, tuned: Path, line: str) -> None:
    refuses(tuned, line.split(), FLAGS[line])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device here")
def test_a_device_that_is_not_there(refuses: Call, initial: Path) -> None:
    refuses(initial, ["tune", "--device", "cuda"], "no cuda device", "available: ")


@pytest.mark.parametrize("prompts", [[""], ["a cat", "  \t"], [os.fsdecode(b"a \xff cat")]])
def test_prompts_without_words(refuses: Call, tuned: Path, prompts: list[str]) -> None:
    refuses(tuned, ["edit", *prompts], "prompt")


def test_an_edit_that_is_not_there(refuses: Call, edited: Path) -> None:
    refuses(edited, ["show", "2"], "there is no edit `2`; there are 1 to 1", "tav ls")


def test_a_recipe_that_tav_did_not_write(refuses: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    (folder / "edits" / "0002-x").mkdir()
    (folder / "edits" / "0002-x" / "edit.toml").write_text('prompt = "x"')
    for command in (["ls"], ["show", "2"], ["edit", "a dog"], ["clean"]):
        refuses(folder, command, "0002-x/edit.toml")


# --- bases


@pytest.fixture
def with_base(copy_of: Call, tmp_path: Path, tiny_base: Path, initial: Path, settle: Call) -> Path:
    """A workspace whose base, beside it in `base`, may be broken."""
    folder = copy_of(initial)
    shutil.copytree(tiny_base, tmp_path / "base")
    settle(folder, {"base": str(tmp_path / "base")})
    return folder


def test_a_base_with_parts_missing(refuses: Call, with_base: Path, tmp_path: Path) -> None:
    (tmp_path / "base" / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    shutil.rmtree(tmp_path / "base" / "tokenizer")
    (tmp_path / "base" / "scheduler" / "scheduler_config.json").unlink()
    for command in COMMANDS:
        if command != ["show"]:  # which needs no base
            refuses(with_base, command, "vae weights", "tokenizer", "scheduler/scheduler_config.json")


def test_a_base_that_was_not_fetched(refuses: Call, initial: Path, copy_of: Call, settle: Call) -> None:
    folder = copy_of(initial)
    settle(folder, {"base": "some-one/some-thing"})
    refuses(folder, ["tune"], "some-one/some-thing is not on this machine", "`tav bases fetch some-one/some-thing`")


PARTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


@pytest.mark.parametrize("part", PARTS)
def test_unreadable_weights_of_a_base(refuses: Call, with_base: Path, tmp_path: Path, part: str) -> None:
    file = tmp_path / "base" / part / PARTS[part]
    file.write_bytes(file.read_bytes()[:-64])
    refuses(with_base, ["tune"], f"cannot read {file}")
    file.write_bytes(b"\xff" * 999)
    refuses(with_base, ["edit", "a dog"], f"cannot read {file}")


@pytest.mark.parametrize("part", PARTS)
def test_weights_of_another_network(refuses: Call, with_base: Path, tmp_path: Path, part: str) -> None:
    file = tmp_path / "base" / part / PARTS[part]
    weights = load_file(file)
    first = sorted(weights)[0]
    save_file(weights | {first: torch.zeros(3, 3, 3)}, file)
    refuses(with_base, ["tune"], first)
    save_file({name: value for name, value in weights.items() if name != first}, file)
    refuses(with_base, ["tune"], first)


class Malice:
    """Runs on unpickling."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("part", PARTS)
def test_a_pickle_does_not_run(refuses: Call, with_base: Path, tmp_path: Path, part: str) -> None:
    file = tmp_path / "base" / part / PARTS[part]
    pickled = file.with_name({"text_encoder": "pytorch_model.bin"}.get(part, "diffusion_pytorch_model.bin"))
    weights: dict[str, Any] = load_file(file)
    file.unlink()
    for save in (torch.save, lambda value, to: to.write_bytes(pickle.dumps(value))):
        save(weights | {"malice": Malice(tmp_path / "trace")}, pickled)
        refuses(with_base, ["tune"], str(pickled), "nothing in it was run")
        assert not (tmp_path / "trace").exists()
    pickle.loads(pickled.read_bytes())
    assert (tmp_path / "trace").is_dir(), "it would have run"


# --- results


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def garbage(file: Path) -> None:
    file.write_bytes(b"\xff" * 999)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-64])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def foreign(file: Path) -> None:
    save_file({"x": torch.zeros(2)}, file, {"format": "pt"})


def without_metadata(file: Path) -> None:
    save_file(load_file(file), file)


def of_another_kind(file: Path) -> None:
    save_tensors(file, "something", load_file(file), {})


BROKEN = [garbage, cut, emptied, foreign, without_metadata, of_another_kind]


@pytest.mark.parametrize("spoil", BROKEN)
def test_bad_tuned_weights(refuses: Call, done: Call, edited: Path, copy_of: Call, spoil: Break) -> None:
    folder = copy_of(edited)
    spoil(only(folder, "tuned/*/attention.safetensors"))
    for command in (["invert"], ["edit", "a dog"], ["edit", "a dog", "--no-inversion"]):
        refuses(folder, command, "attention.safetensors", "`tav tune --fresh` makes it again")
    done(folder, "tune", "--fresh")
    done(folder, "edit", "a dog")


def test_tuned_weights_of_another_network(refuses: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    file = only(folder, "tuned/*/attention.safetensors")
    tensors, provenance = read_tensors(file, "tuned")
    save_tensors(file, "tuned", {name: value[..., :1] for name, value in tensors.items()}, provenance)
    refuses(folder, ["edit", "a dog"], "belongs to another network")


def test_tuned_weights_of_another_clip(refuses: Call, edited: Path, copy_of: Call) -> None:
    """They fit, so only their provenance tells."""
    folder = copy_of(edited)
    file = only(folder, "tuned/*/attention.safetensors")
    tensors, provenance = read_tensors(file, "tuned")
    save_tensors(file, "tuned", tensors, provenance | {"caption": "another clip"})
    refuses(folder, ["edit", "a dog"], "attention.safetensors was made from something else: other caption")
    refuses(folder, ["invert"], "other caption", "`tav tune --fresh` makes it again")


@pytest.mark.parametrize("spoil", BROKEN)
def test_bad_inverted_latents(refuses: Call, edited: Path, copy_of: Call, spoil: Break) -> None:
    folder = copy_of(edited)
    spoil(only(folder, "inverted/*/latents.safetensors"))
    refuses(folder, ["edit", "a dog"], "latents.safetensors")


def test_inverted_latents_of_another_clip(refuses: Call, done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    file = only(folder, "inverted/*/latents.safetensors")
    save_tensors(file, "latents", {"latents": torch.zeros(1, 4, 3, 8, 8)}, {"clip": "another"})
    refuses(folder, ["edit", "a dog"], "latents.safetensors was made from something else", "is made again")
    shutil.rmtree(file.parent)
    done(folder, "edit", "a dog")


@pytest.mark.parametrize("spoil", BROKEN)
def test_a_bad_resume_state(refuses: Call, done: Call, tuned: Path, copy_of: Call, spoil: Break, settle: Call) -> None:
    folder = copy_of(tuned)
    settle(folder, {"tune": {"steps": 8}})
    spoil(only(folder, "tuned/*/state.safetensors"))
    refuses(folder, ["tune"], "state", "`tav tune --fresh` starts again")
    done(folder, "tune", "--fresh")


def test_a_resume_state_of_another_network(refuses: Call, tuned: Path, copy_of: Call, settle: Call) -> None:
    folder = copy_of(tuned)
    settle(folder, {"tune": {"steps": 8}})
    file = only(folder, "tuned/*/state.safetensors")
    state = load_file(file)
    save_tensors(file, "state", {name: value for name, value in state.items() if name != "random_state"}, {})
    refuses(folder, ["tune"], "`tav tune --fresh` starts again")
    first = next(name for name in sorted(state) if name.startswith("parameter/"))
    save_tensors(file, "state", state | {first: torch.zeros(1)}, {})
    refuses(folder, ["tune"], "the resume state belongs to another network")


@pytest.mark.parametrize("spoil", BROKEN)
def test_a_bad_cache_is_made_again(done: Call, edited: Path, copy_of: Call, spoil: Break) -> None:
    folder = copy_of(edited)
    shutil.rmtree(folder / "edits")
    for file in (folder / "cache").iterdir():
        spoil(file)
    done(folder, "edit", "a cat is skiing")
    video = "edits/0001-a-cat-is-skiing/video.mp4"
    assert (folder / video).read_bytes() == (edited / video).read_bytes()


# --- what is only warned of


def test_a_prompt_that_is_too_long(done: Call, edited: Path, copy_of: Call) -> None:
    said = done(copy_of(edited), "-q", "edit", f"a cat {'x ' * 100}and a lighthouse")
    (line,) = said.err.splitlines()
    assert line.startswith("warning: the text encoder reads only the start of “a cat ")
    assert line.endswith("x and a lighthouse”")


def test_a_seed_that_changes_nothing(done: Call, edited: Path, copy_of: Call) -> None:
    said = done(copy_of(edited), "-q", "edit", "a dog", "--seed", 3)
    assert said.err == "warning: a seed changes nothing without --vary or --no-inversion\n"


# --- anything at all in tav.toml

SECTIONS = ["clip", "tune", "invert", "sample", "nonsense"]
NAMES = st.one_of(
    st.sampled_from(["caption", "base", "preset", "device", "precision", "frame_attention", "steps", "stepz", "fps"]),
    st.sampled_from(["stride", "size", "frames", "start", "fit", "source", "learning_rate", "scope", "check", "vary"]),
    st.sampled_from(["seed", "", "a.b", '"']),
)
VALUES = st.one_of(
    st.sampled_from(["3", "0.5", "true", '"x"', '"uniform"', "[32, 32]", "[]", "{}", "nan", "1979-05-27", '"\\u0000"']),
    st.sampled_from(['"paper"', '"auto"', "-1", "1e400", "0x10", "[[1], {a = 2}]", "99999999999999999999", '""']),
    st.text(max_size=8),
)
LINES = st.one_of(
    st.builds("{} = {}".format, NAMES, VALUES),
    st.builds("{}.{} = {}".format, st.sampled_from(SECTIONS), NAMES, VALUES),
    st.builds("[{}]".format, st.sampled_from(SECTIONS)),
    st.text(max_size=12),
)


@hypothesis.settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=6), st.booleans(), st.data())
def test_any_settings_file_is_taken_or_refused(
    tav: Call, initial: Path, tmp_path_factory: pytest.TempPathFactory, lines: list[str], valid: bool, data: Any
) -> None:
    folder = tmp_path_factory.mktemp("any")
    shutil.copy(initial / "source.mp4", folder)
    before = (initial / "tav.toml").read_text().splitlines() if valid else []
    place = data.draw(st.integers(0, len(before)))
    text = "\n".join([*before[:place], *lines, *before[place:]])
    (folder / "tav.toml").write_text(text, encoding="utf-8", errors="ignore", newline="")
    for command in (["show"], ["--dry-run", "edit", "a dog"]):
        said = tav(folder, "--json", *command)
        assert said.code in (0, 1), (text, said.err)
        if said.code == 1:
            refused(said)
        else:
            said.json()
    assert {path.name for path in folder.iterdir()} == {"tav.toml", "source.mp4"}


def test_the_file_of_init_is_valid(initial: Path) -> None:
    assert Workspace(initial).read()["clip"]["source"] == "source.mp4"
