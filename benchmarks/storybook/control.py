"""Does the text control the picture? Pictures generated from captions, read by the truth reader.

    python benchmarks/storybook/control.py --base FOLDER --into FOLDER [--count 500] [--guidance 4]

`--count` pictures are generated, half of them of combinations that training has seen, half of held-out ones. What is
read right is given as a share of what is read right on drawn pictures of the same scenes. Only what the caption names
is asked for: clothes without a named colour are not, nor is a place that is not named.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from records import digest_of, guidance_of, say, write_record
from sheets import captioned

import tav
from tav.storybook.train.fresh import drawn, fresh_scenes
from tav.storybook.train.generating import generate
from tav.storybook.train.labels import VOCABULARY, named
from tav.storybook.train.measures import wilson
from tav.storybook.train.reader import Reader, load_reader, read
from tav.storybook.world import Scene

SHOWN = 48
"""Pictures on a sheet."""


def main() -> None:
    options = _options()
    base, reader = tav.load_base(options.base), load_reader(options.reader)
    guidance = guidance_of(base, options.guidance)
    record: dict[str, Any] = {"base": digest_of(base), "guidance": guidance, "steps": options.steps}
    for name, held_out in (("seen", False), ("held-out", True)):
        scenes, started = fresh_scenes(options.count // 2, held_out), time.process_time()
        captions = [scene.caption for scene in scenes]
        seeds = range(len(scenes))
        pictures = np.concatenate(list(generate(base, captions, seeds, guidance, options.steps)))
        seconds = time.process_time() - started
        figures = compared(reader, scenes, pictures)
        record[name] = {"count": len(scenes), "cpu_seconds": round(seconds), "attributes": figures}
        captioned(options.into / f"control-{name}.png", captions[:SHOWN], pictures[:SHOWN])
        say(table(name, figures))
    write_record(options.into / "control.json", record)


def right(reader: Reader, scenes: Sequence[Scene], pictures: NDArray[np.uint8]) -> dict[str, list[bool]]:
    """For each attribute, of each picture whose caption names it: is it read as named? `all`: all that is named."""
    words = read(reader, pictures).words
    found: dict[str, list[bool]] = {name: [] for name in (*VOCABULARY, "all")}
    for index, scene in enumerate(scenes):
        hits = {name: words[name][index] == word for name, word in named(scene).items()}
        for name, hit in hits.items():
            found[name].append(hit)
        found["all"].append(all(hits.values()))
    return found


def compared(reader: Reader, scenes: Sequence[Scene], pictures: NDArray[np.uint8]) -> dict[str, dict[str, Any]]:
    """The figures of generated pictures beside those of drawn ones of the same scenes."""
    generated, by_hand = right(reader, scenes, pictures), right(reader, scenes, drawn(scenes))
    figures: dict[str, dict[str, Any]] = {}
    for name, hits in generated.items():
        ceiling = float(np.mean(by_hand[name])) if hits else 1.0
        low, high = (bound / ceiling for bound in wilson(sum(hits), len(hits)))
        share = float(np.mean(hits)) if hits else 0.0
        figures[name] = {"asked": len(hits), "right": share, "drawn": ceiling, "share": share / ceiling}
        figures[name]["interval"] = [low, min(1.0, high)]
    return figures


def table(title: str, figures: dict[str, dict[str, Any]]) -> str:
    """A line for each attribute."""
    lines = [f"{title:10} asked  right  drawn  share  95 %"]
    for name, one in figures.items():
        low, high = one["interval"]
        cells = f"{one['right']:6.3f} {one['drawn']:6.3f} {one['share']:6.3f}  {low:.3f}-{high:.3f}"
        lines.append(f"{name:10} {one['asked']:5} {cells}")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="a folder in the diffusers layout")
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--reader", type=Path, default=Path(__file__).parent / "reader.safetensors")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, help="by default what the base recommends")
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
