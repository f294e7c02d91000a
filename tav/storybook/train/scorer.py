"""The scorer: a small CLIP, trained to match the world's pictures and captions (Radford et al., 2103.00020)."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from tav.atomic import write_text
from tav.bases.library_logging import quiet
from tav.storybook.train.augment import worn
from tav.storybook.train.base import describe, past_of
from tav.storybook.train.labels import UNKNOWN, VOCABULARY, numbers
from tav.storybook.train.loop import Plan, Progress, optimise
from tav.storybook.train.pixels import as_input
from tav.storybook.train.teaching import Shelf
from tav.storybook.train.workers import Worker
from tav.storybook.words import write_tokenizer
from tav.storybook.world import Scene
from tav.storybook.world.pen import SIZE

PATCH, WIDTH = 16, 128
"""Side of the vision encoder's patches in pixels; length of the embeddings."""
BATCH = 96
PREPROCESSING = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"height": SIZE, "width": SIZE},
    "resample": 3,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
"""What transformers reads from `preprocessor_config.json`; `as_input` does the same to pictures of 128 x 128."""
# Weight of the loss on attributes; that of the contrastive loss is 1.
ATTRIBUTES = 0.5


def new_scorer(vocabulary: int) -> CLIPModel:
    """An untrained scorer for a tokenizer of `vocabulary` tokens, the last one of which is the end token."""
    start, end = vocabulary - 2, vocabulary - 1
    text = {
        "vocab_size": vocabulary,
        "hidden_size": 96,
        "intermediate_size": 384,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 32,
        "bos_token_id": start,
        "eos_token_id": end,
        "pad_token_id": end,
        "projection_dim": WIDTH,
    }
    vision = {
        "image_size": SIZE,
        "patch_size": PATCH,
        "hidden_size": 192,
        "intermediate_size": 576,
        "num_hidden_layers": 5,
        "num_attention_heads": 6,
        "projection_dim": WIDTH,
    }
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    # The eager kernel is the fastest one for short sequences on a CPU.
    return CLIPModel._from_config(config, attn_implementation="eager")


class _ScorerWithHead(nn.Module):
    """The scorer and a head that reads attributes from either embedding, which makes training faster."""

    def __init__(self, scorer: CLIPModel) -> None:
        super().__init__()
        self.scorer = scorer
        self.sizes = [len(words) for words in VOCABULARY.values()]
        self.head = nn.Linear(WIDTH, sum(self.sizes))

    def forward(self, pictures: Tensor, tokens: Tensor, truth: list[Tensor]) -> tuple[Tensor, Tensor]:
        """(contrastive loss, attribute loss) of pictures (n 3 h w) and captions (n t); each `truth` is (n,)."""
        seen = self.scorer(input_ids=tokens, pixel_values=pictures)
        logits = seen.logits_per_image.float()
        own = torch.arange(len(pictures), device=logits.device)
        contrast = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        # Embeddings have length 1; the head's logits need a larger range.
        named = (self._named(5 * embeds, truth) for embeds in (seen.image_embeds, seen.text_embeds))
        return contrast, sum(named, torch.zeros((), device=logits.device))

    def _named(self, embeds: Tensor, truth: list[Tensor]) -> Tensor:
        parts = self.head(embeds).float().split(self.sizes, -1)
        losses = [F.cross_entropy(part, words, ignore_index=UNKNOWN) for part, words in zip(parts, truth, strict=True)]
        return torch.stack(losses).mean()


def train_scorer(
    worker: Worker,
    folder: Path,
    into: Path,
    scenes: Sequence[Scene],
    pictures: Shelf,
    plan: Plan,
    minutes: float,
    batch: int = BATCH,
) -> None:
    """Train the scorer on `pictures` of `scenes`; `folder` holds state and log, `into` gets the model at the end.

    Without a state in `folder`, training continues from the model in `into`, if there is one.
    """
    torch.manual_seed(plan.seed)
    tokenizer = CLIPTokenizer.from_pretrained(str(_with_tokenizer(into)))
    past = past_of(into, plan.name)
    scorer = load_scorer(into)[0].requires_grad_(True).train() if past.steps else new_scorer(len(tokenizer))
    network = _ScorerWithHead(scorer).to(worker.device)
    progress = Progress(plan, network, folder, worker, past)
    captions = [scene.caption for scene in scenes]
    truth = [torch.from_numpy(values) for values in numbers(scenes).values()]

    def loss(model: nn.Module, rng: np.random.Generator, _: int) -> tuple[Tensor, dict[str, float]]:
        chosen = rng.integers(0, len(captions), batch)
        tokens = tokenizer([captions[i] for i in chosen.tolist()], padding=True, return_tensors="pt").input_ids
        soft = _worn(np.stack([pictures[i] for i in chosen.tolist()]), int(rng.integers(2**62)))
        words = [values[chosen].to(worker.device) for values in truth]
        contrast, named = model(soft.to(worker.device), tokens.to(worker.device), words)
        return contrast + ATTRIBUTES * named, {"contrast": contrast.item(), "attributes": named.item()}

    optimise(worker, progress, loss, folder, minutes, lambda _: None)
    if worker.leads:
        progress.use_mean()
        save_scorer(into, network.scorer)
        describe(into, progress)


def _with_tokenizer(folder: Path) -> Path:
    write_tokenizer(folder)
    return folder


def _worn(pictures: NDArray[np.uint8], seed: int) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return worn(as_input(pictures), torch.Generator().manual_seed(seed))[0]


def save_scorer(folder: Path, scorer: CLIPModel) -> None:
    """Write a CLIPModel's folder: weights in fp16, configs of model and pictures, and the tokenizer."""
    _with_tokenizer(folder)
    write_text(folder / "preprocessor_config.json", json.dumps(PREPROCESSING, indent=2) + "\n")
    with quiet():
        copy.deepcopy(scorer).half().save_pretrained(folder)
    # The library writes weights that only their owner may read.
    (folder / "model.safetensors").chmod(0o644)


def load_scorer(folder: Path) -> tuple[CLIPModel, Any]:
    """(the frozen model in float32, its tokenizer)."""
    with quiet():
        scorer = CLIPModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return scorer.eval().requires_grad_(False), CLIPTokenizer.from_pretrained(folder)


@torch.no_grad()
def picture_features(scorer: CLIPModel, pictures: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
    """Embeddings of length 1, (n, d), of pictures (n 128 128 3) of 0..255."""
    parts = (as_input(pictures[start : start + batch]) for start in range(0, len(pictures), batch))
    return torch.cat([_units(scorer.get_image_features(pixel_values=part)) for part in parts]).numpy()


@torch.no_grad()
def caption_features(scorer: CLIPModel, tokenizer: Any, captions: Sequence[str]) -> NDArray[np.float32]:
    """Embeddings of length 1, (n, d), of captions."""
    tokens = tokenizer(list(captions), padding=True, truncation=True, return_tensors="pt").input_ids
    return _units(scorer.get_text_features(input_ids=tokens)).numpy()


def _units(output: Any) -> Tensor:
    return F.normalize(output.pooler_output.float(), dim=-1)


def retrieval(pictures: NDArray[np.float32], captions: NDArray[np.float32], among: int = 100) -> float:
    """Share of pictures whose nearest caption of `among` is their own; features (n, d), n a multiple of `among`."""
    groups = zip(pictures.reshape(-1, among, WIDTH), captions.reshape(-1, among, WIDTH), strict=True)
    return float(np.mean([(a @ b.T).argmax(1) == np.arange(among) for a, b in groups]))
