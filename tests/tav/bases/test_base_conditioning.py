"""Prompts and frames through the text encoder and the VAE of a tiny base."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tav.bases import (
    Base,
    EncodedClip,
    decode_latents,
    encode_frames,
    encode_text,
    load_base,
    text_that_is_cut,
    to_uint8,
)
from tav.errors import TavError
from tav.events import VaeStep


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> Base:
    return load_base(tiny_base)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)


def run(generator):
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return events, end.value


def test_a_prompt_does_not_depend_on_its_neighbours(base: Base) -> None:
    prompts = ["a man is skiing", "", "skiing " * 200]
    together = encode_text(base.tokenizer, base.text_encoder, prompts)
    assert together.shape == (3, 77, 16)
    assert together.dtype == torch.float32
    assert not together.requires_grad
    for row, prompt in zip(together, prompts, strict=True):
        assert row.equal(encode_text(base.tokenizer, base.text_encoder, [prompt])[0])


def test_text_in_half_precision_comes_back_as_float32(tiny_base: Path, base: Base) -> None:
    half = load_base(tiny_base, dtype=torch.bfloat16)
    states = encode_text(half.tokenizer, half.text_encoder, ["a man is skiing"])
    assert states.dtype == torch.float32
    torch.testing.assert_close(
        states, encode_text(base.tokenizer, base.text_encoder, ["a man is skiing"]), atol=0.1, rtol=0.1
    )


@pytest.mark.parametrize("prompt", ["", "a man is skiing", "a red panda, surfing on the snow at SUNSET"])
def test_what_is_read_is_not_cut(base: Base, prompt: str) -> None:
    assert text_that_is_cut(base.tokenizer, 77, prompt) == ""


def test_the_cut_is_where_the_encoder_stops(base: Base) -> None:
    prompt = "A man   is skiing down the snow, in Pink clothes, with a é and a spider man on the beach"
    full = base.tokenizer(prompt, add_special_tokens=False).input_ids
    for length in range(2, len(full) + 4):
        cut = text_that_is_cut(base.tokenizer, length, prompt)
        assert prompt.endswith(cut)
        room = length - 2
        assert (cut == "") == (len(full) <= room)
    assert text_that_is_cut(base.tokenizer, 2, prompt) == prompt
    last = base.tokenizer("beach", add_special_tokens=False).input_ids
    assert text_that_is_cut(base.tokenizer, len(full) - len(last) + 2, prompt) == "beach"


def test_the_cut_part_has_no_say(base: Base) -> None:
    prompt = " ".join(f"snow {number}" for number in range(80))
    cut = text_that_is_cut(base.tokenizer, 77, prompt)
    assert cut
    read = prompt.removesuffix(cut)
    one, other = encode_text(base.tokenizer, base.text_encoder, [prompt, read])
    assert one.equal(other)


def test_the_tokenizer_needs_no_torch(tiny_base: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tav.bases import inspect_base, resolve, cached_bases;"
        "import tav.bases.catalog, tav.bases.digest, tav.bases.sizes;"
        "assert 'transformers' not in sys.modules and 'huggingface_hub' not in sys.modules;"
        "from tav.bases.text import *; parts = inspect_base(resolve(sys.argv[1])); tokenizer = load_tokenizer(parts);"
        "cut = text_that_is_cut(tokenizer, context_length(parts, tokenizer), 'snow ' * 100);"
        "assert cut and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_base)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_chunks_equal_one_pass(base: Base, frames: np.ndarray, chunk: int) -> None:
    events, clip = run(encode_frames(base.vae, frames, chunk=chunk))
    _, whole = run(encode_frames(base.vae, frames, chunk=5))
    assert [event.frames for event in events] == [*range(chunk, 5, chunk), 5]
    assert all(event.total == 5 for event in events)
    assert clip.mean.shape == clip.std.shape == (1, 4, 5, 4, 6)
    torch.testing.assert_close(clip.mean, whole.mean, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(clip.std, whole.std, atol=1e-6, rtol=1e-5)
    events, pixels = run(decode_latents(base.vae, whole.mean, chunk=chunk))
    assert events[-1] == VaeStep(5, 5)
    assert pixels.shape == (1, 3, 5, 16, 24)
    torch.testing.assert_close(pixels, run(decode_latents(base.vae, whole.mean, chunk=5))[1], atol=1e-6, rtol=1e-5)


def test_latents_are_those_of_the_vae_scaled(base: Base, frames: np.ndarray) -> None:
    _, clip = run(encode_frames(base.vae, frames))
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        posterior = base.vae.encode(pixels).latent_dist
    torch.testing.assert_close(clip.mean[0].transpose(0, 1), posterior.mean * 0.18215, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(clip.std[0].transpose(0, 1), posterior.std * 0.18215, atol=1e-6, rtol=1e-5)
    assert not clip.mean.requires_grad


def test_sampling_the_posterior() -> None:
    clip = EncodedClip(torch.full((1, 4, 2, 3, 3), 2.0), torch.full((1, 4, 2, 3, 3), 0.5))
    noise = torch.randn(1, 4, 2, 3, 3)
    assert clip.sample(noise).equal(2 + 0.5 * noise)


def test_pixels_are_clamped_and_rounded(base: Base) -> None:
    _, pixels = run(decode_latents(base.vae, 50 * torch.randn(1, 4, 2, 4, 6)))
    assert pixels.dtype == torch.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    levels = torch.arange(256).reshape(1, 1, 1, 16, 16).expand(1, 3, 2, 16, 16)
    frames = to_uint8(levels / 255 + 0.4 / 255 * torch.where(levels < 255, 1, 0))
    assert frames.shape == (2, 16, 16, 3)
    assert frames.dtype == np.uint8
    assert (frames == levels[0].permute(1, 2, 3, 0).numpy()).all()


class Overflowing:
    """A VAE whose numbers are too big for its precision."""

    device, dtype, config = torch.device("cpu"), torch.float32, SimpleNamespace(scaling_factor=1.0)

    def __init__(self, value: float, logvar: float = 0.0) -> None:
        self.value, self.logvar = value, logvar

    def encode(self, pixels: torch.Tensor) -> SimpleNamespace:
        mean, logvar = torch.full_like(pixels, self.value), torch.full_like(pixels, self.logvar)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean, logvar=logvar))

    def decode(self, latents: torch.Tensor) -> SimpleNamespace:
        sample = torch.zeros_like(latents)
        sample[..., 0, 0] = self.value
        return SimpleNamespace(sample=sample)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_an_error(frames: np.ndarray, value: float) -> None:
    for made in (
        encode_frames(Overflowing(value), frames),
        encode_frames(Overflowing(0, logvar=abs(value)), frames),
        decode_latents(Overflowing(value), torch.zeros(1, 3, 2, 4, 4)),
    ):
        with pytest.raises(TavError, match="not finite") as caught:
            run(made)
        assert caught.value.hint == "try --precision fp32"


def test_one_frame_and_half_precision(tiny_base: Path, frames: np.ndarray, base: Base) -> None:
    half = load_base(tiny_base, dtype=torch.bfloat16)
    _, clip = run(encode_frames(half.vae, frames[:1]))
    _, exact = run(encode_frames(base.vae, frames[:1]))
    assert clip.mean.dtype == clip.std.dtype == torch.float32
    torch.testing.assert_close(clip.mean, exact.mean, atol=0.02, rtol=0.05)
