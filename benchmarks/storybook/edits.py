"""Tune, invert and edit the eight clips of `clips.py`, six edits each, and judge every edit against the truth.

    python benchmarks/storybook/edits.py --base FOLDER --into FOLDER [--clips NAME ...] [--kinds KIND ...]

Each edit's figures are written as they are made (`edits/CLIP-KIND.json`, frames beside them); run again, what is there
is kept. Tuning, guidance and steps are what the base recommends unless they are given.
"""

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clips import CLIPS, KINDS, UNSEEN_CLIPS, Clip
from one_shot import Frames, Recipe, Session, Shot
from records import as_used, digest_of, read_record, same_settings, say, write_record

from tav.atomic import replacing
from tav.bases import Base
from tav.storybook.train.fresh import drawn
from tav.storybook.train.generating import coded
from tav.storybook.train.judging import Judges, Source, judge
from tav.video import contact_sheet


def main() -> None:
    options = _options()
    (base, precision), judges = as_used(options.base), Judges.load(options.reader, options.scorer)
    recipe = chosen(Recipe.recommended(base), options)
    settings = {"base": digest_of(base), "precision": precision, **asdict(recipe)}
    same_settings(options.into / "edits" / "settings.json", settings)
    for clip in CLIPS + UNSEEN_CLIPS:
        if clip.name in options.clips:
            edit_clip(base, judges, clip, options.kinds, recipe, options.into / "edits")


def chosen(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """The recipe with what was given on the command line in place of its own."""
    names = ("steps", "learning_rate", "guidance", "ddim_steps")
    return replace(recipe, **{name: getattr(options, name) for name in names if getattr(options, name) is not None})


def edit_clip(base: Base, judges: Judges, clip: Clip, kinds: list[str], recipe: Recipe, folder: Path) -> None:
    """Make and judge the edits of one clip that are not there yet; then its sheet."""
    scenes, started = clip.scenes(), time.process_time()
    frames = drawn(scenes)
    source = Source(scenes, coded(base.vae, frames))
    missing = [kind for kind in kinds if read_record(folder / f"{clip.name}-{kind}.json") is None]
    prompts = [clip.target(kind)[0].caption for kind in missing]
    if missing:
        with Session(base, Shot.of(base, frames, scenes[0].caption), recipe) as session:
            for _ in session.tuned([recipe.steps]):
                start = session.start(recipe.inversion)
                say(f"{clip.name}: ready after {time.process_time() - started:.0f} cpu-s")
                for kind, prompt, edit in zip(missing, prompts, session.edits(start, prompts), strict=True):
                    figures = judge(judges, edit, source, clip.target(kind))
                    _keep(folder, clip, kind, {"prompt": prompt, **figures}, edit)
    _sheet(folder, clip, frames, kinds)


def _keep(folder: Path, clip: Clip, kind: str, figures: dict[str, Any], edit: Frames) -> None:
    name = f"{clip.name}-{kind}"
    with replacing(folder / f"{name}.npz") as path:
        np.savez_compressed(path, edit)
    write_record(folder / f"{name}.json", {"clip": clip.name, "kind": kind, **figures})
    say(f"  {line(figures)}  {figures['prompt']}")


def line(figures: dict[str, Any]) -> str:
    """An edit's figures in short."""
    consistency, flicker = figures["consistency"], figures["flicker"]
    return (
        f"all {figures['all']:.2f}  centre {figures['centre_error']:4.1f} px  r {figures['correlation']:5.2f}  "
        f"consistency {consistency['edit']:.1f}/{consistency['source']:.1f}  "
        f"flicker {flicker['edit']:.1f}/{flicker['source']:.1f}"
    )


def _sheet(folder: Path, clip: Clip, frames: Frames, kinds: list[str]) -> None:
    rows = [(f"source: {clip.first.caption}", frames)]
    for kind in kinds:
        with np.load(folder / f"{clip.name}-{kind}.npz") as kept:
            rows.append((f"{kind}: {clip.target(kind)[0].caption}", kept["arr_0"]))
    contact_sheet(folder / f"{clip.name}.png", rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="a folder in the diffusers layout")
    parser.add_argument("--into", type=Path, required=True)
    names = [clip.name for clip in CLIPS + UNSEEN_CLIPS]
    parser.add_argument("--clips", nargs="*", choices=names, default=[clip.name for clip in CLIPS])
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    add_recipe(parser)
    add_judges(parser)
    return parser.parse_args()


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """What can be changed of the base's recipe."""
    parser.add_argument("--steps", type=int, help="of tuning")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--ddim-steps", type=int)


def add_judges(parser: argparse.ArgumentParser) -> None:
    """Where the networks that judge are."""
    here = Path(__file__).parent
    parser.add_argument("--reader", type=Path, default=here / "reader.safetensors")
    parser.add_argument("--scorer", type=Path, default=here.parents[1] / "tav" / "storybook" / "scorer")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
