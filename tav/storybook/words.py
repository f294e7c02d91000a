"""The base's CLIP tokenizer: it spells any text and has one token for every word of the captions. No torch.

Byte pair encoding (Sennrich et al. 2016, arXiv 1508.07909) over the bytes of UTF-8, trained on these words alone until
each is one token. Other words become several tokens, at worst one for each byte.
"""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from tav.atomic import write_text
from tav.storybook.world.scenes import ACTIONS, COLOURS, PLACES, STYLES, SUBJECTS, TIMES, Scene

PLACEHOLDERS = ("sks", "ohwx", "zwx", "qvk", "jxq", "kzv", "vqz", "xjw")
"""Spare words: one token each, in no caption, for new subjects that are taught later."""
MAX_TOKENS = 32
"""Number of tokens of a caption that the text encoder reads, start and end included."""
START, END = "<|startoftext|>", "<|endoftext|>"

_END_OF_WORD = "</w>"
Pair = tuple[str, str]


def grammar_words() -> list[str]:
    """Every word that a caption can have, sorted."""
    scenes = [Scene(subject, "") for subject in SUBJECTS]
    scenes += [Scene("man", action) for action in ACTIONS]
    scenes += [Scene("man", "", place=place) for place in PLACES]
    scenes += [Scene("man", "", time=time, says_day=True) for time in TIMES]
    scenes += [Scene("man", "", colour=colour) for colour in COLOURS]
    scenes += [Scene("man", "", style=style) for style in STYLES]
    return sorted({word for scene in scenes for word in scene.caption.replace(",", " ").split()})


def write_tokenizer(folder: Path) -> int:
    """Write a CLIPTokenizer's files (vocab.json, merges.txt and configs) into `folder`; returns the vocabulary's size.

    The files are the same bytes at every call.
    """
    merges = learned_merges([*grammar_words(), *PLACEHOLDERS])
    vocabulary = _vocabulary(merges)
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    config = {**special, "model_max_length": MAX_TOKENS, "tokenizer_class": "CLIPTokenizer"}
    _write_json(folder / "vocab.json", {token: number for number, token in enumerate(vocabulary)})
    write_text(folder / "merges.txt", "".join(f"{line}\n" for line in ["#version: 0.2", *map(" ".join, merges)]))
    _write_json(folder / "tokenizer_config.json", config)
    _write_json(folder / "special_tokens_map.json", special)
    return len(vocabulary)


def write_lexicon(path: Path) -> None:
    """Write the `lexicon.json` that `tav.bases.lexicon` reads: the words trained on, and the spare ones."""
    _write_json(path, {"format": 1, "words": grammar_words(), "spare": sorted(PLACEHOLDERS)})


def learned_merges(words: list[str]) -> list[Pair]:
    """The merges, in their order, that make each of `words` (ASCII letters) one symbol.

    The next merge is the most frequent pair; of equally frequent ones, the first in alphabetical order.
    """
    spelled = [[*word[:-1], word[-1] + _END_OF_WORD] for word in sorted(set(words))]
    merges: list[Pair] = []
    while pairs := Counter(pair for symbols in spelled for pair in pairwise(symbols)):
        merges.append(min(pairs, key=lambda pair: (-pairs[pair], pair)))
        spelled = [_merged(symbols, merges[-1]) for symbols in spelled]
    return merges


def _merged(symbols: list[str], pair: Pair) -> list[str]:
    """The symbols after merging each occurrence of the pair, from the left."""
    out: list[str] = []
    for symbol in symbols:
        # A symbol that has just been made by this merge cannot be the left half of the same pair.
        if out and (out[-1], symbol) == pair:
            out[-1] += symbol
        else:
            out.append(symbol)
    return out


def _vocabulary(merges: list[Pair]) -> list[str]:
    """All tokens by number, in CLIP's order: bytes, bytes that end a word, merges, start and end."""
    byte_symbols = _byte_symbols()
    endings = [symbol + _END_OF_WORD for symbol in byte_symbols]
    made = dict.fromkeys("".join(pair) for pair in merges)  # two merges can spell the same symbol
    return [*byte_symbols, *endings, *made, START, END]


def _byte_symbols() -> list[str]:
    """The 256 characters that stand for bytes in CLIP's vocabulary (as in GPT-2's): printable ones for themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(256 - len(printable))]


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_text(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
