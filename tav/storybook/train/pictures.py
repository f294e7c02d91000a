"""The training pictures, rendered once into memory-mapped files."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from tav.atomic import replacing
from tav.storybook.textures import random_texture
from tav.storybook.world import Scene, draw, random_scene
from tav.storybook.world.pen import SIZE

CHUNK = 512
"""Number of pictures in a file."""


def chunk_scenes(seed: int, chunk: int) -> list[Scene]:
    """The scenes of one file of training pictures; no held-out combination is among them."""
    rng = random.Random(f"{seed} {chunk}")
    return [random_scene(rng) for _ in range(CHUNK)]


def _draw_scenes(seed: int, chunk: int) -> np.ndarray:
    return np.stack([np.asarray(draw(scene).picture) for scene in chunk_scenes(seed, chunk)])


def _draw_textures(seed: int, chunk: int) -> np.ndarray:
    rng = np.random.default_rng([seed, chunk])
    return np.stack([np.asarray(random_texture(rng)) for _ in range(CHUNK)])


_KINDS: dict[str, Callable[[int, int], np.ndarray]] = {"scenes": _draw_scenes, "textures": _draw_textures}


def _render(folder: Path, kind: str, seed: int, chunk: int) -> Path:
    path = folder / f"{kind}-{seed}-{chunk:04d}.npy"
    if not path.exists():
        pictures = _KINDS[kind](seed, chunk)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, pictures)
    return path


def rendered(folder: Path, kind: str, seed: int, chunks: int, workers: int) -> "Pictures":
    """Pictures of a kind (scenes or textures) in `chunks` files; files that exist are not rendered again."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        paths = list(pool.map(_render, *zip(*((folder, kind, seed, c) for c in range(chunks)), strict=True)))
    return Pictures(paths)


class Pictures:
    """Rendered pictures by number: uint8, (128, 128, 3)."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [np.load(path, mmap_mode="r") for path in paths]

    def __len__(self) -> int:
        return len(self._files) * CHUNK

    def __getitem__(self, index: int) -> np.ndarray:
        return np.asarray(self._files[index // CHUNK][index % CHUNK])

    def crops(self, rng: np.random.Generator, count: int, size: int = SIZE) -> np.ndarray:
        """Random square crops, uint8, (count, size, size, 3)."""
        out = np.empty((count, size, size, 3), np.uint8)
        for slot in out:
            y, x = rng.integers(0, SIZE - size + 1, 2)
            slot[:] = self[int(rng.integers(len(self)))][y : y + size, x : x + size]
        return out
