"""A Stable Diffusion checkpoint in one safetensors file, as Stability AI's code and DreamBooth trainers write it.

It holds weights under old names and nothing else: configs, tokenizer and schedule are taken from the base `like`.
diffusers converts the names; names and shapes are checked here, so that no weight of the folder is left random.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from safetensors.torch import save_file
from torch import Tensor

from tav.atomic import building
from tav.bases.library_logging import quiet
from tav.bases.load import blueprint, new_name
from tav.bases.parts import BaseParts
from tav.bases.weight_files import STEMS
from tav.bases.weight_reader import tensors_in
from tav.conversion.layouts import OPEN_CLIP, SINGLE_FILE_PARTS, family_of, kind_of
from tav.errors import BaseModelError

Tensors = dict[str, Tensor]
# Tensors of the text part that the text encoders used here do not have.
_NOT_USED = {"embeddings.position_ids", "logit_scale", "text_projection.weight"}
_WANTED = "give a whole Stable Diffusion 1.x or 2.x checkpoint in one .safetensors file, or a diffusers folder"


@dataclass(frozen=True, eq=False)
class SingleFile:
    """The tensors of a file's UNet, VAE and text encoder under the file's own names; memory-mapped."""

    path: Path
    held: Tensors

    @property
    def bytes(self) -> int:
        """The approximate size of the converted folder."""
        return sum(tensor.nbytes for tensor in self.held.values())

    @property
    def family(self) -> str | None:
        """A hub base whose configs fit the file, by the width of its text states; None if unknown."""
        return family_of({name: tuple(tensor.shape) for name, tensor in self.held.items()})


def read_single_file(path: Path) -> SingleFile:
    """The checkpoint at `path`. Raises BaseModelError for pickles, unreadable files and incomplete checkpoints."""
    if path.suffix in (".ckpt", ".pt", ".pth", ".bin"):
        message = f"{path.name} is a pickle, which may hold any program: it is not opened"
        raise BaseModelError(message, "get the same model as .safetensors; most are offered as both")
    if path.suffix != ".safetensors":
        raise BaseModelError(f"{path} is no base", _WANTED)
    held = dict(tensors_in(path))
    parts = {part: [name for name in held if name.startswith(start)] for part, start in SINGLE_FILE_PARTS.items()}
    lacking = [part for part, names in parts.items() if not names]
    if lacking:
        raise BaseModelError(f"{path.name} is {kind_of(set(held))} without {', '.join(lacking)}", _WANTED)
    return SingleFile(path, {name: held[name] for names in parts.values() for name in names})


def converted(file: SingleFile, like: BaseParts) -> dict[str, Tensors]:
    """The file's weights by part under the names of `like`, memory-mapped.

    Raises BaseModelError with the first difference unless names and shapes are those of `like`.
    """
    with quiet(), _conversion_errors(file.path):
        found = {
            "unet": convert_ldm_unet_checkpoint(file.held, blueprint(like, "unet").config),
            "vae": convert_ldm_vae_checkpoint(_of("vae", file.held), blueprint(like, "vae").config),
            "text_encoder": _text(file.held, like),
        }
    # The conversion gives None for some missing tensors.
    there = {part: {name: one for name, one in held.items() if one is not None} for part, held in found.items()}
    for part, tensors in there.items():
        _compare(file.path, part, tensors, like)
    return there


def write_single_file(folder: Path, file: SingleFile, like: BaseParts) -> None:
    """Write the file as a diffusers folder, in its own precision; whole or not at all. Raises as `converted`."""
    networks = converted(file, like)
    parts = (like.unet.weights, like.vae.weights, like.text_encoder.weights)
    weights = {path for part in parts for path in (*part.files, part.index)}
    with building(folder) as temporary:
        for path in set(like.files) - weights:
            target = temporary / path.relative_to(like.folder)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
        for part, tensors in networks.items():
            # Not cloned: the tensors stay mapped and need no second copy.
            whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
            save_file(whole, temporary / part / f"{STEMS[part][0]}.safetensors", {"format": "pt"})


def _text(held: Tensors, like: BaseParts) -> Tensors:
    if any(name.startswith(OPEN_CLIP) for name in held):
        width = SimpleNamespace(hidden_size=like.configs.text_encoder.hidden_size)  # all that the conversion reads
        found = convert_open_clip_checkpoint(SimpleNamespace(config=width), held, OPEN_CLIP)
    else:
        found = convert_ldm_clip_checkpoint(held)
    plain = {_plain(name): tensor for name, tensor in found.items()}
    return {name: tensor for name, tensor in plain.items() if name not in _NOT_USED}


def _of(part: str, held: Tensors) -> Tensors:
    return {name: tensor for name, tensor in held.items() if name.startswith(SINGLE_FILE_PARTS[part])}


def _compare(path: Path, part: str, tensors: Tensors, like: BaseParts) -> None:
    own = {_plain(name): one for file in getattr(like, part).weights.files for name, one in tensors_in(file)}
    expected = {name: one.shape for name, one in own.items() if one.is_floating_point() and name not in _NOT_USED}
    for names, what in (
        (expected.keys() - tensors.keys(), "lacks"),
        (tensors.keys() - expected.keys(), "holds what that base does not have:"),
        ({name for name in tensors if tensors[name].shape != expected.get(name)}, "has another shape of"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            said = f"{path.name} is not like base {like.folder}: its {part} {what} {min(names)[:120]}{more}"
            raise BaseModelError(said, "name a base of its family: --like BASE")


def _plain(name: str) -> str:
    """A parameter's name, the same for old and new libraries."""
    return new_name(name).removeprefix("text_model.")


@contextmanager
def _conversion_errors(path: Path) -> Iterator[None]:
    """Turn any error of diffusers' conversion, which does not check its input, into a BaseModelError."""
    try:
        yield
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BaseModelError(f"{path.name} is not a complete checkpoint: {reason:.120}", _WANTED) from None
