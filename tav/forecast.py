"""What a run needs, before any weight loads: memory and operations counted on meta tensors, time from a calibration.

Nothing here depends on weights: networks are built from a base's configs, without memory to count, and with made-up
weights to see how fast this device is.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tav.bases.load import blueprint
from tav.bases.parts import BaseParts
from tav.compute.device import settle
from tav.compute.flops import Cost, count
from tav.compute.memory import PeakMemory, free_cached
from tav.methods.tuning import Tuning, gradients, learning
from tav.nets.inflate import VideoUNet, inflate
from tav.nets.kernels import Kernels
from tav.nets.recompute import Rung, recomputing
from tav.settings import TuneSettings

Work = Literal["learn", "infer", "encode", "decode"]
VAE_CHUNK = 4  # frames that go through the VAE at once
# A calibration runs this many operations at most, so that it takes seconds: on a GPU, and elsewhere.
_MOST_FLOPS = {"cuda": 2e13}
_MOST_FLOPS_ELSEWHERE = 1e11
_FRAMES = 4
# What allocators hold back and kernels borrow grows with the work; of far larger work than was measured less is known.
_MOST_SCALE = 4.0


@dataclass(frozen=True)
class Shape:
    """What decides the cost of a run on a base: frames, picture size (width, height), precision, what learns."""

    frames: int
    size: tuple[int, int]
    dtype: torch.dtype
    scope: Literal["all", "mid_up"] = "all"
    frame_attention: str = "sparse-causal"


@dataclass(frozen=True)
class Speed:
    """Of one kind of work on one device: operations a second, and bytes it took beyond what is counted.

    `setup` is how many seconds the network took to build; `scale` how many times the real work is larger than what was
    measured, at most `_MOST_SCALE`.
    """

    flops: float
    overhead: int
    scale: float
    setup: float


def weights(parts: BaseParts, shape: Shape) -> dict[str, int]:
    """Bytes of each network once loaded: `unet` inflated, `vae`, `text`."""
    video = _video(parts, shape, "meta")
    bases = sum(_bytes(tuned.base) for tuned in video.tuned.values() if tuned.base is not None)
    unet = sum(map(_bytes, video.unet.state_dict().values())) + bases
    vae = sum(map(_bytes, _built(blueprint(parts, "vae"), shape.dtype, "meta").state_dict().values()))
    files = sum(path.stat().st_size for path in parts.text_encoder.weights.files)
    return {"unet": unet, "vae": vae, "text": files}


def tuned_values(parts: BaseParts, shape: Shape) -> int:
    """How many numbers tuning learns."""
    video = _video(parts, shape, "meta")
    return sum(parameter.numel() for parameter in Tuning(video, _settings(shape)).parameters.values())


def cost(parts: BaseParts, shape: Shape, work: Work, rung: Rung = "none", kernels: Kernels | None = None) -> Cost:
    """One tuning step (with its optimiser), one forward pass, or one chunk of frames through the VAE."""
    return count(_prepared(parts, shape, work, rung, "meta", kernels))


def calibrate(parts: BaseParts, shape: Shape, work: Work, device: torch.device, kernels: Kernels | None) -> Speed:
    """Do `work` on `device` with made-up weights, on few frames and, where those take long, smaller pictures."""
    few = _small(parts, shape, work, _MOST_FLOPS.get(device.type, _MOST_FLOPS_ELSEWHERE))
    began = time.perf_counter()
    step = _prepared(parts, few, work, "none", device, kernels)
    setup = time.perf_counter() - began
    with PeakMemory(device) as peak:
        step()
    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < 2:
        began = time.perf_counter()
        step()
        settle(device)
        seconds.append(time.perf_counter() - began)
    del step
    counted = cost(parts, few, work, kernels=kernels)  # only now: the kernels are measured
    free_cached(device)
    scale = min(_MOST_SCALE, cost(parts, shape, work, kernels=kernels).flops / counted.flops)
    return Speed(counted.flops / statistics.median(seconds), max(0, peak.bytes - counted.peak), scale, setup)


def _small(parts: BaseParts, shape: Shape, work: Work, most: float) -> Shape:
    """`shape`, its frames halved, down to a few, and then its sides, until `work` takes at most `most` operations."""
    least, frames, size = parts.size_multiple, shape.frames, shape.size
    while True:
        small = replace(shape, frames=frames, size=size)
        if cost(parts, small, work).flops <= most:
            return small
        halved = (_halved(size[0], least), _halved(size[1], least))
        if frames > _FRAMES:
            frames = max(_FRAMES, frames // 2)
        elif halved != size:
            size = halved
        else:
            return small


def _halved(side: int, least: int) -> int:
    return max(least, side // 2 // least * least)


def _prepared(
    parts: BaseParts, shape: Shape, work: Work, rung: Rung, device: Any, kernels: Kernels | None
) -> Callable[[], object]:
    """The work as a function without arguments, on meta tensors or with made-up weights on a device."""
    if work in ("encode", "decode"):
        return _coding(parts, shape, work, device)
    video = _video(parts, shape, device)
    if kernels is not None:
        video.folding.kernels = kernels
    factor = parts.vae_factor
    latents = _filled(
        (1, parts.latent_channels, shape.frames, shape.size[1] // factor, shape.size[0] // factor), device
    )
    width = parts.configs.text_encoder.hidden_size
    context = _filled((1, parts.text_tokens, width), device)
    if work == "infer":
        return lambda: _forward(video, latents, context)
    tuning = Tuning(video, _settings(shape))
    return lambda: _learn(tuning, latents, context, rung)


def _coding(parts: BaseParts, shape: Shape, work: Work, device: Any) -> Callable[[], object]:
    vae = _built(blueprint(parts, "vae"), shape.dtype, device)
    frames, factor = min(VAE_CHUNK, shape.frames), parts.vae_factor
    width, height = shape.size
    if work == "encode":
        pixels = _filled((frames, 3, height, width), device).to(shape.dtype)
        return torch.no_grad()(lambda: vae.encode(pixels).latent_dist.mean.float())
    latents = _filled((frames, parts.latent_channels, height // factor, width // factor), device).to(shape.dtype)
    return torch.no_grad()(lambda: vae.decode(latents).sample.float())


@torch.no_grad()
def _forward(video: VideoUNet, latents: Tensor, context: Tensor) -> None:
    video(latents, 500, context)


def _learn(tuning: Tuning, latents: Tensor, context: Tensor, rung: Rung) -> None:
    with learning(tuning):
        with recomputing(tuning.video, rung):
            prediction = tuning.video(latents, 500, context)
            gradients(tuning, F.mse_loss(prediction.float(), latents))
        tuning.optimizer.step()


def _settings(shape: Shape) -> TuneSettings:
    return TuneSettings(scope=shape.scope, recompute="none")


def _video(parts: BaseParts, shape: Shape, device: Any) -> VideoUNet:
    unet = _built(blueprint(parts, "unet"), shape.dtype, device)
    video = inflate(unet, frame_attention=shape.frame_attention)  # type: ignore[arg-type]
    return video.to("meta") if str(device) == "meta" else video


def _built(network: Any, dtype: torch.dtype, device: Any) -> Any:
    """A network of the blueprint with made-up weights."""
    network = nn.Module.to(network, dtype)  # diffusers' own warns of what a base's networks do not have
    if str(device) != "meta":
        network = network.to_empty(device=device)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.fill_(0.01)
    return network.eval().requires_grad_(False)


def _filled(shape: tuple[int, ...], device: Any) -> Tensor:
    return torch.full(shape, 0.5, device=device)


def _bytes(x: Tensor) -> int:
    return x.numel() * x.element_size()
