"""Memory, operations and speed of a run, known before weights load.

Memory and operations are counted on meta tensors, the speed is measured in a calibration. Networks are built from a
base's configs: on the meta device to count, with constant weights to calibrate.
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
# The most operations of a calibration step, so that it takes seconds: by device type, and for other devices.
_MOST_FLOPS = {"cuda": 2e13}
_MOST_FLOPS_ELSEWHERE = 1e11
_FRAMES = 4
# The overhead of allocators and kernels grows with the work; above this factor the growth is not known.
_MOST_SCALE = 4.0


@dataclass(frozen=True)
class Shape:
    """The quantities that decide the cost of a run: frames, picture size (width, height), precision, tuned blocks."""

    frames: int
    size: tuple[int, int]
    dtype: torch.dtype
    scope: Literal["all", "mid_up"] = "all"
    frame_attention: str = "sparse-causal"


@dataclass(frozen=True)
class Speed:
    """Measured speed of one kind of work on one device.

    `flops`: operations a second. `overhead`: bytes used beyond the counted ones. `scale`: the real work divided by the
    measured work, at most `_MOST_SCALE`. `setup`: seconds to build the network.
    """

    flops: float
    overhead: int
    scale: float
    setup: float


def weights(parts: BaseParts, shape: Shape) -> dict[str, int]:
    """Bytes of each loaded network: `unet` (inflated), `vae` and `text`."""
    video = _video(parts, shape, "meta")
    bases = sum(_bytes(tuned.base) for tuned in video.tuned.values() if tuned.base is not None)
    unet = sum(map(_bytes, video.unet.state_dict().values())) + bases
    vae = sum(map(_bytes, _built(blueprint(parts, "vae"), shape.dtype, "meta").state_dict().values()))
    files = sum(path.stat().st_size for path in parts.text_encoder.weights.files)
    return {"unet": unet, "vae": vae, "text": files}


def tuned_values(parts: BaseParts, shape: Shape) -> int:
    """Number of values that tuning learns."""
    video = _video(parts, shape, "meta")
    return sum(parameter.numel() for parameter in Tuning(video, _settings(shape)).parameters.values())


def cost(parts: BaseParts, shape: Shape, work: Work, rung: Rung = "none", kernels: Kernels | None = None) -> Cost:
    """Cost of a tuning step (with its optimiser), a forward pass, or one chunk of frames in the VAE."""
    return count(_prepared(parts, shape, work, rung, "meta", kernels))


def calibrate(parts: BaseParts, shape: Shape, work: Work, device: torch.device, kernels: Kernels | None) -> Speed:
    """The speed of `work` on `device`, measured with constant weights on few frames and, if needed, small pictures."""
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
    counted = cost(parts, few, work, kernels=kernels)  # after the steps, which choose the kernels
    free_cached(device)
    scale = min(_MOST_SCALE, cost(parts, shape, work, kernels=kernels).flops / counted.flops)
    return Speed(counted.flops / statistics.median(seconds), max(0, peak.bytes - counted.peak), scale, setup)


def _small(parts: BaseParts, shape: Shape, work: Work, most: float) -> Shape:
    """`shape` reduced until `work` takes at most `most` operations: frames are halved first, then the sides."""
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
    """A function without arguments that does the work once, on meta tensors or with constant weights on a device."""
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
    """The network in `dtype` on `device`, with constant weights unless it is the meta device."""
    network = nn.Module.to(network, dtype)  # diffusers' own `to` warns about modules that no base has
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
