"""The base's folder: the diffusers Stable Diffusion layout in fp16, with lexicon, recommendations and origin."""

import json
import subprocess
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tav.atomic import replacing, write_text
from tav.storybook.train.diffusion import SCHEDULER, TextToImage
from tav.storybook.train.loop import Past, Progress
from tav.storybook.words import write_lexicon, write_tokenizer

_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
_WEIGHTS = {
    "vae": "diffusion_pytorch_model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


def write_words(folder: Path) -> int:
    """Write tokenizer and lexicon; returns the number of token ids."""
    write_lexicon(folder / "lexicon.json")
    return write_tokenizer(folder / "tokenizer")


def write_vae(folder: Path, vae: Any, scaling_factor: float) -> None:
    """Write the VAE with its scaling factor."""
    vae.register_to_config(scaling_factor=scaling_factor)
    _write_part(folder, "vae", vae, dict(vae.config))


def write_diffusion(folder: Path, model: TextToImage) -> None:
    """Write text encoder, UNet and scheduler."""
    _write_part(folder, "unet", model.unet, dict(model.unet.config))
    _write_part(folder, "text_encoder", model.text, model.text.config.to_dict() | {"dtype": "float16"})
    _write_json(folder / "scheduler" / "scheduler_config.json", {"_class_name": "DDIMScheduler", **SCHEDULER})
    _write_json(folder / "model_index.json", _INDEX)


def recommend(folder: Path, settings: dict[str, Any]) -> None:
    """Write `tav.json`: the settings that tav uses for this base by default."""
    _write_json(folder / "tav.json", settings)


def describe(folder: Path, progress: Progress) -> None:
    """Add to `training.json` how a plan's weights were trained."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    plan = progress.plan
    facts = {"steps": progress.step, "seconds": round(progress.seconds), "seed": plan.seed, "rate": plan.rate}
    _write_json(folder / "training.json", read_origin(folder) | {plan.name: {**facts, "commit": commit.stdout.strip()}})


def past_of(folder: Path, name: str) -> Past:
    """The training that the weights in a folder have had, by the plan's name."""
    origin = read_origin(folder).get(name, {})
    return Past(int(origin.get("steps", 0)), float(origin.get("seconds", 0.0)))


def read_config(folder: Path, part: str) -> dict[str, Any]:
    """The content of a part's config.json."""
    return dict(json.loads((folder / part / "config.json").read_text(encoding="utf-8")))


def read_origin(folder: Path) -> dict[str, Any]:
    """The content of `training.json`; empty if there is none."""
    path = folder / "training.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def take_up(model: nn.Module, folder: Path, part: str) -> bool:
    """Load a part's weights from the base in `folder` into the model; False if there are none that fit."""
    path = folder / part / _WEIGHTS[part]
    if not path.exists():
        return False
    tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    own = model.state_dict()
    if {n: t.shape for n, t in tensors.items()} != {n: own[n].shape for n in own}:
        return False
    model.load_state_dict(tensors)
    return True


def _write_part(folder: Path, part: str, model: nn.Module, config: dict[str, Any]) -> None:
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous() for name, tensor in model.state_dict().items()
    }
    path = folder / part / _WEIGHTS[part]
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    known = {"_class_name": type(model).__name__} if part != "text_encoder" else {"architectures": ["CLIPTextModel"]}
    _write_json(folder / part / "config.json", {**known, **{k: v for k, v in config.items() if k[0] != "_"}})


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=2, default=str) + "\n")
