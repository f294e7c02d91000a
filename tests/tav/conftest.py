"""Small inflated networks for the engine's tests: of the recorded bases (sd1, sd2) and of the tiny one."""

import copy
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import torch
from torch import Tensor

from tav.bases import Base, load_base
from tav.nets.inflate import VideoUNet, inflate

hypothesis.settings.register_profile("tav", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("tav")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Sums are made in one order, as when the numbers were recorded."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base(golden: Path, tiny_base: Path) -> Callable[[str], Base]:
    """`base("sd1" | "sd2" | "tiny")`: shared, so its UNet is copied before it is inflated."""
    folders = {"sd1": golden / "sd1" / "base", "sd2": golden / "sd2" / "base", "tiny": tiny_base}
    return functools.cache(lambda name: load_base(folders[name]))


@pytest.fixture(scope="session")
def make_video(base: Callable[[str], Base]) -> Callable[..., VideoUNet]:
    """`make_video("tiny", ...)`: a network of the test's own; its temporal layers act unless `stirred` is False."""

    def make(
        name: str = "tiny", *, stirred: bool = True, dtype: torch.dtype = torch.float32, **options: str | int
    ) -> VideoUNet:
        video = inflate(copy.deepcopy(base(name).unet).to(dtype), **options)
        if stirred:
            _stir(video)
        return video

    return make


@torch.no_grad()
def _stir(video: VideoUNet) -> None:
    generator = torch.Generator().manual_seed(5)
    for name, parameter in video.named_parameters():
        if "_temp." in name:
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))


@pytest.fixture(scope="session")
def randn() -> Callable[..., Tensor]:
    """`randn(1, 4, 3, 8, 8, seed=2)`: standard normal, the same at every call."""
    return lambda *shape, seed=0: torch.randn(shape, generator=torch.Generator().manual_seed(seed))
