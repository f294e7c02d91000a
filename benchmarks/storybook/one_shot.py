"""One clip, tuned, inverted and edited, with every part of the method switchable."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import tav
from tav.bases import Base, EncodedClip, decode_latents, encode_frames, encode_text, to_uint8
from tav.storybook.train.generating import returned

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Recipe:
    """How clips are tuned and edited. `steps` is of tuning; 0 leaves the base as it is."""

    steps: int
    learning_rate: float
    guidance: float
    ddim_steps: int
    attention: Any = "sparse-causal"
    inversion: bool = True
    seed: int = 33

    @classmethod
    def recommended(cls, base: Base) -> "Recipe":
        """The base's own recommendation; what it leaves open is as in tav's settings, or 4 for the guidance."""
        own, tune, invert = base.parts.recommendation, tav.TuneSettings(), tav.InvertSettings()
        return cls(
            own.steps or tune.steps,
            own.learning_rate or tune.learning_rate,
            4.0 if own.guidance_scale is None else own.guidance_scale,
            own.ddim_steps or invert.steps,
        )


@dataclass(frozen=True, eq=False)
class Shot:
    """A clip ready for work: encoded once, with its caption and the empty prompt as the network reads them."""

    encoded: EncodedClip
    caption: Tensor
    empty: Tensor

    @classmethod
    def of(cls, base: Base, frames: Frames, caption: str) -> "Shot":
        context, empty = (encode_text(base.tokenizer, base.text_encoder, [text]) for text in (caption, ""))
        return cls(returned(encode_frames(base.vae, frames)), context, empty)


class Session:
    """A base's network, inflated for one clip; use as a context, so that the base is given back as it was."""

    def __init__(self, base: Base, shot: Shot, recipe: Recipe) -> None:
        self.base, self.shot, self.recipe = base, shot, recipe

    def __enter__(self) -> "Session":
        self.video = tav.inflate(self.base.unet, frame_attention=self.recipe.attention, seed=self.recipe.seed)
        return self

    def __exit__(self, *_: object) -> None:
        tav.deflate(self.video)

    def tuned(self, milestones: Sequence[int]) -> Iterator[int]:
        """Tune on the clip; pause at each of `milestones` (rising numbers of steps, 0 first if at all)."""
        if 0 in milestones:
            yield 0
        settings = tav.TuneSettings(
            steps=max(*milestones, 1), learning_rate=self.recipe.learning_rate, seed=self.recipe.seed
        )
        if not max(milestones):
            return
        tuning = tav.Tuning(self.video, settings)
        for event in tav.tune(tuning, self.shot.encoded, self.shot.caption, self.base.schedule):
            if isinstance(event, tav.TuneStep) and event.step in milestones:
                yield event.step

    def start(self, inversion: bool) -> Tensor:
        """Where edits start, (1 c f h w): the clip inverted with the network as it is now, or noise of the seed."""
        mean, recipe = self.shot.encoded.mean, self.recipe
        if not inversion:
            return torch.randn(mean.shape, generator=torch.Generator().manual_seed(recipe.seed))
        *_, last = tav.invert(self.video, self.base.schedule, mean, self.shot.empty, recipe.ddim_steps)
        inverted: Tensor = last.latents
        return inverted

    def edits(self, start: Tensor, prompts: Sequence[str]) -> Iterator[Frames]:
        """The frames (f h w 3) of each prompt's edit, in turn."""
        base, recipe = self.base, self.recipe
        for prompt in prompts:
            context = encode_text(base.tokenizer, base.text_encoder, [prompt])
            *_, last = tav.sample(
                self.video, base.schedule, start, [context], self.shot.empty, recipe.guidance, recipe.ddim_steps
            )
            yield to_uint8(returned(decode_latents(base.vae, last.latents)))
