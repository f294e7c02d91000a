"""How well the scorer tells captions apart, and what frame consistency it gives clips that are drawn.

    python benchmarks/storybook/retrieval.py [--scorer FOLDER] [--count 500] [--into FOLDER]

Retrieval: how often, of 100 captions, a fresh picture's own is the nearest. Unrelated pictures are given as a clip's
frames too, to show how far down the consistency can go.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from clips import CLIPS
from edits import add_judges
from records import say, write_record

from tav.storybook.train.augment import worn
from tav.storybook.train.fresh import SEED, drawn, fresh_scenes
from tav.storybook.train.measures import frame_consistency
from tav.storybook.train.pixels import as_input, as_pictures
from tav.storybook.train.scorer import caption_features, load_scorer, picture_features, retrieval


def main() -> None:
    options = _options()
    scorer, tokenizer = load_scorer(options.scorer)
    record: dict[str, float] = {}
    for name, held_out in (("seen", False), ("held-out", True)):
        scenes = fresh_scenes(options.count, held_out)
        pictures = drawn(scenes)
        captions = caption_features(scorer, tokenizer, [scene.caption for scene in scenes])
        soft, _ = worn(as_input(pictures), torch.Generator().manual_seed(SEED))
        record[f"retrieval, {name}"] = retrieval(picture_features(scorer, pictures), captions)
        record[f"retrieval, {name}, worn"] = retrieval(picture_features(scorer, as_pictures(soft)), captions)
    clips = [frame_consistency(picture_features(scorer, drawn(clip.scenes()))) for clip in CLIPS]
    record["consistency, drawn clips"] = float(np.mean(clips))
    record["consistency, unrelated pictures"] = frame_consistency(picture_features(scorer, drawn(scenes[:100])))
    write_record(options.into / "scorer.json", record)
    for name, value in record.items():
        say(f"{name:32} {value:7.3f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path(__file__).parent)
    parser.add_argument("--count", type=int, default=500, help="a multiple of 100")
    add_judges(parser)
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
