"""The loader gives the networks and the tokenizer that the official implementation ran: equal numbers on both bases."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tav.bases import Base, decode_latents, encode_frames, encode_text, load_base
from tav.bases.text import context_length


@dataclass
class Recorded:
    base: Base
    numbers: dict[str, Tensor]
    prompts: list[str]
    tolerance: dict[str, float]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def recorded(request: pytest.FixtureRequest, golden: Path) -> Recorded:
    folder = golden / request.param
    manifest = json.loads((folder / "manifest.json").read_text())
    stated = manifest["tolerances"]
    tolerance = {
        "pixels": stated["g0 unet2d/*/out, vae/*"]["atol"],
        "text": stated["g0 text/last_hidden_state"]["atol"],
    }
    numbers = load_file(folder / "g0_base2d.safetensors")
    return Recorded(load_base(folder / "base"), numbers, manifest["prompts"], tolerance)


def _run(generator):
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def _close(got: Tensor, want: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(got, want, atol=tolerance, rtol=0)


def test_tokens(recorded: Recorded) -> None:
    tokenizer = recorded.base.tokenizer
    length = context_length(recorded.base.parts, tokenizer)
    ids = tokenizer(recorded.prompts, padding="max_length", max_length=length, truncation=True).input_ids
    assert torch.tensor(ids).equal(recorded.numbers["text/input_ids"])


def test_text(recorded: Recorded) -> None:
    states = encode_text(recorded.base.tokenizer, recorded.base.text_encoder, recorded.prompts)
    _close(states, recorded.numbers["text/last_hidden_state"], recorded.tolerance["text"])


def test_vae_encode(recorded: Recorded) -> None:
    clip = _run(encode_frames(recorded.base.vae, recorded.numbers["vae/pixels_uint8"].numpy()))
    scale = recorded.base.vae.config.scaling_factor
    mean, std = clip.mean[0].transpose(0, 1) / scale, clip.std[0].transpose(0, 1) / scale
    _close(mean, recorded.numbers["vae/encode_mean"], recorded.tolerance["pixels"])
    _close(2 * std.log(), recorded.numbers["vae/encode_logvar"], recorded.tolerance["pixels"])


def test_vae_decode(recorded: Recorded) -> None:
    latents = recorded.numbers["vae/z"].transpose(0, 1)[None] * recorded.base.vae.config.scaling_factor
    pixels = _run(decode_latents(recorded.base.vae, latents))
    want = (recorded.numbers["vae/decode"] / 2 + 0.5).clamp(0, 1)
    _close(pixels[0].transpose(0, 1), want, recorded.tolerance["pixels"])


@pytest.mark.parametrize("size", ["16x16", "8x16", "10x14"])
def test_unet(recorded: Recorded, size: str) -> None:
    numbers = {name: recorded.numbers[f"unet2d/{size}/{name}"] for name in ("sample", "timestep", "out")}
    with torch.no_grad():
        got = recorded.base.unet(numbers["sample"], numbers["timestep"], recorded.numbers["unet2d/ehs"]).sample
    _close(got, numbers["out"], recorded.tolerance["pixels"])
