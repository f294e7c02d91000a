"""How much faster tav's steps are than the plain reference: same weights, same input, runs in turn, medians.

    python benchmarks/speed/steps.py [--runs 3] [--frames 16] [--dtype float32] [--into FILE.json]

Equality comes before any timing. The timing shape: channels 64, 128, 256, 256, two layers, 8 heads, text 77 x 768,
32 x 32 latents. What the official code does besides at every step, encoding the clip, is a row of its own.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tav.diffusion.schedule import NoiseSchedule

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from plain import guided, plain

from tav.bases import encode_frames
from tav.diffusion import ddim
from tav.events import SampleStep
from tav.methods.sampling import sample
from tav.methods.tuning import Tuning, gradients, learning, optimise, training_loss
from tav.nets.inflate import VideoUNet, inflate
from tav.settings import TuneSettings

SHAPE = {"block_out_channels": (64, 128, 256, 256), "layers_per_block": 2, "cross_attention_dim": 768}
GUIDANCE = 12.5


def unet(dtype: torch.dtype) -> Any:
    torch.manual_seed(0)
    return UNet2DConditionModel(sample_size=32, attention_head_dim=8, **SHAPE).to(dtype).eval()


def stirred(video: VideoUNet) -> VideoUNet:
    """Give the temporal layers an effect, which they start without."""
    generator = torch.Generator().manual_seed(1)
    for name, tuned in video.tuned.items():
        if "attn_temp.to_out" in name:
            tuned.parameter.data.copy_(0.02 * torch.randn(tuned.parameter.shape, generator=generator))
    return video


class Side:
    """One implementation's steps on fixed input."""

    def __init__(self, kind: str, frames: int, dtype: torch.dtype) -> None:
        self.kind = kind
        self.video = stirred(plain(unet(dtype)) if kind == "plain" else inflate(unet(dtype)))
        if kind == "tav":
            self.video.folding.kernels.choices = {}
        self.schedule = NoiseSchedule.from_config({})
        self.tuning = Tuning(self.video, TuneSettings(recompute="none"))
        generator = torch.Generator().manual_seed(2)
        self.latents, self.noise = (torch.randn(1, 4, frames, 32, 32, generator=generator) for _ in range(2))
        self.context, self.negative = (torch.randn(1, 77, 768, generator=generator) for _ in range(2))

    def loss(self) -> Tensor:
        return training_loss(self.video, self.schedule, self.latents, self.noise, 500, self.context)

    def tune(self) -> None:
        with learning(self.tuning):
            gradients(self.tuning, self.loss())
            optimise(self.tuning)

    def gradients(self) -> dict[str, Tensor]:
        with learning(self.tuning):
            gradients(self.tuning, self.loss())
            return {name: parameter.grad.clone() for name, parameter in self.tuning.parameters.items()}

    def sample(self) -> Tensor:
        """One guided step, both branches of it."""
        with torch.no_grad():
            if self.kind == "plain":
                prediction = guided(self.video, self.latents, 500, self.context, self.negative, GUIDANCE)
                return ddim.step(self.schedule, self.latents, prediction, 500, 20)
            steps = sample(self.video, self.schedule, self.latents, [self.context], self.negative, GUIDANCE, 1)
            return next(event.latents for event in steps if isinstance(event, SampleStep))

    def forward(self) -> Tensor:
        with torch.no_grad():
            return self.video(self.latents, 500, self.context)


def check_equal(ours: Side, other: Side, dtype: torch.dtype) -> dict[str, float]:
    """Largest differences relative to the largest value, refused above float32 rounding (bf16: its own)."""
    allowed = 1e-4 if dtype == torch.float32 else 0.1
    a, b = ours.gradients(), other.gradients()
    found = {
        "forward": _relative(ours.forward(), other.forward()),
        "gradients": max(_relative(a[name], b[name]) for name in a if b[name].abs().max() > 1e-7),
    }
    for what, error in found.items():
        if not error <= allowed:
            raise SystemExit(f"{what} differs from the plain reference by {error:.2g}: nothing is timed")
    return found


def _relative(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().max() / b.float().abs().max())


def timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def in_turn(ours: Side, other: Side, what: str, runs: int) -> dict[str, Any]:
    sides = {"tav": getattr(ours, what), "plain": getattr(other, what)}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(runs + 1):
        for name, step in sides.items():
            took = timed(step)
            if number:  # the first run warms up, and measures tav's kernels
                seconds[name].append(took)
    ratios = [b / a for a, b in zip(seconds["tav"], seconds["plain"], strict=True)]
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {**medians, "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios), "runs": runs}


def encoding(frames: int, dtype: torch.dtype, runs: int) -> float:
    """Seconds to encode the clip, which the official code does at every tuning step and tav once."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(32, 64, 128, 128),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
    )
    pixels = torch.randint(0, 256, (frames, 256, 256, 3), dtype=torch.uint8).numpy()
    vae = vae.to(dtype).eval()
    return statistics.median(timed(lambda: list(encode_frames(vae, pixels))) for _ in range(runs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--into", type=Path)
    given = parser.parse_args()
    dtype = getattr(torch, given.dtype)
    torch.set_num_threads(given.threads)
    ours, other = Side("tav", given.frames, dtype), Side("plain", given.frames, dtype)
    other.video.load_state_dict(ours.video.state_dict())
    equal = check_equal(ours, other, dtype)
    rows = {what: in_turn(ours, other, what, given.runs) for what in ("tune", "sample")}
    found = {
        "shape": {**SHAPE, "frames": given.frames, "latents": 32, "dtype": given.dtype, "threads": given.threads},
        "equal": equal,
        **rows,
        "encoding": encoding(given.frames, dtype, given.runs),
        "kernels": dict(ours.video.folding.kernels.choices or {}),
    }
    sys.stdout.write(f"{given.dtype}, {given.frames} frames, {given.threads} threads; {equal}\n")
    for what, row in rows.items():
        sys.stdout.write(
            f"{what:7} tav {row['tav']:7.2f} s, plain {row['plain']:7.2f} s, "
            f"ratio {row['ratio']:.2f} ({row['least']:.2f} to {row['most']:.2f})\n"
        )
    sys.stdout.write(f"encode  {found['encoding']:7.2f} s (256 x 256 pictures), once instead of at every step\n")
    if given.into:
        given.into.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
