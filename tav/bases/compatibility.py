"""The check, from the configs alone, that a base can be inflated; a refusal gives the reason. No torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tav.errors import BaseModelError
from tav.model_config import Config, TextConfig, UNetConfig, VaeConfig

_BLOCKS = {
    "down_block_types": {"CrossAttnDownBlock2D", "DownBlock2D"},
    "up_block_types": {"UpBlock2D", "CrossAttnUpBlock2D"},
    "mid_block_type": {"UNetMidBlock2DCrossAttn"},
}
_CHOOSE = "choose a base of the Stable Diffusion 1.x or 2.x family"
_EXTRACT = "give the 2-D base that it was made from; `tav bases extract` takes one out of an official pipeline"
# UNet options for other networks: other text encoders than CLIP's, classes, pooled text, other attention.
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


def refuse_foreign(folder: Path, configs: dict[str, Any]) -> None:
    """Raise BaseModelError for the first reason why the base in `folder` cannot be inflated, if there is one.

    `configs` holds the configs found of unet, vae and text_encoder; a missing one is not checked.
    """
    for reason, hint in _reasons(configs.get("unet"), configs.get("vae"), configs.get("text_encoder")):
        raise BaseModelError(f"base {folder} cannot be inflated: {reason}", hint)


def _reasons(unet: UNetConfig | None, vae: VaeConfig | None, text: TextConfig | None) -> Iterator[tuple[str, str]]:
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


def _unet_kind(unet: UNetConfig) -> Iterator[tuple[str, str]]:
    if unet.class_name == "UNet3DConditionModel":
        yield "its UNet is a video UNet already (UNet3DConditionModel)", _EXTRACT
    elif unet.class_name != "UNet2DConditionModel":
        yield f"its UNet is a {unet.class_name}, not a UNet2DConditionModel", _CHOOSE


def _unet_options(unet: UNetConfig) -> Iterator[str]:
    for name in _given(unet, _MUST_BE_UNSET):
        yield f"its UNet has {name} = {getattr(unet, name)!r:.80} (SDXL and other relatives of Stable Diffusion)"
    for name in _MUST_BE_FALSE:
        if any(_listed(getattr(unet, name))):
            yield f"its UNet has {name}"
    for name in _MUST_BE_DEFAULT:
        if getattr(unet, name) != "default":
            yield f"its UNet has {name} = {getattr(unet, name)}"
    for name, known in _BLOCKS.items():
        for block in _listed(getattr(unet, name)):
            if block not in known:
                yield f"its UNet has a block {block}, which is not one of Stable Diffusion's"


def _vae_options(vae: VaeConfig) -> Iterator[str]:
    if vae.class_name != "AutoencoderKL":
        yield f"its VAE is a {vae.class_name}, not an AutoencoderKL"
    for name in _given(vae, ("shift_factor", "latents_mean", "latents_std")):
        yield f"its VAE has {name}, which Stable Diffusion's does not have"


def _text_kind(text: TextConfig) -> Iterator[str]:
    if text.architectures and "CLIPTextModel" not in text.architectures:
        yield f"its text encoder is a {text.architectures[0]}, not a CLIPTextModel"


def _channels(unet: UNetConfig, vae: VaeConfig) -> Iterator[str]:
    latent = vae.latent_channels
    if unet.in_channels != latent:
        yield f"its UNet takes {unet.in_channels} channels, its VAE has {latent} (an inpainting or depth base?)"
    if unet.out_channels != latent:
        yield f"its UNet gives {unet.out_channels} channels, its VAE has {latent}"


def _text_width(unet: UNetConfig, text: TextConfig) -> Iterator[str]:
    for taken in _listed(unet.cross_attention_dim):
        if taken != text.hidden_size:
            yield f"its UNet reads text of width {taken}, its text encoder gives {text.hidden_size}"


def _given(config: Config, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if getattr(config, name) is not None]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
