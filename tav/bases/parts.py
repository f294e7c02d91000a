"""Preflight: the parts of a diffusers Stable Diffusion folder, from its configs alone. No torch, no weights read.

Parts are found by their subfolders; `model_index.json` may be absent or of another kind.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tav.bases.compatibility import refuse_foreign
from tav.bases.lexicon import Lexicon, read_lexicon
from tav.bases.weight_files import Weights, find_weights
from tav.errors import BaseModelError
from tav.model_config import (
    Config,
    SchedulerConfig,
    TextConfig,
    TokenizerConfig,
    UNetConfig,
    VaeConfig,
    read_config,
    read_json,
)
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
_READ: dict[str, type[Config]] = {
    "unet": UNetConfig,
    "vae": VaeConfig,
    "text_encoder": TextConfig,
    "scheduler": SchedulerConfig,
}
_SD_SAMPLE_SIZE = 64


@dataclass(frozen=True)
class Part:
    """One network of a base: its config as written, and its weight files."""

    config: dict[str, Any]
    config_file: Path
    weights: Weights


@dataclass(frozen=True)
class Configs:
    """The configs of a base's parts: the fields that tav reads."""

    unet: UNetConfig
    vae: VaeConfig
    text_encoder: TextConfig
    scheduler: SchedulerConfig


@dataclass(frozen=True)
class BaseParts:
    """A base that is complete and can be inflated. Sizes are (width, height) in pixels."""

    folder: Path
    unet: Part
    vae: Part
    text_encoder: Part
    tokenizer_files: tuple[Path, ...]
    configs: Configs
    recommendation: BaseRecommendation
    lexicon: Lexicon | None = None
    """The words that the base knows; None without a `lexicon.json`."""

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """All files that the base's results depend on, sorted."""
        networks = (self.unet, self.vae, self.text_encoder)
        files = [self.folder / _CONFIGS["scheduler"], *self.tokenizer_files, *(part.config_file for part in networks)]
        for part in networks:
            files += [*part.weights.files, *([part.weights.index] if part.weights.index else [])]
        return tuple(sorted(files))

    @property
    def scheduler(self) -> SchedulerConfig:
        return self.configs.scheduler

    @property
    def vae_factor(self) -> int:
        """Number of pixels along each side of a latent."""
        return 1 << (len(self.configs.vae.block_out_channels) - 1)

    @property
    def latent_channels(self) -> int:
        return self.configs.vae.latent_channels

    @property
    def native_size(self) -> tuple[int, int]:
        """(width, height) in pixels that the base was trained on."""
        given = self.configs.unet.sample_size or _SD_SAMPLE_SIZE
        height, width = (given, given) if isinstance(given, int) else given
        return width * self.vae_factor, height * self.vae_factor

    @property
    def size_multiple(self) -> int:
        """Multiples of this many pixels pass every level of the UNet without rounding."""
        return self.vae_factor << (len(self.configs.unet.down_block_types) - 1)

    @property
    def prediction_type(self) -> str:
        return self.scheduler.prediction_type

    @property
    def text_tokens(self) -> int:
        """Number of tokens that the text encoder reads, start and end included."""
        return self.configs.text_encoder.max_position_embeddings


def inspect_base(folder: Path, unet_config: dict[str, Any] | None = None) -> BaseParts:
    """The parts of the base in `folder`, without reading weights; `unet_config` replaces the UNet's config file.

    Raises BaseModelError for an unreadable or invalid config or `lexicon.json`, for a base that cannot be inflated, for
    a scheduler that DDIM cannot use, and for missing files (all of them in one message). Raises SettingsError for an
    invalid `tav.json`.
    """
    if not folder.is_dir():
        raise BaseModelError(f"no folder {folder}", "a base is a diffusers Stable Diffusion folder")
    raw = {part: read_json(folder / name) for part, name in _CONFIGS.items() if (folder / name).is_file()}
    raw |= {"unet": unet_config} if unet_config is not None else {}
    configs: dict[str, Any] = {
        part: _read(folder, part, raw[part]) for part in ("unet", "vae", "text_encoder") if part in raw
    }
    # The kind is checked before missing files: a video UNet or an SDXL base is refused as such.
    refuse_foreign(folder, configs)
    if "scheduler" in raw:
        configs["scheduler"] = _read(folder, "scheduler", raw["scheduler"])
    _check_tokenizer(folder)
    found = {part: find_weights(folder / part, part) for part in ("unet", "vae", "text_encoder")}
    missing = _missing(folder, found)
    if missing:
        raise BaseModelError(
            f"base {folder} is incomplete: missing {', '.join(missing)}",
            "fetch the base again, or point to a complete diffusers Stable Diffusion folder",
        )
    parts = {
        part: Part(raw[part], folder / _CONFIGS[part], weights)
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
        Configs(**configs),
        _recommended(folder),
        read_lexicon(folder),
    )


def _read(folder: Path, part: str, values: dict[str, Any]) -> Any:
    return read_config(_READ[part], values, str(folder / _CONFIGS[part]))


def _check_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer_config.json"
    if path.is_file():
        read_config(TokenizerConfig, read_json(path), str(path))


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
    return parse(BaseRecommendation, read_json(path) if path.is_file() else {}, str(path))
