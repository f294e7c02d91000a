"""The training pictures as latents, encoded once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tav.atomic import replacing
from tav.compute.device import autocast
from tav.storybook.train.pictures import CHUNK, Pictures, chunk_scenes
from tav.storybook.train.pixels import as_input
from tav.storybook.train.workers import Worker

_BATCH = 32


@dataclass(frozen=True)
class Encoded:
    """Training pictures as latents, with the token ids of their captions."""

    latents: np.ndarray
    """(n, c, h, w), float16, with standard deviation 1 / scale."""
    scale: float
    """The factor that makes their standard deviation 1."""
    ids: np.ndarray
    """(n, tokens), int64."""
    empty: np.ndarray
    """The ids of the empty caption, (tokens,)."""


def encode_pictures(worker: Worker, vae: Any, pictures: Pictures, path: Path) -> None:
    """Write the posterior means of this worker's share of the pictures, a file for each file of pictures."""
    for first in range(worker.rank * CHUNK, len(pictures), worker.count * CHUNK):
        part = _part(path, first)
        if part.exists():
            continue
        means = []
        for at in range(first, first + CHUNK, _BATCH):
            stack = np.stack([pictures[i] for i in range(at, at + _BATCH)])
            with torch.no_grad(), autocast(worker.device):
                mean = vae.encode(as_input(stack).to(worker.device)).latent_dist.mean
            means.append(mean.float().cpu().numpy())
        with replacing(part) as temporary, temporary.open("wb") as file:
            np.save(file, np.concatenate(means).astype(np.float16))


def _part(path: Path, first: int) -> Path:
    return path.with_suffix("") / f"{first:07d}.npy"


def gather(path: Path) -> None:
    """Write the files of `encode_pictures` as one array at `path`."""
    parts = sorted(path.with_suffix("").glob("*.npy"))
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate([np.load(part) for part in parts]))


def scale_of(latents: np.ndarray) -> float:
    """The scaling factor: 1 / the standard deviation of latents (n, c, h, w), from every eighth picture."""
    return round(1 / float(latents[::8].astype(np.float32).std()), 5)


def captions(seed: int, chunks: int) -> list[str]:
    """The captions of the training pictures, in order."""
    return [scene.caption for chunk in range(chunks) for scene in chunk_scenes(seed, chunk)]


def encoded(path: Path, captions: list[str], tokenizer: Any) -> Encoded:
    """The latents at `path` with the token ids of their captions."""
    latents = np.load(path, mmap_mode="r")
    ids = tokenizer([*captions, ""], padding="max_length", truncation=True, return_tensors="np").input_ids
    return Encoded(latents, scale_of(latents), ids[:-1], ids[-1])
