"""Tuned parameters on disk: one safetensors file of 149 MB for SD 1.x instead of a 4 GB pipeline.

The file holds, in float16, the difference to the base for each query (`<name>.diff`), and the temporal layers. Imported
weights keep their precision and hold whole queries, since rounding would change the network.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tav.errors import CheckpointError
from tav.nets.inflate import VideoUNet
from tav.tensor_files import read_tensors, save_tensors


def save_tuned(path: Path, video: VideoUNet, provenance: dict[str, Any]) -> None:
    """Write the tuned parameters, and set the network's to the rounded values, so that a reload is bit-equal."""
    tensors = {}
    for name, tuned in video.tuned.items():
        value = tuned.parameter.detach()
        if tuned.base is None:
            tensors[name] = value.half()
        else:
            tensors[f"{name}.diff"] = (value - tuned.base.float()).half()
    save_tensors(path, "tuned", tensors, provenance)
    _apply(video, tensors)


def load_tuned(path: Path, video: VideoUNet) -> dict[str, Any]:
    """Put tuned parameters into the network and return their provenance. Raises CheckpointError if they do not fit.

    Imported files hold whole queries in their own precision, and `norm_temp` where it is not the identity.
    """
    tensors, provenance = read_tensors(path, "tuned")
    if not _fits(video, tensors):
        raise CheckpointError(f"{path.name} belongs to another network than this base", "tune this base: `tav tune`")
    _apply(video, tensors)
    for name, norm in video.norms.items():
        norm.reset_parameters()
        given = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        norm.load_state_dict(given, strict=False)
    return provenance


def difference(path: Path, video: VideoUNet) -> dict[str, Tensor]:
    """The tensors of a tuned file, checked to fit another base's network `video`, which needs no weights.

    Raises CheckpointError as `load_tuned`, and for imported files, which hold whole queries.
    """
    tensors, _ = read_tensors(path, "tuned")
    if any(name in tensors for name, tuned in video.tuned.items() if tuned.base is not None):
        raise CheckpointError(
            "imported weights hold whole queries, not what tuning changed in them", "tune here to carry that over"
        )
    if not _fits(video, tensors):
        raise CheckpointError(f"{path.name} belongs to a network of other shapes", "tune the new base: `tav tune`")
    return tensors


def _fits(video: VideoUNet, tensors: dict[str, Tensor]) -> bool:
    whole_or_difference = {
        f"{name}.diff" if tuned.base is not None and f"{name}.diff" in tensors else name: tuned.parameter.shape
        for name, tuned in video.tuned.items()
    }
    norms = {
        f"{name}.{key}": value.shape for name, norm in video.norms.items() for key, value in norm.named_parameters()
    }
    shapes = norms | whole_or_difference
    complete = whole_or_difference.keys() <= tensors.keys() <= shapes.keys()
    return complete and all(tensor.shape == shapes[name] for name, tensor in tensors.items())


@torch.no_grad()
def _apply(video: VideoUNet, tensors: dict[str, Tensor]) -> None:
    """Set each tuned weight to base + difference, or to the file's weight where it is whole."""
    for name, tuned in video.tuned.items():
        if name in tensors:
            tuned.parameter.copy_(tensors[name])
        elif tuned.base is not None:
            difference = tensors[f"{name}.diff"].to(tuned.parameter.device)
            tuned.parameter.copy_(tuned.base.float() + difference.float())
