"""The text encoder and the UNet, trained together on latents that were encoded once."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from tav.diffusion.schedule import NoiseSchedule
from tav.storybook.train.latents import Encoded
from tav.storybook.train.loop import Past, Plan, Progress, optimise
from tav.storybook.train.vae import CHANNELS
from tav.storybook.train.workers import Worker

TEXT_WIDTH = 128
EMPTY = 0.1
"""Share of training pictures whose caption is withheld, for classifier-free guidance."""
GAMMA = 5.0
"""Weights of min-SNR (Hang et al., 2023): min(snr, GAMMA) / snr for a network that predicts the noise."""

SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
}


class TextToImage(nn.Module):
    """Text encoder and UNet as one model to train."""

    def __init__(self, vocabulary: int, tokens: int, start: int, end: int) -> None:
        """`vocabulary`: number of token ids; `tokens`: length of a caption; `start`, `end`: the ids around it."""
        super().__init__()
        self.text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocabulary,
                hidden_size=TEXT_WIDTH,
                intermediate_size=4 * TEXT_WIDTH,
                projection_dim=TEXT_WIDTH,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=tokens,
                bos_token_id=start,
                eos_token_id=end,
                pad_token_id=end,
            )
        )
        self.unet = UNet2DConditionModel(
            sample_size=16,
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            block_out_channels=(64, 160, 256),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=2,
            norm_num_groups=16,
        )
        # On a CPU explicit softmax is faster than the fused one for a small network, most of all backwards.
        self.unet.set_attn_processor(AttnProcessor())

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """The noise predicted in latents (b, c, h, w) at timesteps (b,) under captions (b, tokens)."""
        noise: Tensor = self.unet(noisy, timesteps, self.text(ids).last_hidden_state).sample
        return noise


def new_text_to_image(tokenizer: Any) -> TextToImage:
    """An untrained model for the tokenizer's vocabulary."""
    return TextToImage(len(tokenizer), tokenizer.model_max_length, tokenizer.bos_token_id, tokenizer.eos_token_id)


def train_diffusion(
    worker: Worker,
    folder: Path,
    data: Encoded,
    model: TextToImage,
    plan: Plan,
    minutes: float,
    past: Past | None = None,
) -> None:
    """Train text encoder and UNet; `folder` holds state and log."""
    progress = Progress(plan, model.to(worker.device), folder, worker, past)
    alphas = NoiseSchedule.from_config(SCHEDULER).alphas_cumprod.float().to(worker.device)
    batch = 48 if worker.device.type == "cpu" else 512

    def loss(model: nn.Module, rng: np.random.Generator, _step: int) -> tuple[Tensor, dict[str, float]]:
        rows = rng.integers(len(data.latents), size=batch)
        clean = data.scale * torch.from_numpy(data.latents[rows].astype(np.float32)).to(worker.device)
        ids = torch.from_numpy(np.where(rng.random((batch, 1)) < EMPTY, data.empty, data.ids[rows])).to(worker.device)
        # Stratified: every batch covers all noise levels evenly.
        times = (rng.permutation(batch) + rng.random(batch)) / batch * len(alphas)
        timesteps = torch.from_numpy(times.astype(np.int64)).to(worker.device)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32)).to(worker.device)
        alpha = alphas[timesteps].view(-1, 1, 1, 1)
        predicted = model(alpha.sqrt() * clean + (1 - alpha).sqrt() * noise, timesteps, ids)
        errors = (predicted.float() - noise).pow(2).mean((1, 2, 3))
        snr = alphas[timesteps] / (1 - alphas[timesteps])
        weights = snr.clamp(max=GAMMA) / snr
        return (errors * weights).mean(), {"mse": float(errors.detach().mean())}

    optimise(worker, progress, loss, folder, minutes, lambda _: None)
