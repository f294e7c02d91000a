"""Preflight: what a diffusers Stable Diffusion folder holds and is, from its configs alone. No torch, no weights read.

Parts are found by their subfolder, so a base without `model_index.json` or with a foreign one is as good as any.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tav.bases.configs import read_json
from tav.bases.refusals import refuse_foreign
from tav.bases.weights import Weights, find_weights
from tav.errors import BaseModelError
from tav.settings import BaseRecommendation, parse

_TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_CONFIGS = {
    "unet": "unet/config.json",
    "vae": "vae/config.json",
    "text_encoder": "text_encoder/config.json",
    "scheduler": "scheduler/scheduler_config.json",
}
# What diffusers' classes assume where a config is silent.
_VAE_CHANNELS = (64,)
_UNET_BLOCKS = 4
_SD_SCALING_FACTOR = 0.18215
_SD_SAMPLE_SIZE = 64
_CLIP_TOKENS = 77


@dataclass(frozen=True)
class Part:
    """One network of a base: its config as written, and its weight files."""

    config: dict[str, Any]
    config_file: Path
    weights: Weights


@dataclass(frozen=True)
class BaseParts:
    """A base that is complete and can be inflated. Sizes are (width, height) in pixels."""

    folder: Path
    unet: Part
    vae: Part
    text_encoder: Part
    tokenizer_files: tuple[Path, ...]
    scheduler: dict[str, Any]
    recommendation: BaseRecommendation

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Every file that takes part in what the base computes."""
        networks = (self.unet, self.vae, self.text_encoder)
        files = [self.folder / _CONFIGS["scheduler"], *self.tokenizer_files, *(part.config_file for part in networks)]
        for part in networks:
            files += [*part.weights.files, *([part.weights.index] if part.weights.index else [])]
        return tuple(sorted(files))

    @property
    def vae_factor(self) -> int:
        """How many pixels a latent covers, along each side."""
        return int(2 ** (len(self.vae.config.get("block_out_channels", _VAE_CHANNELS)) - 1))

    @property
    def latent_channels(self) -> int:
        return int(self.vae.config.get("latent_channels", 4))

    @property
    def scaling_factor(self) -> float:
        """Latents are the VAE's values times this."""
        return float(self.vae.config.get("scaling_factor", _SD_SCALING_FACTOR))

    @property
    def native_size(self) -> tuple[int, int]:
        """(width, height) the network was trained on."""
        given = self.unet.config.get("sample_size") or _SD_SAMPLE_SIZE
        height, width = (given, given) if isinstance(given, int) else given
        return int(width) * self.vae_factor, int(height) * self.vae_factor

    @property
    def size_multiple(self) -> int:
        """Sides that are multiples of this pass every level of the UNet without rounding."""
        levels = len(self.unet.config.get("down_block_types", range(_UNET_BLOCKS)))
        return int(self.vae_factor * 2 ** (levels - 1))

    @property
    def prediction_type(self) -> str:
        return str(self.scheduler.get("prediction_type", "epsilon"))

    @property
    def text_tokens(self) -> int:
        """How many tokens the text encoder reads, start and end included."""
        return int(self.text_encoder.config.get("max_position_embeddings", _CLIP_TOKENS))


def inspect_base(folder: Path) -> BaseParts:
    """Check `folder` without reading weights.

    Raises BaseModelError: everything that is missing in one message, else an unreadable config, else the reason why
    this kind of base cannot be inflated. Raises SettingsError for a wrong `tav.json`.
    """
    if not folder.is_dir():
        raise BaseModelError(f"no folder {folder}", "a base is a diffusers Stable Diffusion folder")
    # A video UNet or an SDXL base is better refused for what it is than for what it lacks.
    configs = {part: read_json(folder / name) for part, name in _CONFIGS.items() if (folder / name).is_file()}
    refuse_foreign(folder, configs)
    found = {part: find_weights(folder / part, part) for part in ("unet", "vae", "text_encoder")}
    missing = _missing(folder, found)
    if missing:
        raise BaseModelError(
            f"base {folder} is incomplete: missing {', '.join(missing)}",
            "fetch the base again, or point to a complete diffusers Stable Diffusion folder",
        )
    parts = {
        part: Part(configs[part], folder / _CONFIGS[part], weights)
        for part, weights in found.items()
        if isinstance(weights, Weights)
    }
    tokenizer = tuple(path for name in _TOKENIZER_FILES if (path := folder / "tokenizer" / name).is_file())
    return BaseParts(
        folder,
        parts["unet"],
        parts["vae"],
        parts["text_encoder"],
        tokenizer,
        configs["scheduler"],
        _recommended(folder),
    )


def _missing(folder: Path, found: dict[str, Weights | list[str]]) -> list[str]:
    missing = [name for name in _CONFIGS.values() if not (folder / name).is_file()]
    for weights in found.values():
        missing += weights if isinstance(weights, list) else []
    tokenizer = folder / "tokenizer"
    if not (tokenizer / "tokenizer.json").is_file():
        missing += [f"tokenizer/{name}" for name in ("vocab.json", "merges.txt") if not (tokenizer / name).is_file()]
    return missing


def _recommended(folder: Path) -> BaseRecommendation:
    path = folder / "tav.json"
    given = read_json(path) if path.is_file() else {}
    # JSON has no tuples, and settings are strict about types.
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return parse(BaseRecommendation, values, str(path))
