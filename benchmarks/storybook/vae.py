"""How well the picture coder gives pictures back: fresh pictures of the world, style by style, and real clips.

    python benchmarks/storybook/vae.py --base FOLDER --into FOLDER [--count 120] [--clips FILE ...]

The base's other parts need not be there. PSNR is of each picture (of each whole clip) and then averaged, in dB.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from records import say, write_record

import tav
from tav.bases.library_logging import quiet
from tav.metrics.fidelity import psnr
from tav.storybook.train.fresh import drawn, fresh_scenes
from tav.storybook.train.generating import coded
from tav.storybook.train.labels import VOCABULARY
from tav.video import contact_sheet

SIZE = 128, 128


def main() -> None:
    options = _options()
    with quiet():
        vae = AutoencoderKL.from_pretrained(options.base, subfolder="vae", torch_dtype=torch.float32).eval()
    worlds: dict[str, float] = {}
    rows: list[tuple[str, NDArray[np.uint8]]] = []
    for style in VOCABULARY["style"]:
        scenes = fresh_scenes(options.count // len(VOCABULARY["style"]), held_out=False)
        pictures = drawn([replace(scene, style=style) for scene in scenes])
        again, name = coded(vae, pictures), style or "no style"
        worlds[name] = float(np.mean([psnr(*pair) for pair in zip(pictures, again, strict=True)]))
        rows += [(f"{name}: drawn", pictures[:8]), (f"{name}: {worlds[name]:.1f} dB", again[:8])]
    mixed = drawn(fresh_scenes(options.count, held_out=False))
    record: dict[str, Any] = {"world": worlds, "mean": float(np.mean(list(worlds.values())))}
    record["mixed"] = float(np.mean([psnr(*pair) for pair in zip(mixed, coded(vae, mixed), strict=True)]))
    record["clips"] = {}
    for path in options.clips:
        frames = tav.read_clip(path, tav.ClipSettings(frames=options.frames), size=SIZE).frames
        again = coded(vae, frames)
        record["clips"][path.stem] = level = psnr(frames, again)
        rows += [(f"{path.stem}: source", frames), (f"{path.stem}: {level:.1f} dB", again)]
    contact_sheet(options.into / "vae.png", rows)
    write_record(options.into / "vae.json", record)
    for name, level in levels(record).items():
        say(f"{name:24} {level:6.2f} dB")


def levels(record: dict[str, Any]) -> dict[str, float]:
    """Every PSNR of a record, by what it is of."""
    means = {"all styles equally often": record["mean"], "styles as often as in training": record["mixed"]}
    return {**record["world"], **means, **record["clips"]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="a folder in the diffusers layout")
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--count", type=int, default=120, help="pictures, shared out evenly to the styles")
    parser.add_argument("--clips", type=Path, nargs="*", default=[], help="real clips; they are cropped to a square")
    parser.add_argument("--frames", type=int, default=16, help="frames of each clip")
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
