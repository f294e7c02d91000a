"""The choice among the possible weight files of a part, in a folder and on the hub. No torch."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tav.model_config import read_json

# (stem of .safetensors, stem of .bin): diffusers and transformers name their files differently.
STEMS = {
    "unet": ("diffusion_pytorch_model", "diffusion_pytorch_model"),
    "vae": ("diffusion_pytorch_model", "diffusion_pytorch_model"),
    "text_encoder": ("model", "pytorch_model"),
}
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Weights:
    """The weight files of one part: one file, or the shards that an index lists."""

    files: tuple[Path, ...]
    index: Path | None = None


def find_weights(folder: Path, part: str) -> Weights | list[str]:
    """The best complete weights in `folder`, or the names of what is missing.

    Full precision before fp16, safetensors before pickles. Raises BaseModelError when an index is not readable.
    """
    missing: list[str] = []
    for single, indexes in _candidates(part):
        if _is_there(folder / single):
            return Weights((folder / single,))
        for index in (folder / name for name in indexes if (folder / name).is_file()):
            shards = _shards(index)
            absent = [shard for shard in shards if not _is_there(folder / shard)]
            if shards and not absent:
                return Weights(tuple(folder / shard for shard in shards), index)
            missing = missing or [f"{part}/{shard}" for shard in absent]
    return missing or [f"{part} weights"]


def _candidates(part: str) -> list[tuple[str, tuple[str, ...]]]:
    """(name of a single file, names of its possible indexes), best first."""
    safe, pickled = STEMS[part]
    full = [
        (f"{stem}.{kind}", (f"{stem}.{kind}.index.json",)) for stem, kind in ((safe, "safetensors"), (pickled, "bin"))
    ]
    half = [
        (f"{stem}.fp16.{kind}", (f"{stem}.{kind}.index.fp16.json", f"{stem}.fp16.{kind}.index.json"))
        for stem, kind in ((safe, "safetensors"), (pickled, "bin"))
    ]
    return [full[0], half[0], full[1], half[1]]


def _shards(index: Path) -> list[str]:
    listed: Any = read_json(index).get("weight_map")
    values = listed.values() if isinstance(listed, dict) else []
    # A shard lies beside its index; a path that leads elsewhere is not followed.
    return sorted({name for name in values if isinstance(name, str) and Path(name).name == name})


def _is_there(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return not file.read(len(_LFS_POINTER)).startswith(_LFS_POINTER)


def choose_download(names: Iterable[str], part: str) -> list[str]:
    """The smallest sufficient weights of `part` among a repository's file `names` (fp16 first); [] if it has none."""
    inside = [name.removeprefix(f"{part}/") for name in names if name.startswith(f"{part}/")]
    safe, pickled = STEMS[part]
    for stem, kind in ((safe, "safetensors"), (pickled, "bin")):
        for variant in (r"\.fp16", ""):
            chosen = [name for name in inside if _pattern(stem, kind, variant).fullmatch(name)]
            if any(name.endswith(f".{kind}") for name in chosen):
                return sorted(f"{part}/{name}" for name in _whole_or_shards(chosen, kind))
    return []


def _pattern(stem: str, kind: str, variant: str) -> re.Pattern[str]:
    shard = r"-\d{5}-of-\d{5}"
    file = rf"{stem}(?:{variant}(?:{shard})?|{shard}{variant})\.{kind}"
    index = rf"{stem}(?:{variant}\.{kind}\.index|\.{kind}\.index{variant})\.json"
    return re.compile(f"{file}|{index}")


def _whole_or_shards(names: list[str], kind: str) -> list[str]:
    whole = [name for name in names if name.endswith(f".{kind}") and "-of-" not in name]
    return whole[:1] or names
