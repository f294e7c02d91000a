"""Writing tuned weights for the official code, as a slim file or a pipeline, and extracting a pipeline's 2-D base.

The official code's libraries are of 2022: old names, no variants, no shards, pickles of plain tensors. All weights are
float32, since it cannot run a network of two precisions.
"""

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from tav.atomic import building, replacing
from tav.bases.load import blueprint
from tav.bases.parts import BaseParts, Part, inspect_base
from tav.bases.weight_files import STEMS
from tav.bases.weight_reader import tensors_in
from tav.conversion.layouts import SCALING_FACTOR, image_config, model_index, old_name, plain_name, video_config
from tav.conversion.official_reader import is_identity
from tav.errors import CheckpointError
from tav.model_config import read_json
from tav.nets.inflate import VideoUNet, inflate

_FLOAT32_BYTES = 4


# Slim -----------------------------------------------------------------------------------------------------------------


def slim_size(parts: BaseParts) -> int:
    """The approximate size of a slim file in bytes."""
    return _FLOAT32_BYTES * sum(tuned.parameter.numel() for tuned in inflate(blueprint(parts, "unet")).tuned.values())


def write_slim(path: Path, video: VideoUNet) -> None:
    """Write the tuned weights of `video`, and those of its norms that are not the identity."""
    wanted = {
        name: tensor
        for name, tensor in video.state_dict().items()
        if name in video.tuned or (".norm_temp." in name and not is_identity(name, tensor))
    }
    with replacing(path) as temporary:
        torch.save(_float32(wanted), temporary)


# Pipeline -------------------------------------------------------------------------------------------------------------


def check_official(parts: BaseParts) -> dict[str, Any]:
    """The official UNet's config for this base. Raises CheckpointError when the official code cannot run it."""
    factor = parts.vae.config.get("scaling_factor", SCALING_FACTOR)
    if factor != SCALING_FACTOR:
        message = f"the official code scales latents by {SCALING_FACTOR}, this base by {factor}"
        raise CheckpointError(message, "--format slim writes the tuned weights alone")
    defaults = {name: one.default for name, one in inspect.signature(UNet2DConditionModel.__init__).parameters.items()}
    return video_config(parts.unet.config, defaults)


def pipeline_size(parts: BaseParts) -> int:
    """The approximate size of a pipeline in bytes."""
    values: int = sum(tensor.numel() for tensor in inflate(blueprint(parts, "unet")).state_dict().values())
    for part in (parts.vae, parts.text_encoder):
        values += sum(tensor.numel() for file in part.weights.files for _, tensor in tensors_in(file))
    return _FLOAT32_BYTES * values


def write_pipeline(folder: Path, parts: BaseParts, video: VideoUNet) -> None:
    """Write a pipeline folder, whole or not at all: the tuned weights of `video`, all else from its base's files.

    Raises CheckpointError as `check_official`.
    """
    config = check_official(parts)
    with building(folder) as temporary:
        _write_json(temporary / "unet" / "config.json", config)
        known = video.state_dict()
        unet = {name: tensor for name, tensor in _mapped(parts.unet).items() if name in known}
        own = {name: tensor for name, tensor in known.items() if name in video.tuned or name not in unet}
        torch.save(unet | _float32(own), temporary / "unet" / f"{STEMS['unet'][1]}.bin")
        del unet, own
        for part in ("vae", "text_encoder"):
            _write_old(temporary / part, part, parts)
        _write_tokenizer(temporary / "tokenizer", parts)
        scheduler = _scheduler(parts)
        _write_json(temporary / "scheduler" / "scheduler_config.json", scheduler)
        _write_json(temporary / "model_index.json", model_index(scheduler["_class_name"]))


def _write_old(folder: Path, part: str, parts: BaseParts) -> None:
    """Write a part that does not change, under its parameters' old names."""
    network = getattr(parts, part)
    _write_json(folder / "config.json", network.config)
    weights = {old_name(part, name): tensor for name, tensor in _mapped(network).items()}
    torch.save(weights, folder / f"{STEMS[part][1]}.bin")


def _write_tokenizer(folder: Path, parts: BaseParts) -> None:
    """Write the tokenizer's files, with vocabulary and merges in files of their own, as old libraries need them."""
    folder.mkdir()
    for file in parts.tokenizer_files:
        shutil.copyfile(file, folder / file.name)
    if not (folder / "vocab.json").is_file() or not (folder / "merges.txt").is_file():
        model = read_json(folder / "tokenizer.json")["model"]
        _write_json(folder / "vocab.json", model["vocab"])
        merges = (one if isinstance(one, str) else " ".join(one) for one in model["merges"])
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")


def _scheduler(parts: BaseParts) -> dict[str, Any]:
    """The base's scheduler config with every value for which old libraries have another default."""
    written = read_json(parts.folder / "scheduler" / "scheduler_config.json")
    read = parts.scheduler.model_dump(exclude_none=True)
    return {"_class_name": "DDIMScheduler", **written, **read, "clip_sample": False}


# The base in a pipeline -----------------------------------------------------------------------------------------------


def base_in(pipeline: Path) -> BaseParts:
    """The 2-D base that `pipeline` holds. Raises BaseModelError if the folder is not a complete pipeline."""
    return inspect_base(pipeline, image_config(read_json(pipeline / "unet" / "config.json")))


def write_base(folder: Path, parts: BaseParts) -> None:
    """Write the base of `base_in` as a diffusers folder, in its own precision; whole or not at all.

    Its attention queries are the tuned ones, since a pipeline does not hold the original ones.
    """
    held = {plain_name(name): tensor for file in parts.unet.weights.files for name, tensor in tensors_in(file)}
    names = blueprint(parts, "unet").state_dict().keys()
    with building(folder) as temporary:
        for file in set(parts.files) - {*parts.unet.weights.files, parts.unet.weights.index, parts.unet.config_file}:
            target = temporary / file.relative_to(parts.folder)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, target)
        _write_json(temporary / "unet" / "config.json", parts.unet.config)
        # Copied: names in a pickle may share memory, which safetensors refuses to write.
        weights = {name: tensor.contiguous().clone() for name, tensor in held.items() if name in names}
        save_file(weights, temporary / "unet" / f"{STEMS['unet'][0]}.safetensors", {"format": "pt"})


def _mapped(part: Part) -> dict[str, Tensor]:
    """A part's weights in float32; a file that has them in float32 is memory-mapped."""
    held = {name: tensor for file in part.weights.files for name, tensor in tensors_in(file)}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in held.items()}


def _float32(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", torch.float32, copy=True) for name, tensor in tensors.items()}


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
