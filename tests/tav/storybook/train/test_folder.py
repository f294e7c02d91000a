"""What training writes is a base as any other, and what it takes up again."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import CLIPTokenizer

from tav.bases import load_base
from tav.bases.parts import inspect_base
from tav.storybook.train.base import (
    describe,
    past_of,
    read_config,
    recommend,
    take_up,
    write_diffusion,
    write_vae,
    write_words,
)
from tav.storybook.train.diffusion import TextToImage, new_text_to_image
from tav.storybook.train.loop import Past, Plan, Progress
from tav.storybook.train.stages import RECOMMENDED
from tav.storybook.train.vae import freeze_encoder, new_vae
from tav.storybook.train.workers import ALONE

Made = tuple[Path, TextToImage]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("base")
    write_words(folder)
    model = new_text_to_image(CLIPTokenizer.from_pretrained(str(folder / "tokenizer")))
    write_vae(folder, new_vae(), scaling_factor=0.5)
    write_diffusion(folder, model)
    recommend(folder, RECOMMENDED)
    return folder, model


def test_it_is_a_base_as_any_other(made: Made) -> None:
    folder, model = made
    base = load_base(folder)
    for name, tensor in model.unet.state_dict().items():
        assert torch.equal(base.unet.state_dict()[name], tensor.half().float()), name
    assert base.vae.config.scaling_factor == 0.5
    assert base.parts.latent_channels == base.unet.config.in_channels == 8
    assert base.parts.recommendation.size == (128, 128)


def test_it_is_small(made: Made) -> None:
    assert sum(path.stat().st_size for path in made[0].rglob("*") if path.is_file()) < 40_000_000


def test_the_network_in_training_and_the_loaded_one_agree(made: Made) -> None:
    folder, model = made
    base = load_base(folder)
    ids = base.tokenizer(["a cat is running"], padding="max_length", return_tensors="pt").input_ids
    noisy, timesteps = torch.randn(1, 8, 16, 16), torch.tensor([500])
    with torch.no_grad():
        trained = model(noisy, timesteps, ids)
        loaded = base.unet(noisy, timesteps, base.text_encoder(ids).last_hidden_state).sample
    assert torch.allclose(trained, loaded, atol=2e-3)  # the weights are in half precision


def test_weights_are_taken_up_where_they_fit(made: Made, tmp_path: Path) -> None:
    folder, model = made
    other = new_text_to_image(CLIPTokenizer.from_pretrained(str(folder / "tokenizer")))
    assert take_up(other.unet, folder, "unet")
    assert torch.equal(other.unet.conv_in.weight, model.unet.conv_in.weight.half().float())
    assert not take_up(other.text, tmp_path, "text_encoder")
    assert not take_up(other.text, folder, "vae")


def test_only_the_decoder_is_left_to_train() -> None:
    trained = {name.split(".")[0] for name, p in freeze_encoder(new_vae()).named_parameters() if p.requires_grad}
    assert trained == {"decoder", "post_quant_conv"}


def test_origins_are_added_up(tmp_path: Path) -> None:
    for name, steps in (("vae", 1), ("decoder", 2)):
        describe(tmp_path, Progress(Plan(name, steps, 0.1), nn.Linear(2, 2), tmp_path, ALONE, Past(steps, 3.0)))
    assert past_of(tmp_path, "vae") == Past(1, 3.0)
    assert past_of(tmp_path, "decoder") == Past(2, 3.0)
    assert past_of(tmp_path, "diffusion") == Past()


def test_nothing_of_this_machine_is_written(made: Made) -> None:
    for path in (path for path in made[0].rglob("*.json") if path.name != "vocab.json"):
        assert "/" not in path.read_text().replace("<|", "").replace("|>", ""), path
    assert read_config(made[0], "vae")["latent_channels"] == 8
    assert inspect_base(made[0]).native_size == (128, 128)
