"""Reading weight files: safetensors, and pickles that hold nothing but plain tensors."""

import pickle
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tav.errors import BaseModelError

_FETCH_AGAIN = "the file is damaged or not what its name says: fetch the base again"


def read_weights(files: tuple[Path, ...], device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """All tensors of `files` by name, copied to `device`, floating-point ones as `dtype`.

    Raises BaseModelError that names a file which cannot be read or holds more than tensors.
    """
    weights: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in tensors_in(file):
            kind = dtype if tensor.is_floating_point() else tensor.dtype
            weights[name] = tensor.to(device=device, dtype=kind, copy=True)
    return weights


def tensors_in(file: Path) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) pairs of a file; memory-mapped, not read, where the format allows. Raises as `read_weights`."""
    return _safetensors(file) if file.suffix == ".safetensors" else _pickled(file)


def _safetensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (not a dict)
                yield name, opened.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise BaseModelError(f"cannot read {file}: {_first_line(error)}", _FETCH_AGAIN) from None


def _pickled(file: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a pickle protocol that torch finds unusual
            # Only the newer format, which is a zip file, can be mapped instead of read whole.
            held = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError:
        raise BaseModelError(
            f"cannot read {file}: it holds more than weights, or is damaged; nothing in it was run",
            "take a base with .safetensors files",
        ) from None
    # A damaged file makes the reader raise any error: IndexError, AssertionError, BadZipFile, ...
    except Exception as error:
        raise BaseModelError(f"cannot read {file}: {_first_line(error)}", _FETCH_AGAIN) from None
    yield from _named(held, file)


def _named(held: Any, file: Path) -> Iterator[tuple[str, Tensor]]:
    plain = isinstance(held, dict) and all(isinstance(tensor, Tensor) for tensor in held.values())
    if not plain or not all(isinstance(name, str) for name in held):
        raise BaseModelError(f"cannot read {file}: not a plain table of tensors", _FETCH_AGAIN)
    yield from held.items()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
