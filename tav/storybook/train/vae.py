"""The VAE: an AutoencoderKL, f8 with 8 channels."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor, nn

from tav.compute.device import autocast
from tav.storybook.train.loop import Past, Plan, Progress, optimise
from tav.storybook.train.pictures import Pictures
from tav.storybook.train.pixels import as_input, as_pictures
from tav.storybook.train.workers import Worker

CHANNELS = 8


def new_vae() -> AutoencoderKL:
    """An untrained VAE with initial weights that save about a thousand steps of training.

    There is nearly no noise in the latents (posterior log-variance about -4), residual branches start small, and up-
    and downsampling start as repetition and averaging.
    """
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 96, 128),
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=16,
        sample_size=128,
        mid_block_add_attention=False,
    )
    for name, module in vae.named_modules():
        kind = type(module).__name__
        if kind == "ResnetBlock2D":
            module.conv2.weight.data.mul_(0.15)
        elif kind == "Downsample2D":
            _add_identity(module.conv, slice(0, 2), 0.25)
        elif kind == "Upsample2D":
            _add_identity(module.conv, slice(1, 2), 1.0)
        elif name == "quant_conv":
            module.bias.data[CHANNELS:] = -4.0
            module.weight.data[CHANNELS:] *= 0.1
    return vae


def _add_identity(conv: nn.Conv2d, where: slice, weight: float) -> None:
    conv.weight.data.mul_(0.3)
    for channel in range(conv.in_channels):
        conv.weight.data[channel, channel, where, where] += weight


def _edges(picture: Tensor) -> tuple[Tensor, Tensor]:
    return picture[..., 1:, :] - picture[..., :-1, :], picture[..., :, 1:] - picture[..., :, :-1]


def reconstruction_loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Distance of pictures and of their gradients: the mean of absolute and squared differences.

    The squares are what PSNR counts, the absolute ones and the gradients keep outlines sharp.
    """
    difference = made - wanted
    edges = sum((a - b).abs().mean() for a, b in zip(_edges(made), _edges(wanted), strict=True))
    return 2 * difference.pow(2).mean() + 0.3 * difference.abs().mean() + 0.3 * edges


def freeze_encoder(vae: AutoencoderKL) -> AutoencoderKL:
    """The VAE with its encoder frozen, so that latents stay those that the UNet was trained on."""
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    return vae


def train_vae(
    worker: Worker,
    folder: Path,
    vae: AutoencoderKL,
    scenes: Pictures,
    textures: Pictures,
    plan: Plan,
    minutes: float,
    past: Past | None = None,
) -> None:
    """Train the parts of the VAE that are not frozen; `folder` holds state, log and sheets."""
    progress = Progress(plan, vae.to(worker.device), folder, worker, past)
    crop, batch = (64, 8) if worker.device.type == "cpu" else (128, 64)

    def loss(model: Any, rng: np.random.Generator, _step: int) -> tuple[Tensor, dict[str, float]]:
        few = max(1, batch // 8)
        pictures = np.concatenate([scenes.crops(rng, batch - few, crop), textures.crops(rng, few, crop)])
        wanted = as_input(pictures).to(worker.device)
        posterior = model.encode(wanted).latent_dist
        noise = torch.from_numpy(rng.standard_normal(posterior.mean.shape, dtype=np.float32)).to(worker.device)
        made = model.decode(posterior.mean + posterior.std * noise).sample
        error = reconstruction_loss(made.float(), wanted)
        spread = posterior.mean.float().pow(2) + posterior.var.float() - 1 - posterior.logvar.float()
        mse = (made.detach().float()[: batch - few] - wanted[: batch - few]).pow(2).mean()
        return error + 3e-4 * 0.5 * spread.mean(), {"psnr": 10 * float(torch.log10(4 / mse))}

    sample = np.stack([scenes[i] for i in range(0, len(scenes), -(-len(scenes) // 16))])

    def look(step: int) -> None:
        save_sheet(folder / f"{plan.name}-{step:06d}.png", sample, reconstruct(progress, sample, worker.device))

    optimise(worker, progress, loss, folder, minutes, look)


def reconstruct(progress: Progress, pictures: np.ndarray, device: torch.device) -> np.ndarray:
    """Pictures encoded and decoded by the VAE with its mean weights, uint8."""
    kept = [p.data.clone() for p in progress.trained]
    progress.use_mean()
    vae: Any = progress.model
    with torch.no_grad(), autocast(device):
        latents = vae.encode(as_input(pictures).to(device)).latent_dist.mean
        made = as_pictures(vae.decode(latents).sample)
    for p, k in zip(progress.trained, kept, strict=True):
        p.data.copy_(k)
    return made


def save_sheet(path: Path, above: np.ndarray, below: np.ndarray) -> None:
    """Write a picture with two rows of pictures."""
    Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in (above, below)], 0)).save(path)
