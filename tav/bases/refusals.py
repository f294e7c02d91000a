"""Bases that cannot be inflated, each refused with its reason, from the configs alone. No torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tav.errors import BaseModelError

Config = dict[str, Any]

_BLOCKS = {
    "down_block_types": {"CrossAttnDownBlock2D", "DownBlock2D"},
    "up_block_types": {"UpBlock2D", "CrossAttnUpBlock2D"},
    "mid_block_type": {"UNetMidBlock2DCrossAttn"},
}
_CHOOSE = "choose a base of the Stable Diffusion 1.x or 2.x family"
# UNet options that make it another network: with text other than CLIP's, classes, pooled text, other attention.
_MUST_BE_UNSET = (
    "addition_embed_type",
    "class_embed_type",
    "num_class_embeds",
    "encoder_hid_dim",
    "encoder_hid_dim_type",
    "time_cond_proj_dim",
)
_MUST_BE_FALSE = ("dual_cross_attention", "only_cross_attention", "mid_block_only_cross_attention")
_MUST_BE_DEFAULT = ("resnet_time_scale_shift", "attention_type")


def refuse_foreign(folder: Path, configs: dict[str, Config]) -> None:
    """Raise BaseModelError for the first reason why the base in `folder` cannot be inflated, if there is one.

    `configs` holds those of unet, vae, text_encoder that were found; what is not there is not judged.
    """
    for reason, hint in _reasons(configs):
        raise BaseModelError(f"base {folder} cannot be inflated: {reason}", hint)


def _reasons(configs: dict[str, Config]) -> Iterator[tuple[str, str]]:
    unet, vae, text = configs.get("unet"), configs.get("vae"), configs.get("text_encoder")
    if unet is not None:
        yield from _unet_kind(unet)
        yield from ((reason, _CHOOSE) for reason in _unet_options(unet))
    if vae is not None:
        yield from ((reason, _CHOOSE) for reason in _vae_options(vae))
    if text is not None:
        yield from ((reason, _CHOOSE) for reason in _text_kind(text))
    if unet is not None and vae is not None:
        yield from ((reason, _CHOOSE) for reason in _channels(unet, vae))
    if unet is not None and text is not None:
        yield from ((reason, _CHOOSE) for reason in _text_width(unet, text))


def _unet_kind(unet: Config) -> Iterator[tuple[str, str]]:
    kind = unet.get("_class_name", "UNet2DConditionModel")
    if kind == "UNet3DConditionModel":
        yield "its UNet is a video UNet already (UNet3DConditionModel)", "give the 2-D base that it was made from"
    elif kind != "UNet2DConditionModel":
        yield f"its UNet is a {kind}, not a UNet2DConditionModel", _CHOOSE


def _unet_options(unet: Config) -> Iterator[str]:
    for name in _MUST_BE_UNSET:
        if unet.get(name) is not None:
            yield f"its UNet has {name} = {unet[name]} (SDXL and other relatives of Stable Diffusion)"
    for name in _MUST_BE_FALSE:
        value = unet.get(name) or False
        if value is True or (isinstance(value, list) and any(value)):
            yield f"its UNet has {name}"
    for name in _MUST_BE_DEFAULT:
        if unet.get(name, "default") != "default":
            yield f"its UNet has {name} = {unet[name]}"
    for name, known in _BLOCKS.items():
        for block in _listed(unet.get(name)):
            if block not in known:
                yield f"its UNet has a block {block}, which is not one of Stable Diffusion's"


def _vae_options(vae: Config) -> Iterator[str]:
    kind = vae.get("_class_name", "AutoencoderKL")
    if kind != "AutoencoderKL":
        yield f"its VAE is a {kind}, not an AutoencoderKL"
    for name in ("shift_factor", "latents_mean", "latents_std"):
        if vae.get(name) is not None:
            yield f"its VAE has {name}, which Stable Diffusion's has not"


def _text_kind(text: Config) -> Iterator[str]:
    kinds = text.get("architectures") or ["CLIPTextModel"]
    if "CLIPTextModel" not in kinds:
        yield f"its text encoder is a {kinds[0]}, not a CLIPTextModel"


def _channels(unet: Config, vae: Config) -> Iterator[str]:
    latent = vae.get("latent_channels", 4)
    taken, given = unet.get("in_channels", 4), unet.get("out_channels", 4)
    if taken != latent:
        yield f"its UNet takes {taken} channels, its VAE has {latent} (an inpainting or depth base?)"
    if given != latent:
        yield f"its UNet gives {given} channels, its VAE has {latent}"


def _text_width(unet: Config, text: Config) -> Iterator[str]:
    width = text.get("hidden_size", 512)
    for taken in _listed(unet.get("cross_attention_dim", 1280)):
        if taken != width:
            yield f"its UNet reads text of width {taken}, its text encoder gives {width}"


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
