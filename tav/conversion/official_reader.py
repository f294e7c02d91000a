"""Tuned weights out of official pipelines, slim files and forks' files; each is checked against the base at hand.

Files are untrusted: pickles are read only as far as they hold plain tensors, and nothing is taken that does not fit.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tav.bases.load import blueprint, new_name
from tav.bases.parts import BaseParts
from tav.bases.weight_files import Weights, find_weights
from tav.bases.weight_reader import tensors_in
from tav.conversion.layouts import differing_fields, kind_of, plain_name, unet_folder
from tav.errors import BaseModelError, CheckpointError
from tav.model_config import read_json
from tav.nets.inflate import VideoUNet, inflate

Tensors = dict[str, Tensor]
_WANTED = "give a pipeline folder of the official Tune-A-Video code, or a slim file (tuneavideo-500.pth)"
_ANOTHER_COPY = "take another copy, one of plain tensors"


@dataclass(frozen=True, eq=False)
class Foreign:
    """Tuned weights from elsewhere under tav's names, whole and in the precision they were given in.

    `norm_temp` is among them only where it is not the identity. `rounded`: frozen weights that were there too equal the
    base's only in the coarser precision of the two. `layout` is for people.
    """

    layout: str
    tensors: Tensors
    rounded: bool

    @property
    def digest(self) -> str:
        """sha256 (hex) over names, precisions and values; the file they came in does not matter."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            found.update(f"{name}\0{tensor.dtype}\0".encode())
            found.update(tensor.view(torch.uint8).numpy().data)
        return found.hexdigest()

    @property
    def bytes(self) -> int:
        """Their size."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def read_foreign(path: Path, parts: BaseParts) -> Foreign:
    """The tuned weights at `path`, a pipeline folder or a file, for the base `parts`.

    Frozen weights that are there too are compared with the base's, all of them. Raises CheckpointError for what cannot
    be read, is something else, or belongs to another base.
    """
    if not path.exists():
        raise CheckpointError(f"{path} is not there", _WANTED)
    with _refusals():
        held = {plain_name(name): tensor for name, tensor in _tensors(path, parts).items()}
        _refuse_other_kinds(path, set(held))
        network = inflate(blueprint(parts, "unet"))
        tuned = {name: tensor for name, tensor in held.items() if name in network.tuned}
        norms = {name: tensor for name, tensor in held.items() if ".norm_temp." in name}
        frozen = {name: tensor for name, tensor in held.items() if name not in tuned and name not in norms}
        _check_shapes(path, held, network)
        rounded = True in {_compared(path, part, tensors, parts) for part, tensors in _parts(path, frozen)}
    taken = tuned | {name: tensor for name, tensor in norms.items() if not is_identity(name, tensor)}
    _check_numbers(path, taken)
    layout = "pipeline" if path.is_dir() else "whole UNet" if frozen else "slim file"
    # Copied, since mapped ones are only as good as the file stays.
    copies = {name: tensor.detach().contiguous().clone() for name, tensor in taken.items()}
    return Foreign(layout, copies, rounded)


@contextmanager
def _refusals() -> Iterator[None]:
    """What is wrong with a weight file is said as for bases, but a base is not what to fetch again."""
    try:
        yield
    except BaseModelError as error:
        raise CheckpointError(error.message, _ANOTHER_COPY) from None


def _tensors(path: Path, parts: BaseParts) -> Tensors:
    """Everything in a file, or in a folder's UNet, once its config is known to describe the base's."""
    if path.is_file():
        return dict(tensors_in(path))
    folder = unet_folder(path)
    if folder is None:
        raise CheckpointError(f"{path} is no pipeline: it has no unet/config.json", _WANTED)
    weights = find_weights(folder, "unet")
    if not isinstance(weights, Weights):
        raise CheckpointError(f"{path} is incomplete: missing {', '.join(weights)}", _WANTED)
    held = _held(weights)
    # What it is comes before what it is not: the names tell, the class's name does not.
    _refuse_other_kinds(path, {plain_name(name) for name in held})
    if fields := differing_fields(read_json(folder / "config.json"), parts.unet.config):
        raise _other_base(path, f"its UNet has another {fields[0]}")
    return held


def _held(weights: Weights) -> Tensors:
    return {name: tensor for file in weights.files for name, tensor in tensors_in(file)}


def _parts(path: Path, frozen: Tensors) -> Iterator[tuple[str, Tensors]]:
    """(part, tensors) of all that has to equal the base's."""
    yield "unet", frozen
    for part in ("vae", "text_encoder"):
        weights = find_weights(path / part, part) if (path / part).is_dir() else None
        if isinstance(weights, Weights):
            yield part, _held(weights)


def _refuse_other_kinds(path: Path, names: set[str]) -> None:
    if not any(".attn_temp." in name for name in names):
        raise CheckpointError(f"{path} is {kind_of(names)}: it has no temporal attention (attn_temp)", _WANTED)


def _check_shapes(path: Path, held: Tensors, network: VideoUNet) -> None:
    """Refuse what lacks a tuned weight, has one that no such network has, or one of another shape."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    for names, what in (
        (network.tuned.keys() - held.keys(), "lacks"),
        (held.keys() - shapes.keys(), "holds what is not of this base"),
        ({name for name in held if held[name].shape != shapes.get(name)}, "has another shape of"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise _other_base(path, f"it {what} {min(names)[:120]}{more}")


def _check_numbers(path: Path, tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise CheckpointError(f"{path}: {name} is of type {tensor.dtype}", _ANOTHER_COPY)
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name} is not finite", "it was damaged in tuning: take an earlier one")


def is_identity(name: str, tensor: Tensor) -> bool:
    """Does this weight or bias of a norm do nothing?"""
    return bool((tensor == (1 if name.endswith("weight") else 0)).all())


def _compared(path: Path, part: str, tensors: Tensors, parts: BaseParts) -> bool:
    """Refuse frozen weights that are not the base's; True if they are so only up to rounding."""
    base = {_key(name): tensor for name, tensor in _held(getattr(parts, part).weights).items()}
    rounded = False
    for name, tensor in tensors.items():
        # Libraries disagree about buffers, which are no weights.
        own = base.get(_key(name))
        if own is None or not (own.is_floating_point() and tensor.is_floating_point()):
            continue
        if own.shape != tensor.shape or not torch.equal(*_coarser(own, tensor)):
            raise _other_base(path, f"{part} weight {name} differs")
        rounded |= own.dtype != tensor.dtype
    return rounded


def _key(name: str) -> str:
    """One name for all spellings of old and new libraries."""
    return new_name(name).removeprefix("text_model.")


def _coarser(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the coarser precision of the two."""
    dtype = max(one.dtype, other.dtype, key=lambda dtype: torch.finfo(dtype).eps)
    return one.to(dtype), other.to(dtype)


def _other_base(path: Path, reason: str) -> CheckpointError:
    hint = "set `base` in tav.toml to the one it was tuned on"
    if path.is_dir():
        hint += f"; `tav bases extract {path} FOLDER` takes it out of the pipeline"
    return CheckpointError(f"{path} was tuned on another base: {reason}", hint)
