"""Loading a base: tokenizer, text encoder, VAE and 2-D UNet, together or one by one, never with a random weight.

The preflight chooses the files, so the digest covers all that is loaded. Networks are built from their configs without
memory and then take the files' tensors: there is no second copy, accelerate is not needed, and one way serves single
files, shards, fp16 and pickles.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from tav.bases.catalog import resolve
from tav.bases.library_logging import quiet
from tav.bases.parts import BaseParts, Part, inspect_base
from tav.bases.text import load_tokenizer
from tav.bases.weight_reader import read_weights
from tav.diffusion.schedule import NoiseSchedule
from tav.errors import BaseModelError

# Names of the middle block's attention in VAEs saved before diffusers 0.15.
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD_NAME = re.compile(r"(mid_block\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")
_OTHER = "choose another base, or fetch this one again"
# Errors of the libraries for a config that they cannot build.
_UNBUILDABLE = (
    TypeError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    RuntimeError,
    ZeroDivisionError,
    StrictDataclassError,
)


@dataclass(frozen=True, eq=False)
class Base:
    """A loaded base; its networks are frozen and in evaluation mode."""

    path: Path
    parts: BaseParts
    tokenizer: Any
    text_encoder: Any
    vae: Any
    unet: Any
    schedule: NoiseSchedule


def load_base(source: str | Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Base:
    """Load the base in a folder, or one in the local hub cache ("org/name").

    Raises BaseModelError for a base that is absent, incomplete, damaged, of another kind, or without some weight.
    """
    parts = inspect_base(resolve(str(source)))
    schedule = NoiseSchedule.from_config(parts.scheduler)
    tokenizer, text_encoder = load_text(parts, device, dtype)
    vae, unet = load_vae(parts, device, dtype), load_unet(parts, device, dtype)
    return Base(parts.folder, parts, tokenizer, text_encoder, vae, unet, schedule)


def load_unet(parts: BaseParts, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Any:
    """The base's UNet, a frozen diffusers UNet2DConditionModel."""
    return _frozen(_diffusers_model(UNet2DConditionModel, parts.unet, device, dtype))


def load_vae(parts: BaseParts, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Any:
    """The base's VAE, a frozen diffusers AutoencoderKL."""
    return _frozen(_diffusers_model(AutoencoderKL, parts.vae, device, dtype))


def load_text(parts: BaseParts, device: str = "cpu", dtype: torch.dtype = torch.float32) -> tuple[Any, Any]:
    """(tokenizer, frozen transformers CLIPTextModel) of the base."""
    tokenizer, part = load_tokenizer(parts), parts.text_encoder
    weights = read_weights(part.weights.files, "cpu", dtype)
    with quiet():
        model, report = _built(
            part,
            lambda: CLIPTextModel.from_pretrained(
                None,
                config=CLIPTextConfig.from_dict(part.config),
                state_dict=weights,
                dtype=dtype,
                output_loading_info=True,
                # These are reported like missing ones; the library's own error is a table.
                ignore_mismatched_sizes=True,
            ),
        )
    _refuse_unfit(part, report["missing_keys"], [name for name, *_ in report["mismatched_keys"]])
    if len(tokenizer) > model.config.vocab_size:
        raise BaseModelError(
            f"base {parts.folder}: tokenizer of {len(tokenizer)} tokens, text encoder of {model.config.vocab_size}",
            "they are of different bases: fetch the base again",
        )
    return tokenizer, _frozen(model.to(device))


def blueprint(parts: BaseParts, name: Literal["unet", "vae"]) -> Any:
    """A network built from its config without weights (on the meta device), for counting before any are read."""
    kinds = {"unet": UNet2DConditionModel, "vae": AutoencoderKL}
    return _without_weights(kinds[name], {"unet": parts.unet, "vae": parts.vae}[name])


def _without_weights(kind: Any, part: Part) -> Any:
    with quiet(), torch.device("meta"):
        return _built(part, lambda: kind.from_config(part.config))


def _diffusers_model(kind: Any, part: Part, device: str, dtype: torch.dtype) -> Any:
    model = _without_weights(kind, part)
    weights = _renamed(read_weights(part.weights.files, device, dtype))
    expected = model.state_dict()
    missing = expected.keys() - weights.keys()
    mismatched = [name for name in expected.keys() & weights.keys() if expected[name].shape != weights[name].shape]
    _refuse_unfit(part, missing, mismatched)
    model.load_state_dict({name: weights[name] for name in expected}, assign=True)
    return model


def _built(part: Part, build: Callable[[], Any]) -> Any:
    try:
        return build()
    except _UNBUILDABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise BaseModelError(f"no network can be built from {part.config_file}: {reason}", _OTHER) from None


def _renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {new_name(name): tensor for name, tensor in weights.items()}


def new_name(name: str) -> str:
    """A parameter's name in the current libraries."""
    return _OLD_NAME.sub(lambda found: f"{found[1]}.{_OLD_ATTENTION[found[2]]}.{found[3]}", name)


def _refuse_unfit(part: Part, missing: Any, mismatched: Any) -> None:
    """Raise BaseModelError when the files lack weights of the network, or have them in another shape."""
    for names, what in ((sorted(missing), "lacks"), (sorted(mismatched), "has another shape of")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            place = part.weights.index or part.weights.files[0]
            raise BaseModelError(f"{place} {what} {names[0]}{more}", f"it does not belong to {part.config_file}")


def _frozen(model: nn.Module) -> nn.Module:
    return model.eval().requires_grad_(False)
