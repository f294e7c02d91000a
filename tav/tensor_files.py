"""Tensors on disk: safetensors files with a kind and a provenance. Pickles are never read or written here."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tav import formats
from tav.atomic import replacing
from tav.errors import CheckpointError
from tav.formats import refuse_newer

# The metadata entry that all these files have.
FORMAT = f"tav-{formats.FORMAT}"
_OS_ERROR = re.compile(r"\(os error ([0-9]+)\)")
_ANY_FORMAT = re.compile(r"tav-([0-9]{1,9})")


def save_tensors(path: Path, kind: str, tensors: dict[str, Tensor], provenance: dict[str, Any]) -> None:
    """Write tensors, atomically, with `kind` (tuned, state, latents, ...) and provenance (JSON) in the metadata."""
    # One entry: safetensors writes several in a random order, and equal results should be equal files.
    metadata = {FORMAT: json.dumps({"kind": kind, "provenance": provenance}, sort_keys=True)}
    try:
        with replacing(path) as temporary:
            save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, temporary, metadata)
    except SafetensorError as error:
        number = _OS_ERROR.search(str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def read_tensors(path: Path, kind: str, **axes: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, provenance) of a file; `axes` names tensors that it must hold, and their numbers of axes.

    Raises CheckpointError for a file that is unreadable, of another kind or without such a tensor, NewerFormatError for
    a file of a later tav.
    """
    with _opened(path, kind) as (file, provenance):
        names = file.keys()  # the file is not a dict
        tensors = {name: file.get_tensor(name) for name in names}
    lacking = [name for name, count in axes.items() if name not in tensors or tensors[name].dim() != count]
    if lacking:
        raise CheckpointError(f"{path.name} has no {', '.join(lacking)}", f"remove {path} and it is made again")
    return tensors, provenance


def read_provenance(path: Path, kind: str) -> dict[str, Any]:
    """The provenance of a file, without its tensors. Raises as `read_tensors`."""
    with _opened(path, kind) as (_, provenance):
        return provenance


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    try:
        with _readable(path) as name, safe_open(name, "pt") as file:
            metadata = file.metadata() or {}
            for number in filter(None, map(_ANY_FORMAT.fullmatch, metadata)):
                refuse_newer(int(number[1]), str(path))
            written = json.loads(metadata.get(FORMAT, "{}"))
            if written.get("kind") != kind or not isinstance(written.get("provenance", {}), dict):
                raise CheckpointError(
                    f"{path.name} is not tav's own (no `{kind}` of format {FORMAT})", f"remove {path}"
                )
            yield file, written["provenance"]
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path.name} cannot be read: {reason}", f"remove {path} and it is made again") from None


@contextmanager
def _readable(path: Path) -> Iterator[str]:
    """A name of the file that safetensors can open: it takes UTF-8 names only."""
    name = str(path)
    if name.encode(errors="ignore").decode() == name:
        yield name
        return
    with path.open("rb") as file:
        yield f"/dev/fd/{file.fileno()}"
