"""Reading tuned weights from official pipelines, slim files and forks' files, and checking them against the base.

Files are untrusted: pickles are read only if they hold plain tensors, and weights that do not fit are refused.
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
    """Tuned weights of another program under tav's names, whole and in their own precision.

    `norm_temp` is included only where it is not the identity. `rounded`: the file's frozen weights equal the base's
    only in the coarser of their two precisions. `layout` is shown to users.
    """

    layout: str
    tensors: Tensors
    rounded: bool

    @property
    def digest(self) -> str:
        """sha256 (hex) over names, precisions and values; it does not depend on the file."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            found.update(f"{name}\0{tensor.dtype}\0".encode())
            found.update(tensor.view(torch.uint8).numpy().data)
        return found.hexdigest()

    @property
    def bytes(self) -> int:
        """Size of the tensors in bytes."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def read_foreign(path: Path, parts: BaseParts) -> Foreign:
    """The tuned weights at `path`, a pipeline folder or a file, for the base `parts`.

    All frozen weights there are compared with the base's. Raises CheckpointError if the file cannot be read, is of
    another kind, or belongs to another base.
    """
    if not path.exists():
        raise CheckpointError(f"{path} is not there", _WANTED)
    with _checkpoint_errors():
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
    # Copied, since mapped tensors change with the file.
    copies = {name: tensor.detach().contiguous().clone() for name, tensor in taken.items()}
    return Foreign(layout, copies, rounded)


@contextmanager
def _checkpoint_errors() -> Iterator[None]:
    """Turn BaseModelErrors about weight files into CheckpointErrors, whose hint is not to fetch a base again."""
    try:
        yield
    except BaseModelError as error:
        raise CheckpointError(error.message, _ANOTHER_COPY) from None


def _tensors(path: Path, parts: BaseParts) -> Tensors:
    """All tensors of a file, or of a folder's UNet whose config must describe the base's."""
    if path.is_file():
        return dict(tensors_in(path))
    folder = unet_folder(path)
    if folder is None:
        raise CheckpointError(f"{path} is not a pipeline: it has no unet/config.json", _WANTED)
    weights = find_weights(folder, "unet")
    if not isinstance(weights, Weights):
        raise CheckpointError(f"{path} is incomplete: missing {', '.join(weights)}", _WANTED)
    held = _held(weights)
    # First the kind of network: the parameters' names tell it, the config's class name does not.
    _refuse_other_kinds(path, {plain_name(name) for name in held})
    if fields := differing_fields(read_json(folder / "config.json"), parts.unet.config):
        raise _other_base(path, f"its UNet has another {fields[0]}")
    return held


def _held(weights: Weights) -> Tensors:
    return {name: tensor for file in weights.files for name, tensor in tensors_in(file)}


def _parts(path: Path, frozen: Tensors) -> Iterator[tuple[str, Tensors]]:
    """(part, tensors) for all weights that must equal the base's."""
    yield "unet", frozen
    for part in ("vae", "text_encoder"):
        weights = find_weights(path / part, part) if (path / part).is_dir() else None
        if isinstance(weights, Weights):
            yield part, _held(weights)


def _refuse_other_kinds(path: Path, names: set[str]) -> None:
    if not any(".attn_temp." in name for name in names):
        raise CheckpointError(f"{path} is {kind_of(names)}: it has no temporal attention (attn_temp)", _WANTED)


def _check_shapes(path: Path, held: Tensors, network: VideoUNet) -> None:
    """Raise CheckpointError if a tuned weight is missing, or a weight is not the network's or of another shape."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    for names, what in (
        (network.tuned.keys() - held.keys(), "lacks"),
        (held.keys() - shapes.keys(), "holds a weight that this base does not have:"),
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
    """Whether this weight or bias of a norm is that of the identity."""
    return bool((tensor == (1 if name.endswith("weight") else 0)).all())


def _compared(path: Path, part: str, tensors: Tensors, parts: BaseParts) -> bool:
    """Raise CheckpointError for frozen weights that differ from the base's; True if equal only when rounded."""
    base = {_key(name): tensor for name, tensor in _held(getattr(parts, part).weights).items()}
    rounded = False
    for name, tensor in tensors.items():
        # Buffers are not weights, and libraries differ in them.
        own = base.get(_key(name))
        if own is None or not (own.is_floating_point() and tensor.is_floating_point()):
            continue
        if own.shape != tensor.shape or not torch.equal(*_coarser(own, tensor)):
            raise _other_base(path, f"{part} weight {name} differs")
        rounded |= own.dtype != tensor.dtype
    return rounded


def _key(name: str) -> str:
    """A parameter's name, the same for old and new libraries."""
    return new_name(name).removeprefix("text_model.")


def _coarser(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both tensors in the coarser of their precisions."""
    dtype = max(one.dtype, other.dtype, key=lambda dtype: torch.finfo(dtype).eps)
    return one.to(dtype), other.to(dtype)


def _other_base(path: Path, reason: str) -> CheckpointError:
    hint = "set `base` in tav.toml to the one it was tuned on"
    if path.is_dir():
        hint += f"; `tav bases extract {path} FOLDER` takes it out of the pipeline"
    return CheckpointError(f"{path} was tuned on another base: {reason}", hint)
