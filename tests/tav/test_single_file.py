"""Checkpoints of one file become a folder that computes what the file held; nothing is left to chance."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from one_file import write_one_file

from tav.bases import inspect_base, load_base
from tav.foreign.single_file import read_single_file, write_single_file

GOLDEN = Path(__file__).parents[1] / "golden"


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
