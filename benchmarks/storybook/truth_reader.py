"""Train the truth reader and write reader.safetensors, with its figures in reader.json.

python benchmarks/storybook/truth_reader.py --pictures FOLDER [--chunks 96] [--steps 1600] [--into FOLDER]
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from records import say, write_record

from tav.storybook.train.augment import worn
from tav.storybook.train.fresh import SEED, drawn, fresh_scenes
from tav.storybook.train.pictures import chunk_scenes, rendered
from tav.storybook.train.pixels import as_input, as_pictures
from tav.storybook.train.reader import Reader, load_reader, save_reader
from tav.storybook.train.teaching import examine, teach


def main() -> None:
    options = _options()
    pictures = rendered(options.pictures, "scenes", options.seed, options.chunks, workers=1)
    scenes = [scene for chunk in range(options.chunks) for scene in chunk_scenes(options.seed, chunk)]
    torch.manual_seed(options.seed)
    reader, started = Reader(), time.process_time()
    for lesson in teach(reader, pictures, scenes, options.steps, options.seed):
        if lesson.step % 50 == 0:
            say(f"step {lesson.step} of {lesson.total}: loss {lesson.loss:.3f}")
    record: dict[str, Any] = {"seed": options.seed, "pictures": len(scenes), "steps": options.steps}
    record["cpu_seconds"] = round(time.process_time() - started)
    path = options.into / "reader.safetensors"
    save_reader(path, reader)
    record["figures"] = figures(load_reader(path), options.count)
    write_record(options.into / "reader.json", record)
    for name, found in record["figures"].items():
        say(f"{name:15} " + "  ".join(f"{key} {value:.3f}" for key, value in found.items()))


def figures(reader: Reader, count: int) -> dict[str, dict[str, float]]:
    """How `count` fresh pictures are read, of seen and of held-out combinations, as drawn and worn."""
    found = {}
    for name, held_out in (("seen", False), ("held-out", True)):
        scenes = fresh_scenes(count, held_out)
        pictures = drawn(scenes)
        found[name] = examine(reader, pictures, scenes)
        soft, shifts = worn(as_input(pictures), torch.Generator().manual_seed(SEED))
        found[f"{name}, worn"] = examine(reader, as_pictures(soft), scenes, shifts.numpy())
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pictures", type=Path, required=True, help="where training pictures are, or will be, rendered"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chunks", type=int, default=96)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--count", type=int, default=1000, help="fresh pictures to be judged by, of each kind")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent)
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
