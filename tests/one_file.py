"""A diffusers base as one file in the layout of Stability AI's code: today's names turned back, by hand."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Tensors = dict[str, Tensor]
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "time_embedding.linear_": lambda rest: f"time_embed.{2 * int(rest[0]) - 2}{rest[1:]}",
    "conv_in.": lambda rest: f"input_blocks.0.0.{rest}",
    "conv_norm_out.": lambda rest: f"out.0.{rest}",
    "conv_out.": lambda rest: f"out.2.{rest}",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_OLDER = {"query": "q", "key": "k", "value": "v", "proj_attn": "proj_out"}
_OPEN_CLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


def write_one_file(base: Path, path: Path, open_clip: bool = False) -> Path:
    """Write the base of one layer in each block at `base` as one file, with what else trainers leave in such files."""
    unet = {f"model.diffusion_model.{unet_name(name)}": one for name, one in _weights(base, "unet").items()}
    vae = dict(_vae(_weights(base, "vae")))
    text = _weights(base, "text_encoder")
    text = {name if name.startswith("text_model.") else f"text_model.{name}": one for name, one in text.items()}
    text = (
        _open_clip(text) if open_clip else {f"cond_stage_model.transformer.{name}": one for name, one in text.items()}
    )
    more = {"betas": torch.zeros(3), "model_ema.decay": torch.tensor(0.5)}
    if not open_clip:
        more["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    tensors = {**unet, **{f"first_stage_model.{name}": one for name, one in vae.items()}, **text, **more}
    save_file({name: one.contiguous().clone() for name, one in tensors.items()}, path)
    return path


def unet_name(name: str) -> str:
    """Blocks of one layer are two inputs apart, the second of them the change of size."""
    for start, renamed in _ENDS.items():
        if name.startswith(start):
            return renamed(name.removeprefix(start))
    kind, block, rest = _split(name)
    if kind == "mid":
        layer, number, inner = rest.split(".", 2)
        return f"middle_block.{2 * int(number) + (layer == 'attentions')}.{_resnet(inner)}"
    layer, number, inner = rest.split(".", 2)
    if layer == "downsamplers":
        return f"input_blocks.{2 + 2 * block}.0.op.{inner.removeprefix('conv.')}"
    if layer == "upsamplers":
        # After the attention, in blocks that have one: all but the first.
        return f"output_blocks.{2 * block + 1}.{1 if block == 0 else 2}.{inner}"
    place = f"input_blocks.{1 + 2 * block}" if kind == "down" else f"output_blocks.{2 * block + int(number)}"
    return f"{place}.1.{inner}" if layer == "attentions" else f"{place}.0.{_resnet(inner)}"


def _split(name: str) -> tuple[str, int, str]:
    if name.startswith("mid_block."):
        return "mid", 0, name.removeprefix("mid_block.")
    kind, block, rest = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(.+)", name).groups()
    return kind, int(block), rest


def _resnet(inner: str) -> str:
    first, _, rest = inner.partition(".")
    return f"{_RESNET[first]}.{rest}" if first in _RESNET else inner


def _vae(weights: Tensors):
    blocks = 1 + max(int(found[1]) for name in weights if (found := re.search(r"up_blocks\.(\d+)", name)))
    for name, one in weights.items():
        name = re.sub(r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2", name)
        name = re.sub(r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{blocks - 1 - int(m[1])}.block.{m[2]}", name)
        name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{blocks - 1 - int(m[1])}.upsample", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        if found := re.fullmatch(r"(.+)mid_block\.attentions\.0\.(.+)\.(weight|bias)", name):
            inner = (_ATTENTION | _OLDER)[found[2]]
            name = f"{found[1]}mid.attn_1.{inner}.{found[3]}"
            one = one[:, :, None, None] if one.dim() == 2 else one  # it was a convolution of one pixel
        yield name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut"), one


def _open_clip(text: Tensors) -> Tensors:
    start, made = "cond_stage_model.model.", {}
    for name, one in text.items():
        name = name.removeprefix("text_model.")
        if ".q_proj." in name:
            three = [text[f"text_model.{name.replace('q_proj', f'{which}_proj')}"] for which in "qkv"]
            name = re.sub(
                r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.", r"transformer.resblocks.\1.attn.in_proj_", name
            )
            made[start + name] = torch.cat(three)
        elif found := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name):
            if not found[2].endswith(("k_proj", "v_proj")):
                inner = _OPEN_CLIP.get(found[2], found[2].replace("self_attn", "attn"))
                made[f"{start}transformer.resblocks.{found[1]}.{inner}.{found[3]}"] = one
        elif "position_ids" not in name:
            new = {"embeddings.token_embedding.weight": "token_embedding.weight"}
            new |= {"embeddings.position_embedding.weight": "positional_embedding"}
            made[start + new.get(name, name.replace("final_layer_norm", "ln_final"))] = one
    width = text["text_model.embeddings.token_embedding.weight"].shape[1]
    return made | {f"{start}text_projection": torch.eye(width), f"{start}logit_scale": torch.tensor(1.0)}


def _weights(base: Path, part: str) -> Tensors:
    (file,) = (base / part).glob("*.safetensors")
    return load_file(file)
