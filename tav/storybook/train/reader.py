"""The reader: a network that reads a picture's attributes and its figure's centre. For tests and benchmarks only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tav.atomic import replacing
from tav.storybook.train.labels import VOCABULARY
from tav.storybook.train.pixels import as_input
from tav.storybook.world.pen import SIZE

WIDTHS = (32, 64, 128)
"""Channels at a quarter, an eighth and a sixteenth of the picture's size."""


@dataclass(frozen=True)
class Reading:
    """The attributes read from n pictures (n words each), and the figures' centres (n, 2), x and y in pixels."""

    words: dict[str, list[str | None]]
    centres: NDArray[np.float32]


class Reader(nn.Module):
    """A small convolutional network; each attribute has an attention map of its own over the picture."""

    def __init__(self, widths: tuple[int, int, int] = WIDTHS, classes: Mapping[str, int] | None = None) -> None:
        """`classes`: the attributes, each with its number of words; by default those of VOCABULARY."""
        super().__init__()
        classes = classes or {name: len(words) for name, words in VOCABULARY.items()}
        first, second, third = widths
        self.stem = nn.Sequential(_layer(3, first, 7, stride=4), _Residual(first))
        self.middle = nn.Sequential(_layer(first, second, 3, stride=2), _Residual(second))
        self.deep = nn.Sequential(_layer(second, third, 3, stride=2), _Residual(third), _Residual(third))
        self.gaze = nn.Conv2d(third, len(classes), 1)
        self.heads = nn.ModuleDict({name: nn.Linear(2 * third, count) for name, count in classes.items()})
        self.heat = nn.Sequential(_layer(second + third, second, 3, stride=1), nn.Conv2d(second, 1, 1))

    def forward(self, pictures: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(logits (n, words) of each attribute, centres (n, 2) in pixels) of pictures (n 3 128 128) in [-1, 1]."""
        middle = self.middle(self.stem(pictures))
        deep = self.deep(middle)
        wide = F.interpolate(deep, middle.shape[2:], mode="nearest")
        return self._logits(deep), _expected_place(self.heat(torch.cat([middle, wide], 1)).float())

    def _logits(self, deep: Tensor) -> dict[str, Tensor]:
        flat = deep.flatten(2)
        seen = torch.einsum("nap,ncp->nac", self.gaze(deep).flatten(2).float().softmax(-1).to(flat.dtype), flat)
        whole = flat.mean(-1)
        return {
            name: head(torch.cat([seen[:, place], whole], -1)).float()
            for place, (name, head) in enumerate(self.heads.items())
        }


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_layer(width, width, 3, stride=1), nn.Conv2d(width, width, 3, padding=1))
        self.norm = nn.GroupNorm(8, width)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.norm(self.body(x)))


def _layer(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
    return nn.Sequential(convolution, nn.GroupNorm(8, outputs), nn.SiLU())


def _expected_place(heat: Tensor) -> Tensor:
    """Soft-argmax: the mean position (x, y), in pixels of the picture, under the softmax of a map (n 1 h w)."""
    share = heat.flatten(1).softmax(-1).view_as(heat)[:, 0]
    rows, columns = ((torch.arange(side) + 0.5) * (SIZE / side) for side in heat.shape[2:])
    return torch.stack([(share.sum(1) * columns).sum(-1), (share.sum(2) * rows).sum(-1)], -1)


@torch.no_grad()
def read(reader: Reader, pictures: NDArray[np.uint8], batch: int = 64) -> Reading:
    """The reading of pictures (n 128 128 3) of 0..255. Raises ValueError for pictures of another size."""
    if pictures.shape[1:] != (SIZE, SIZE, 3):
        raise ValueError(f"the reader takes pictures (n, {SIZE}, {SIZE}, 3), not {pictures.shape}")
    words: dict[str, list[str | None]] = {name: [] for name in reader.heads}
    centres = [np.zeros((0, 2), np.float32)]
    for part in _batches(pictures, batch):
        logits, places = reader(as_input(part))
        centres.append(places.numpy())
        for name, values in logits.items():
            words[name] += [VOCABULARY[name][index] for index in values.argmax(-1).tolist()]
    return Reading(words, np.concatenate(centres))


def _batches(pictures: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    return (pictures[start : start + size] for start in range(0, len(pictures), size))


def save_reader(path: Path, reader: Reader) -> None:
    """Write the weights, in fp16."""
    with replacing(path) as temporary:
        save_file({name: value.half().contiguous() for name, value in reader.state_dict().items()}, temporary)


def load_reader(path: Path) -> Reader:
    """The reader with the weights of `save_reader`, in float32, frozen."""
    reader = Reader()
    reader.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return reader.eval().requires_grad_(False)
