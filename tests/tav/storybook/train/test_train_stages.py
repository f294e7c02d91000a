"""The stages one after the other, on eight pictures and in one process."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tav.bases import load_base
from tav.storybook.train import latents, pictures, stages
from tav.storybook.train.base import read_origin
from tav.storybook.train.stages import PLANS, Folders, train
from tav.storybook.train.workers import ALONE


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """VAE and UNet, two steps each."""
    place = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _make_small(monkeypatch)
        folders = Folders(place / "state", place / "into")
        folders.state.mkdir()
        _train(folders, "vae", 2)
        _train(folders, "diffusion", 2)
        yield place


@pytest.fixture
def folders(tmp_path: Path, _trained: Path) -> Folders:
    """The test's own."""
    place = Path(shutil.copytree(_trained, tmp_path / "trained"))
    return Folders(place / "state", place / "into")


def _make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "in_parallel", lambda work, *arguments: work(ALONE, *arguments))
    monkeypatch.setattr(stages, "SCENES", 1)
    monkeypatch.setattr(stages, "TEXTURES", 1)
    monkeypatch.setattr(stages, "_cores", lambda: 1)
    monkeypatch.setattr(stages, "_show", lambda *_: None)  # only a picture for people, and dear
    monkeypatch.setattr(pictures, "CHUNK", 8)
    monkeypatch.setattr(latents, "CHUNK", 8)
    monkeypatch.setattr(latents, "_BATCH", 4)


def _weights(folders: Folders) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in load_base(folders.base).unet.state_dict().items()}


def _train(folders: Folders, name: str, steps: int) -> None:
    train(name, folders, replace(PLANS[name], steps=steps), 10.0)


@pytest.mark.slow
def test_a_base_is_made_and_taken_up_again_without_its_state(folders: Folders) -> None:
    origin, before = read_origin(folders.base), _weights(folders)
    assert {name: part["steps"] for name, part in origin.items()} == {"vae": 2, "diffusion": 2}
    assert load_base(folders.base).vae.config.scaling_factor != 1.0
    shutil.rmtree(folders.state)
    folders.state.mkdir()
    _train(folders, "diffusion", 3)
    assert read_origin(folders.base)["diffusion"]["steps"] == 3
    after = _weights(folders)
    changes = [float((after[name] - before[name]).abs().max()) for name in before]
    # One warm-up step away from the shipped weights: not untrained ones, nor the same.
    assert 0 < max(changes) < 0.02


@pytest.mark.slow
def test_a_finished_stage_changes_nothing_and_latents_stay_what_the_unet_was_trained_on(folders: Folders) -> None:
    before = _bytes(folders)
    for name in ("vae", "diffusion"):
        _train(folders, name, 2)
    assert _bytes(folders) == before
    with pytest.raises(ValueError, match="decoder"):
        _train(folders, "vae", 3)
    assert _bytes(folders) == before
    _train(folders, "decoder", 2)
    assert {path.parent.name for path, content in _bytes(folders).items() if content != before[path]} == {"vae", "base"}


def _bytes(folders: Folders) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folders.base.rglob("*") if path.is_file()}
