"""`tav import` and `tav export`: what was tuned goes out and comes in without a loss, and lineage stays exact."""

import json
import shutil
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tavcli.workspace.edits import all_edits
from tavcli.workspace.folder import Workspace

LINE = "imported"


@pytest.fixture(scope="session")
def slim(tmp_path_factory: pytest.TempPathFactory, tuned: Path, done: Callable) -> Path:
    """What the tuned workspace learned, as a slim file."""
    target = tmp_path_factory.mktemp("slim") / "tuneavideo-6.pth"
    done(tuned, "export", "--format", "slim", target)
    return target


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory, tuned: Path, done: Callable) -> Path:
    """The same as an official pipeline."""
    target = tmp_path_factory.mktemp("pipeline") / "official"
    done(tuned, "export", "--format", "official", target)
    return target


@pytest.fixture(scope="session")
def importing(tmp_path_factory: pytest.TempPathFactory, initial: Path, slim: Path, done: Callable) -> Path:
    """A workspace that was never tuned, with those weights."""
    folder = shutil.copytree(initial, tmp_path_factory.mktemp("importing") / "clip")
    done(folder, "import", slim)
    return folder


def files(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"*/*/{name}"))


# Without a loss -------------------------------------------------------------------------------------------------------


def test_imported_weights_edit_as_those_that_were_tuned_here(
    importing: Path, tuned: Path, copy_of: Callable, done: Callable
) -> None:
    made = []
    for folder in (importing, tuned):
        copy = copy_of(folder)
        done(copy, "edit", "a cat is skiing")
        (latents,) = files(copy, "latents.safetensors")
        (edit,) = all_edits(Workspace(copy))
        made.append((load_file(latents)["latents"], edit.sheet.read_bytes()))
        shutil.rmtree(copy)
    assert torch.equal(made[0][0], made[1][0])
    assert made[0][1] == made[1][1]
    assert not (importing / "inverted").exists()


def test_what_came_in_goes_out_again(
    importing: Path, slim: Path, pipeline: Path, done: Callable, tmp_path: Path
) -> None:
    done(importing, "export", "--format", "slim", tmp_path / "again.pth")
    done(importing, "export", "--format", "official", tmp_path / "again")
    unet = Path("unet") / "diffusion_pytorch_model.bin"
    for before, after in ((slim, tmp_path / "again.pth"), (pipeline / unet, tmp_path / "again" / unet)):
        one, other = (torch.load(path, weights_only=True) for path in (before, after))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_pipeline_and_a_slim_file_are_the_same_import(
    importing: Path, pipeline: Path, copy_of: Callable, done: Callable, snapshot: Callable
) -> None:
    folder = copy_of(importing)
    before = snapshot(folder)
    said = done(folder, "--json", "import", pipeline)
    assert said.json()["layout"] == "pipeline"
    assert snapshot(folder) == before


# Its place among the stages -------------------------------------------------------------------------------------------


def test_show_says_that_it_is_imported(importing: Path, done: Callable) -> None:
    shown = done(importing, "--json", "show").json()
    assert shown["stages"]["tuned"] | {"key": ""} == {"state": "fresh", "key": "", "why": ", imported"}
    assert shown["settings"][LINE] == Workspace(importing).read()[LINE]


def test_a_recipe_names_the_import(importing: Path, copy_of: Callable, done: Callable) -> None:
    folder = copy_of(importing)
    done(folder, "edit", "a cat")
    recipe = done(folder, "--json", "show", "1").json()
    assert recipe["tuned"].keys() == {LINE, "key", "digest"}
    assert recipe["tuned"][LINE] == Workspace(folder).read()[LINE]
    assert "is this very recipe" in done(folder, "edit", "a cat").err
    listed = [item["path"] for item in done(folder, "--json", "--dry-run", "clean").json()]
    assert listed == [str(folder / "cache")]
    assert done(folder, "--json", "ls").json()[0]["state"] == "done"


@pytest.mark.parametrize(
    "values", [{"caption": "another"}, {"precision": "bf16"}, {"clip": {"frames": 3}}, {"tune": {"steps": 9}}]
)
def test_what_is_set_here_has_not_made_the_weights(
    values: dict, importing: Path, copy_of: Callable, done: Callable, settle: Callable
) -> None:
    folder = copy_of(importing)
    settle(folder, values)
    assert done(folder, "--json", "show").json()["stages"]["tuned"]["state"] == "fresh"
    plan = done(folder, "--json", "--dry-run", "edit", "x").json()
    assert plan[0] == {"stage": "tune", "state": "fresh", "run": False, LINE: Workspace(folder).read()[LINE]}


@pytest.mark.parametrize("flags", [[], ["--fresh"], ["--steps", "9"], ["--dry-run"]])
def test_tune_does_not_tune_over_it(flags: list[str], importing: Path, tav: Callable, snapshot: Callable) -> None:
    before = snapshot(importing)
    said = tav(importing, "tune", *flags)
    assert (said.code, said.err.splitlines()[0]) == (1, "error: the tuned weights are imported")
    assert snapshot(importing) == before


def test_without_the_line_the_clip_is_tuned_here(importing: Path, copy_of: Callable, done: Callable) -> None:
    folder = copy_of(importing)
    text = (folder / "tav.toml").read_text()
    (folder / "tav.toml").write_text("".join(line for line in text.splitlines(True) if not line.startswith(LINE)))
    said = done(folder, "edit", "a cat")
    assert "tuning first (what is there is for other settings: what is there was imported)" in said.err
    assert len(files(folder, "attention.safetensors")) == 2
    # And back again: it is still there.
    (folder / "tav.toml").write_text(text)
    assert done(folder, "--json", "show").json()["stages"]["tuned"]["state"] == "fresh"


def test_weights_that_are_gone_are_not_made_up(
    importing: Path, slim: Path, copy_of: Callable, tav: Callable, done: Callable
) -> None:
    folder = copy_of(importing)
    shutil.rmtree(folder / "tuned")
    assert done(folder, "--json", "show").json()["stages"]["tuned"]["state"] == "missing"
    for command in (
        ["edit", "a cat"],
        ["invert"],
        ["--dry-run", "edit", "a cat"],
        ["export", "--format", "slim", "x.pth"],
    ):
        said = tav(folder, *command)
        assert said.code == 1, command
        assert len(said.err.splitlines()) == 2
    assert "tav import" in tav(folder, "edit", "a cat").err
    done(folder, "import", slim)
    done(folder, "edit", "a cat")


def test_imported_weights_belong_to_their_base(
    importing: Path, make_tiny_base: Callable, copy_of: Callable, tav: Callable, settle: Callable, tmp_path: Path
) -> None:
    folder = copy_of(importing)
    settle(folder, {"base": str(make_tiny_base(tmp_path / "other", seed=1))})
    said = tav(folder, "edit", "a cat")
    assert (said.code, "the base is not the one" in said.err) == (1, True)
    assert not (folder / "inverted").exists()


# In -------------------------------------------------------------------------------------------------------------------


def test_a_dry_run_checks_and_changes_nothing(initial: Path, slim: Path, tav: Callable, snapshot: Callable) -> None:
    before = snapshot(initial)
    said = tav(initial, "--dry-run", "--json", "import", slim)
    assert said.code == 0
    assert said.json()["tensors"] == 28  # 4 blocks of 7
    assert tav(initial, "--dry-run", "import", initial / "tav.toml").code == 1
    assert snapshot(initial) == before


BAD: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: path,
    "a text": lambda path: path.write_text("caption"),
    "a folder": lambda path: path.mkdir(),
    "another network's": lambda path: torch.save({"a.attn_temp.to_q.weight": torch.zeros(2, 2)}, path),
    "no tensors": lambda path: torch.save({"a": 1}, path),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_leave_the_workspace_as_it_was(
    what: str, importing: Path, tav: Callable, snapshot: Callable, tmp_path: Path
) -> None:
    BAD[what](tmp_path / "bad.pth")
    before = snapshot(importing)
    said = tav(importing, "-q", "import", tmp_path / "bad.pth")
    assert (said.code, said.out) == (1, "")
    assert len(said.err.splitlines()) == 2
    assert "bad.pth" in said.err
    assert snapshot(importing) == before


def test_a_pipeline_of_another_base_is_used_with_its_own(
    pipeline: Path, clip: Path, initial: Path, tav: Callable, done: Callable, tmp_path: Path
) -> None:
    other = shutil.copytree(pipeline, tmp_path / "other")
    file = other / "unet" / "diffusion_pytorch_model.bin"
    weights = torch.load(file, weights_only=True)
    torch.save({name: value * 1.01 for name, value in weights.items()}, file)
    said = tav(shutil.copytree(initial, tmp_path / "mine"), "import", other)
    assert (said.code, "another base" in said.err, "tav bases extract" in said.err) == (1, True, True)
    refused = tav(tmp_path, "init", clip, "clip", "--caption", "x", "--base", other)
    assert "tav bases extract" in refused.err
    done(tmp_path, "bases", "extract", other, "base")
    where = ["--device", "cpu", "--precision", "fp32"]
    done(tmp_path, *where, "init", clip, "clip", "--caption", "x", "--base", "base", "--frames", "2")
    done(tmp_path / "clip", "import", other)
    done(tmp_path / "clip", "edit", "--steps", "2", "a cat")
    assert tav(tmp_path, "bases", "extract", other, "base").code == 1


# Out ------------------------------------------------------------------------------------------------------------------


def test_nothing_is_overwritten(tuned: Path, slim: Path, pipeline: Path, tav: Callable) -> None:
    before = slim.read_bytes()
    for form, target in (("slim", slim), ("official", pipeline), ("official", slim)):
        said = tav(tuned, "export", "--format", form, target)
        assert (said.code, "already there" in said.err) == (1, True)
    assert slim.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "gif", "x"], "no format `gif`"),
        (["--format", "slim", "x"], "named .pth"),
        (["--format", "slim", "source.mp4/x.pth"], "source.mp4"),
        (["--format", "official", "source.mp4/x"], "source.mp4"),
    ],
)
def test_bad_targets_are_refused(
    arguments: list[str], said: str, tuned: Path, tav: Callable, snapshot: Callable
) -> None:
    before = snapshot(tuned)
    result = tav(tuned, "-q", "export", *arguments)
    assert (result.code, said in result.err, len(result.err.splitlines())) == (1, True, 2)
    assert snapshot(tuned) == before


def test_there_must_be_something_to_export(initial: Path, tav: Callable, tmp_path: Path) -> None:
    said = tav(initial, "export", "--format", "slim", tmp_path / "x.pth")
    assert (said.code, "tav tune" in said.err, list(tmp_path.iterdir())) == (1, True, [])


def test_what_the_official_code_would_compute_otherwise_does_not_go_out(
    initial: Path, copy_of: Callable, done: Callable, tav: Callable, settle: Callable
) -> None:
    folder = copy_of(initial)
    settle(folder, {"frame_attention": "full", "tune": {"steps": 1}})
    done(folder, "tune")
    assert "frame_attention full" in tav(folder, "export", "--format", "slim", "x.pth").err
    assert not (folder / "x.pth").exists()


def test_a_dry_run_says_how_big_it_gets(tuned: Path, slim: Path, done: Callable, snapshot: Callable) -> None:
    before = snapshot(tuned)
    said = done(tuned, "--dry-run", "--json", "export", "--format", "slim", "new.pth").json()
    assert said == {"format": "slim", "path": str(tuned / "new.pth"), "size": said["size"]}
    assert 0.5 * slim.stat().st_size < said["size"] < slim.stat().st_size
    done(tuned, "--dry-run", "export", "--format", "official", "new")
    assert snapshot(tuned) == before


def test_a_full_disk_is_said_before_the_work(tuned: Path, tav: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: types.SimpleNamespace(free=1))
    said = tav(tuned, "export", "--format", "slim", "x.pth")
    assert (said.code, "make room" in said.err) == (1, True)


def test_the_folder_says_what_it_is(pipeline: Path) -> None:
    index = json.loads((pipeline / "model_index.json").read_text())
    assert (index["_class_name"], index["unet"]) == ("TuneAVideoPipeline", ["models", "UNet3DConditionModel"])
