"""Prompts as contexts for the UNet. The tokenizer needs no torch, so long prompts are found before weights load."""

from typing import TYPE_CHECKING, Any

from tav.bases.library_logging import quiet
from tav.bases.parts import BaseParts
from tav.errors import BaseModelError

if TYPE_CHECKING:
    from torch import Tensor


def load_tokenizer(parts: BaseParts) -> Any:
    """The base's CLIPTokenizer, from old (vocab.json, merges.txt) or new (tokenizer.json) files. Imports no torch.

    Raises BaseModelError when the files are not a tokenizer's.
    """
    from transformers import CLIPTokenizer

    folder = parts.folder / "tokenizer"
    try:
        with quiet():
            return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    # The Rust tokenizer raises bare Exception for files it cannot read.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BaseModelError(f"cannot read the tokenizer in {folder}: {reason}", "fetch the base again") from None


def context_length(parts: BaseParts, tokenizer: Any) -> int:
    """Number of tokens of a prompt that are read, start and end included."""
    return min(int(tokenizer.model_max_length), parts.text_tokens)


def encode_text(tokenizer: Any, text_encoder: Any, prompts: list[str]) -> "Tensor":
    """The contexts of at least one prompt: the encoder's last hidden state, (b n d) float32 on the CPU.

    Prompts are padded or cut to n tokens. Each is encoded on its own, so that its values do not depend on the other
    prompts.
    """
    import torch

    length = min(int(tokenizer.model_max_length), int(text_encoder.config.max_position_embeddings))
    with torch.no_grad():
        return torch.cat([_encode_one(tokenizer, text_encoder, prompt, length) for prompt in prompts])


def _encode_one(tokenizer: Any, text_encoder: Any, prompt: str, length: int) -> "Tensor":
    tokens = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    hidden: Tensor = text_encoder(tokens.input_ids.to(text_encoder.device)).last_hidden_state
    return hidden.float().cpu()


def text_that_is_cut(tokenizer: Any, max_length: int, prompt: str) -> str:
    """The end of `prompt` that an encoder of `max_length` tokens (start and end included) does not read; "" if none."""
    tokens = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    read, room = tokens["offset_mapping"], max_length - 2
    if len(read) <= room:
        return ""
    start, _ = read[room]
    return prompt[start:].strip()
