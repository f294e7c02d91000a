"""Another base for a workspace: what was tuned is carried over exactly, or stays where it is; nothing is lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tav.adapters.tuned import load_tuned
from tav.bases import inspect_base, load_unet
from tav.nets.inflate import VideoUNet, inflate
from tavcli.methods.switch_base import BaseSwitch
from tavcli.workspace.edits import all_edits
from tavcli.workspace.fingerprint import digest
from tavcli.workspace.folder import Workspace

Call = Callable[..., Any]


@pytest.fixture(scope="session")
def other(make_tiny_base: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of the same shapes with other weights."""
    return make_tiny_base(tmp_path_factory.mktemp("other") / "other", seed=1)


@pytest.fixture(scope="session")
def carried(tmp_path_factory: pytest.TempPathFactory, edited: Path, other: Path, done: Call) -> Path:
    """The edited workspace with the other base, its weights carried over, and one edit of that."""
    folder = shutil.copytree(edited, tmp_path_factory.mktemp("carried") / "clip")
    done(folder, "bases", "use", other, "--carry-over")
    done(folder, "edit", "a cat is skiing")
    return folder


def tuned_file(folder: Path, done: Call) -> Path:
    key = done(folder, "--json", "show").json()["stages"]["tuned"]["key"]
    return folder / "tuned" / key / "attention.safetensors"


def network(base: Path, file: Path | None = None) -> VideoUNet:
    video = inflate(load_unet(inspect_base(base)))
    if file is not None:
        load_tuned(file, video)
    return video


def weights(video: VideoUNet) -> dict[str, torch.Tensor]:
    return {name: tuned.parameter.detach() for name, tuned in video.tuned.items()}


# What it computes -----------------------------------------------------------------------------------------------------


def test_effective_weights_are_the_new_base_plus_the_difference(
    edited: Path, carried: Path, tiny_base: Path, other: Path, done: Call
) -> None:
    source, target = tuned_file(edited, done), tuned_file(carried, done)
    before, after = weights(network(tiny_base, source)), weights(network(other, target))
    plain, there = weights(network(other)), load_file(source)
    moved = 0
    for name, value in after.items():
        if ".attn_temp." in name:
            assert torch.equal(value, before[name])
        else:
            assert torch.equal(value, plain[name] + there[f"{name}.diff"].float())
            moved += not torch.equal(value, plain[name])
    assert moved
    one, two = load_file(source), load_file(target)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_on_the_same_base_the_edit_is_the_same(edited: Path, tiny_base: Path, copy_of: Call, done: Call) -> None:
    folder = copy_of(edited)
    done(folder, "bases", "use", tiny_base, "--carry-over")
    done(folder, "edit", "a cat is skiing")
    first, second = all_edits(Workspace(folder))
    assert first.sheet.read_bytes() == second.sheet.read_bytes()
    latents = [load_file(file)["latents"] for file in folder.glob("inverted/*/latents.safetensors")]
    assert len(latents) == 2
    assert torch.equal(*latents)


def test_the_edit_of_another_base_is_another(carried: Path) -> None:
    first, second = all_edits(Workspace(carried))
    assert first.sheet.read_bytes() != second.sheet.read_bytes()


# What it is called ----------------------------------------------------------------------------------------------------


def test_the_recipe_says_that_it_is_carried_over(carried: Path, edited: Path, tiny_base: Path, done: Call) -> None:
    recipe = done(carried, "--json", "show", "2").json()
    source = digest(tuned_file(edited, done))
    file = tuned_file(carried, done)
    tuned = {"carried": source, "from": str(tiny_base), "key": file.parent.name, "digest": digest(file)}
    assert recipe["tuned"] == tuned
    assert Workspace(carried).read()["carried"] == source
    shown = done(carried, "--json", "show").json()
    assert shown["stages"]["tuned"]["why"] == f", carried over from {tiny_base}"
    assert "carried over from" in done(carried, "ls").out
    plan = done(carried, "--json", "--dry-run", "edit", "x").json()
    assert plan[0] == {"stage": "tune", "state": "fresh", "run": False, "carried": source, "from": str(tiny_base)}


@pytest.mark.parametrize("flags", [[], ["--fresh"], ["--steps", "9"], ["--dry-run"]])
def test_tune_does_not_tune_over_it(flags: list[str], carried: Path, tav: Call, snapshot: Call) -> None:
    before = snapshot(carried)
    said = tav(carried, "tune", *flags)
    assert (said.code, said.err.splitlines()[0]) == (1, "error: the tuned weights are carried over")
    assert "`carried`" in said.err
    assert snapshot(carried) == before


def test_with_the_old_base_back_all_is_as_it_was(
    carried: Path, edited: Path, tiny_base: Path, copy_of: Call, done: Call
) -> None:
    folder = copy_of(carried)
    used = done(folder, "--json", "bases", "use", tiny_base).json()
    assert (used["stale"], used["tune_again"]["tuned"], used["tune_again"]["seconds"]) == ([], "fresh", 0)
    assert (folder / "tav.toml").read_bytes() == (edited / "tav.toml").read_bytes()
    assert "is this very recipe" in done(folder, "edit", "a cat is skiing").err


def test_carried_on_it_is_still_what_was_tuned(
    carried: Path, edited: Path, tiny_base: Path, make_tiny_base: Call, copy_of: Call, done: Call, tmp_path: Path
) -> None:
    folder, third = copy_of(carried), make_tiny_base(tmp_path / "third", seed=2)
    source = digest(tuned_file(edited, done))
    done(folder, "bases", "use", third, "--carry-over")
    assert Workspace(folder).read()["carried"] == source
    one, two = load_file(tuned_file(folder, done)), load_file(tuned_file(edited, done))
    assert all(torch.equal(one[name], two[name]) for name in two)
    assert f"carried over from {tiny_base}" in done(folder, "show").out


def test_clean_leaves_what_it_was_carried_from(
    carried: Path, edited: Path, copy_of: Call, done: Call, settle: Call
) -> None:
    folder = copy_of(carried)
    source = tuned_file(edited, done).parent.name
    shutil.rmtree(folder / "edits")  # which would need it too
    done(folder, "clean", "--yes")
    assert (folder / "tuned" / source / "attention.safetensors").is_file()
    settle(folder, {"carried": None, "caption": "another"})
    done(folder, "clean", "--yes")
    assert not (folder / "tuned" / source).exists()


# Choosing -------------------------------------------------------------------------------------------------------------


def test_a_plan_says_what_each_way_costs_and_writes_nothing(
    edited: Path, other: Path, done: Call, snapshot: Call
) -> None:
    before = snapshot(edited)
    plan = done(edited, "--json", "--dry-run", "bases", "use", other).json()
    assert snapshot(edited) == before
    assert plan["stale"] == ["tuned", "inverted"]
    again, carry = plan["tune_again"], plan["carry_over"]
    assert (again["tuned"], again["inverted"], carry["tune"], plan["refused"]) == ("stale", "stale", None, None)
    assert again["seconds"] >= carry["seconds"] > 0
    for need in (again["tune"], again["invert"], carry["invert"]):
        assert need["memory"] > 0
    said = done(edited, "--dry-run", "bases", "use", other).err
    for words in ("becomes stale: tuned, inverted", "tuning again: ", "carrying over (--carry-over): nothing is tuned"):
        assert words in said


def test_without_carrying_over_the_clip_is_tuned_again(carried: Path, other: Path, copy_of: Call, done: Call) -> None:
    folder = copy_of(carried)
    done(folder, "bases", "use", other)
    assert "carried" not in Workspace(folder).read()
    assert done(folder, "--json", "show").json()["stages"]["tuned"]["state"] == "stale"
    done(folder, "tune")
    assert "the tuned weights for it are there already" in done(folder, "--dry-run", "bases", "use", other).err
    assert done(folder, "--json", "--dry-run", "bases", "use", other).json()["tune_again"]["tuned"] == "fresh"


def test_weights_that_are_gone_are_not_made_up(
    carried: Path, other: Path, tiny_base: Path, copy_of: Call, tav: Call, done: Call
) -> None:
    folder = copy_of(carried)
    shutil.rmtree(tuned_file(folder, done).parent)
    for command in (["edit", "a cat"], ["invert"], ["--dry-run", "edit", "a cat"]):
        said = tav(folder, *command)
        assert (said.code, len(said.err.splitlines()), "--carry-over" in said.err) == (1, 2, True)
    done(folder, "bases", "use", tiny_base)
    done(folder, "bases", "use", other, "--carry-over")
    done(folder, "edit", "a cat is skiing")


def test_imported_weights_stay_with_their_base(
    tuned: Path, initial: Path, other: Path, tiny_base: Path, tav: Call, done: Call, snapshot: Call, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(initial, tmp_path / "clip"))
    done(tuned, "export", "--format", "slim", tmp_path / "x.pth")
    done(folder, "import", tmp_path / "x.pth")
    before = snapshot(folder)
    said = tav(folder, "bases", "use", other, "--carry-over")
    assert (said.code, said.err.splitlines()[0].startswith("error: imported weights hold whole queries")) == (1, True)
    assert snapshot(folder) == before
    done(folder, "bases", "use", other)
    assert "imported" not in Workspace(folder).read()
    done(folder, "bases", "use", tiny_base)
    assert done(folder, "--json", "show").json()["stages"]["tuned"]["why"] == ", imported"


def test_an_import_ends_what_was_carried_over(
    tuned: Path, carried: Path, copy_of: Call, done: Call, tmp_path: Path
) -> None:
    folder = copy_of(carried)
    done(tuned, "export", "--format", "slim", tmp_path / "x.pth")
    done(folder, "import", tmp_path / "x.pth")
    assert "carried" not in Workspace(folder).read()
    assert done(folder, "--json", "show").json()["stages"]["tuned"]["why"] == ", imported"


# Refused, and nothing changed -----------------------------------------------------------------------------------------


def with_heads(base: Path) -> None:
    file = base / "unet" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"attention_head_dim": 2}))


def by_hand(base: Path, folder: Path) -> None:
    Workspace(folder).remember({"base": str(base), "carried": "0" * 64})


REFUSED: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "other heads": (lambda base, _: with_heads(base), "attention_head_dim 2, not 4"),
    "no base": (lambda base, _: shutil.rmtree(base), "no folder"),
    "half a base": (lambda base, _: shutil.rmtree(base / "vae"), "incomplete"),
    "nothing tuned": (lambda _, folder: shutil.rmtree(folder / "tuned"), "no tuned weights to carry over (missing)"),
    "no clip": (lambda _, folder: (folder / "source.mp4").unlink(), "the workspace's clip source.mp4 is gone"),
    "a base changed by hand": (by_hand, "`tav bases use OLD`"),
    "broken weights": (lambda _, folder: next(folder.glob("tuned/*/att*")).write_bytes(b"x"), "cannot be read"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_before_any_weight_loads(
    what: str, tuned: Path, other: Path, copy_of: Call, tav: Call, snapshot: Call, tmp_path: Path, monkeypatch: Any
) -> None:
    spoil, words = REFUSED[what]
    folder, base = copy_of(tuned), Path(shutil.copytree(other, tmp_path / "base"))
    spoil(base, folder)
    before = snapshot(folder)
    monkeypatch.setattr("tav.bases.load.read_weights", None)
    said = tav(folder, "bases", "use", base, "--carry-over")
    assert (said.code, said.out, words in said.err) == (1, "", True), said.err
    assert snapshot(folder) == before


def test_bases_of_other_latents_take_nothing_over(
    tuned: Path, make_tiny_base: Call, copy_of: Call, tav: Call, done: Call, tmp_path: Path
) -> None:
    folder, wide = copy_of(tuned), make_tiny_base(tmp_path / "wide", latents=8)
    said = tav(folder, "bases", "use", wide, "--carry-over")
    assert (said.code, "in_channels 8, not 4" in said.err) == (1, True)
    assert "carrying over is not possible" in done(folder, "bases", "use", wide).err
    assert Workspace(folder).read()["base"] == str(wide)


def test_without_the_old_base_there_is_still_the_other(
    tuned: Path, other: Path, copy_of: Call, settle: Call, done: Call, tav: Call
) -> None:
    folder = copy_of(tuned)
    settle(folder, {"base": "/nowhere"})
    assert tav(folder, "bases", "use", other, "--carry-over").code == 1
    said = done(folder, "--json", "bases", "use", other).json()
    assert (said["stale"], said["carry_over"]) == ([], None)
    assert "/nowhere" in said["refused"]


def test_what_is_predicted_otherwise_is_warned_of(
    tuned: Path, make_tiny_base: Call, copy_of: Call, done: Call, tmp_path: Path
) -> None:
    velocity = make_tiny_base(tmp_path / "velocity", prediction_type="v_prediction", seed=4)
    folder = copy_of(tuned)
    assert "warning" not in done(folder, "--dry-run", "bases", "use", velocity).err
    assert "predicts epsilon" in done(folder, "bases", "use", velocity, "--carry-over").err


def test_a_full_disk_keeps_the_old_base(
    tuned: Path, other: Path, copy_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(tuned)
    before = (folder / "tav.toml").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tav.tensor_files.save_file", full)
    with pytest.raises(OSError, match="No space"):
        BaseSwitch(Workspace(folder), str(other), {}).go(carry=True)
    assert (folder / "tav.toml").read_bytes() == before
    assert len(list(folder.glob("tuned/*/attention.safetensors"))) == 1
