"""The stages of training; each is resumable and writes its result into the base's or the scorer's folder."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn
from transformers import CLIPTokenizer

from tav.bases import load_base
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
from tav.storybook.train.diffusion import new_text_to_image, train_diffusion
from tav.storybook.train.fresh import fresh_scenes
from tav.storybook.train.generating import generate
from tav.storybook.train.latents import captions, encode_pictures, encoded, gather, scale_of
from tav.storybook.train.loop import Plan, Progress
from tav.storybook.train.pictures import Pictures, chunk_scenes, rendered
from tav.storybook.train.scorer import train_scorer
from tav.storybook.train.vae import freeze_encoder, new_vae, save_sheet, train_vae
from tav.storybook.train.workers import ALONE, Worker, in_parallel

SEED = 1
SCENES, TEXTURES = 96, 6
"""Number of files of 512 training pictures, for each kind."""

PLANS = {
    "vae": Plan("vae", steps=3200, rate=2e-3, tail=0.4, seed=SEED),
    "diffusion": Plan("diffusion", steps=16000, rate=1.5e-3, tail=0.3, decay=0.9995, seed=SEED),
    "decoder": Plan("decoder", steps=3000, rate=1e-3, tail=0.5, seed=SEED),
    "scorer": Plan("scorer", 600, 2e-3, warmup=50, decay=0.99, weight_decay=0.02, tail=0.6, seed=SEED),
}

RECOMMENDED: dict[str, Any] = {"size": [128, 128], "guidance_scale": 4.0, "steps": 80, "learning_rate": 1e-4}
"""The settings that tav uses for this base by default; docs/storybook.md has the sweep over steps and rate."""


@dataclass(frozen=True)
class Folders:
    """The folder of the training's state, and the one with the folders of the shipped models."""

    state: Path
    into: Path

    @property
    def base(self) -> Path:
        """The base's folder."""
        return self.into / "base"

    @property
    def scorer(self) -> Path:
        """The scorer's folder."""
        return self.into / "scorer"

    def scenes(self) -> Pictures:
        """The training pictures, rendered if they are missing."""
        return rendered(self.state / "pictures", "scenes", SEED, SCENES, _cores())

    def textures(self) -> Pictures:
        """The texture pictures for the VAE, rendered if they are missing."""
        return rendered(self.state / "pictures", "textures", SEED, TEXTURES, _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _trained(folders: Folders, plan: Plan, model: nn.Module) -> Progress:
    """The progress of the model's training; the model gets its mean weights."""
    progress = Progress(plan, model, folders.state, ALONE)
    progress.use_mean()
    return progress


def _vae(folders: Folders, decoder_only: bool) -> AutoencoderKL:
    vae = new_vae()
    take_up(vae, folders.base, "vae")
    return freeze_encoder(vae) if decoder_only else vae


def _coder_worker(worker: Worker, folders: Folders, plan: Plan, minutes: float, decoder_only: bool) -> None:
    torch.manual_seed(plan.seed)
    vae, past = _vae(folders, decoder_only), past_of(folders.base, plan.name)
    train_vae(worker, folders.state, vae, folders.scenes(), folders.textures(), plan, minutes, past)


def train_coder(folders: Folders, plan: Plan, minutes: float) -> None:
    """Train the VAE. Raises ValueError if a UNet was trained on its latents, which must not change then."""
    if past_of(folders.base, "diffusion").steps:
        raise ValueError("the UNet was trained on this VAE's latents: train its decoder alone (--stages decoder)")
    folders.scenes(), folders.textures()
    in_parallel(_coder_worker, folders, plan, minutes, False)
    vae = _vae(folders, decoder_only=False)
    progress = _trained(folders, plan, vae)
    write_vae(folders.base, vae, scaling_factor=1.0)
    describe(folders.base, progress)


def train_decoder(folders: Folders, plan: Plan, minutes: float) -> None:
    """Train the VAE's decoder alone; latents do not change."""
    folders.scenes(), folders.textures()
    in_parallel(_coder_worker, folders, plan, minutes, True)
    vae = _vae(folders, decoder_only=True)
    progress = _trained(folders, plan, vae)
    write_vae(folders.base, vae, read_config(folders.base, "vae")["scaling_factor"])
    describe(folders.base, progress)


def train_text_to_image(folders: Folders, plan: Plan, minutes: float) -> None:
    """Train text encoder and UNet on the VAE's latents, and write the scaling factor into the VAE's config."""
    path = folders.state / "latents.npy"
    if not path.exists():
        folders.scenes()
        in_parallel(_encode_worker, folders, path)
        gather(path)
    write_vae(folders.base, _vae(folders, decoder_only=False), scale_of(np.load(path, mmap_mode="r")))
    write_words(folders.base)
    in_parallel(_diffusion_worker, folders, plan, minutes)
    model = new_text_to_image(_tokenizer(folders))
    progress = _trained(folders, plan, model)
    write_diffusion(folders.base, model)
    recommend(folders.base, RECOMMENDED)
    describe(folders.base, progress)
    _show(folders, progress.step)


def _show(folders: Folders, step: int) -> None:
    """Write a sheet of pictures generated from new captions."""
    captions = [scene.caption for scene in fresh_scenes(16, held_out=False)]
    guidance = RECOMMENDED["guidance_scale"]
    pictures = np.concatenate(list(generate(load_base(folders.base), captions, range(16), guidance, 20)))
    save_sheet(folders.state / f"diffusion-{step:06d}.png", pictures[:8], pictures[8:])


def _encode_worker(worker: Worker, folders: Folders, path: Path) -> None:
    vae = _vae(folders, decoder_only=False).to(worker.device)
    encode_pictures(worker, vae, folders.scenes(), path)


def _tokenizer(folders: Folders) -> Any:
    return CLIPTokenizer.from_pretrained(str(folders.base / "tokenizer"), local_files_only=True)


def _diffusion_worker(worker: Worker, folders: Folders, plan: Plan, minutes: float) -> None:
    torch.manual_seed(plan.seed)
    tokenizer = _tokenizer(folders)
    model = new_text_to_image(tokenizer)
    taken = take_up(model.unet, folders.base, "unet") and take_up(model.text, folders.base, "text_encoder")
    data = encoded(folders.state / "latents.npy", captions(SEED, SCENES), tokenizer)
    past = past_of(folders.base, plan.name) if taken else None
    train_diffusion(worker, folders.state, data, model, plan, minutes, past)


def train_the_scorer(folders: Folders, plan: Plan, minutes: float) -> None:
    """Train the scorer in one process, since its loss compares all pictures of a batch with each other."""
    pictures = folders.scenes()
    scenes = [scene for chunk in range(SCENES) for scene in chunk_scenes(SEED, chunk)]
    train_scorer(ALONE, folders.state, folders.scorer, scenes, pictures, plan, minutes)


def train(name: str, folders: Folders, plan: Plan, minutes: float) -> None:
    """Train one stage for at most `minutes`; nothing is done if the shipped weights have had all its steps."""
    where = folders.scorer if name == "scorer" else folders.base
    if past_of(where, plan.name).steps < plan.steps:
        STAGES[name](folders, plan, minutes)


STAGES: dict[str, Callable[[Folders, Plan, float], None]] = {
    "vae": train_coder,
    "diffusion": train_text_to_image,
    "decoder": train_decoder,
    "scorer": train_the_scorer,
}
