"""What each part of the method is worth: the same clips edited with parts switched off, and tuned less or more.

    python benchmarks/storybook/ablation.py --base FOLDER --into FOLDER [--clips NAME ...] [--kinds KIND ...]
        [--variants NAME ...] [--seeds 33 34 35] [--sweep-clips NAME ...] [--sweep-seeds 33]

Each cell (variant, clip, seed, kind of edit) is written as it is made; run again, what is there is kept. Variants that
differ in the steps of tuning alone share one tuning run. A seed is that of the temporal layers, of tuning and of the
noise where there is no inversion; an untuned, inverted edit has nothing of it, and is made for the first seed only.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from clips import CLIPS, KINDS, UNSEEN_CLIPS, Clip
from edits import add_judges, add_recipe, chosen, line
from one_shot import Recipe, Session, Shot
from records import as_used, digest_of, read_record, same_settings, say, write_record

from tav.bases import Base
from tav.storybook.train.fresh import drawn
from tav.storybook.train.generating import coded
from tav.storybook.train.judging import Judges, Source, judge


@dataclass(frozen=True)
class Variant:
    """What is changed of the recommended recipe; `steps` and `rate` are factors of its own."""

    attention: str = "sparse-causal"
    inversion: bool = True
    steps: float = 1.0
    rate: float = 1.0

    @property
    def swept(self) -> bool:
        """Whether this is a place of the sweep over steps and learning rate, not a part switched off."""
        return self.steps > 0 and (self.steps, self.rate) != (1.0, 1.0)


WHOLE = "whole method"
VARIANTS = {
    WHOLE: Variant(),
    "per-frame attention": Variant(attention="per-frame"),
    "no inversion": Variant(inversion=False),
    "untuned": Variant(steps=0),
    "untuned, per-frame": Variant(attention="per-frame", steps=0),
    "untuned, no inversion": Variant(inversion=False, steps=0),
    "nothing": Variant(attention="per-frame", inversion=False, steps=0),
} | {
    f"steps x {steps:g}, rate x {rate:g}": Variant(steps=steps, rate=rate)
    for rate in (0.3, 1.0, 3.0)
    for steps in (0.3, 1.0, 3.0)
    if (steps, rate) != (1.0, 1.0)
}
KNOWN = ("man-skiing", "cat-running", "woman-surfing", "robot-skateboarding")
SWEPT = ["man-skiing", "robot-skateboarding", "penguin-skiing", "man-jumping"]


@dataclass(frozen=True)
class Cell:
    """One edit to be made."""

    variant: str
    clip: Clip
    seed: int
    kind: str

    def path(self, folder: Path) -> Path:
        """Its figures."""
        return (
            folder / self.variant.replace(" ", "-").replace(",", "") / f"{self.clip.name}-{self.seed}-{self.kind}.json"
        )

    def recipe(self, own: Recipe) -> Recipe:
        """The base's recipe with what the variant changes."""
        how = VARIANTS[self.variant]
        steps, rate = round(own.steps * how.steps), own.learning_rate * (how.rate if how.steps else 1.0)
        return replace(
            own, steps=steps, learning_rate=rate, attention=how.attention, inversion=how.inversion, seed=self.seed
        )


class Costs:
    """What was spent, in cpu-seconds, and what is left to do."""

    def __init__(self, left: Counter[str]) -> None:
        self.left, self.done = left, Counter[str]()
        self.seconds: dict[str, float] = defaultdict(float)

    def add(self, what: str, count: int, since: float) -> None:
        self.left[what] -= count
        self.done[what] += count
        self.seconds[what] += time.process_time() - since

    def say(self) -> None:
        spent = {what: self.seconds[what] / self.done[what] for what in self.done if self.done[what]}
        rest = sum(each * self.left[what] for what, each in spent.items())
        each = ", ".join(f"{seconds:.2f} a {what}" for what, seconds in spent.items())
        say(f"    cpu-s: {sum(self.seconds.values()):.0f} spent ({each}), about {rest:.0f} to go")


def main() -> None:
    options = _options()
    (base, precision), judges = as_used(options.base), Judges.load(options.reader, options.scorer)
    own, folder = chosen(Recipe.recommended(base), options), options.into / "ablation"
    same_settings(folder / "settings.json", {"base": digest_of(base), "precision": precision, **asdict(own)})
    missing = [cell for cell in cells(options) if read_record(cell.path(folder)) is None]
    runs = grouped(missing, own)
    costs = Costs(Counter(planned(runs, own)))
    say(f"{len(missing)} edits in {len(runs)} runs: " + ", ".join(f"{n} {what}s" for what, n in costs.left.items()))
    for run in runs:
        make(base, judges, run, own, folder, costs)


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Every edit asked for."""
    for clip in CLIPS + UNSEEN_CLIPS:
        for name in options.variants if clip.name in options.clips else ():
            if VARIANTS[name].swept and clip.name not in options.sweep_clips:
                continue
            for seed in seeds_of(VARIANTS[name], options):
                for kind in options.kinds:
                    yield Cell(name, clip, seed, kind)


def seeds_of(variant: Variant, options: argparse.Namespace) -> list[int]:
    """The seeds that a variant is made for."""
    if variant.swept:
        return list(options.sweep_seeds)
    return list(options.seeds[:1] if variant.inversion and not variant.steps else options.seeds)


def grouped(missing: list[Cell], own: Recipe) -> list[list[Cell]]:
    """Cells that one tuning run serves, clip by clip: all but the steps and where sampling starts is the same."""
    runs: dict[tuple[Any, ...], list[Cell]] = defaultdict(list)
    for cell in missing:
        recipe = cell.recipe(own)
        runs[cell.clip.name, cell.seed, recipe.attention, recipe.learning_rate].append(cell)
    return list(runs.values())


def planned(runs: list[list[Cell]], own: Recipe) -> dict[str, int]:
    """How many tuning steps, inversions and edits."""
    inverted = [{cell.recipe(own).steps for cell in run if VARIANTS[cell.variant].inversion} for run in runs]
    return {
        "tuning step": sum(max(cell.recipe(own).steps for cell in run) for run in runs),
        "inversion": sum(map(len, inverted)),
        "edit": sum(map(len, runs)),
    }


def make(base: Base, judges: Judges, run: list[Cell], own: Recipe, folder: Path, costs: Costs) -> None:
    """Tune once, and make the run's edits at each of its numbers of steps."""
    scenes = run[0].clip.scenes()
    frames = drawn(scenes)
    source = Source(scenes, coded(base.vae, frames))
    say(f"{run[0].clip.name}, seed {run[0].seed}, {run[0].recipe(own).attention} attention")
    before, since = 0, time.process_time()
    with Session(base, Shot.of(base, frames, scenes[0].caption), run[0].recipe(own)) as session:
        for steps in session.tuned(sorted({cell.recipe(own).steps for cell in run})):
            costs.add("tuning step", steps - before, since)
            for inversion in (True, False):
                wanted = [c for c in run if c.recipe(own).steps == steps and c.recipe(own).inversion == inversion]
                _edits(session, judges, source, wanted, inversion, folder, costs)
            before, since = steps, time.process_time()
    costs.say()


def _edits(
    session: Session, judges: Judges, source: Source, wanted: list[Cell], inversion: bool, folder: Path, costs: Costs
) -> None:
    if not wanted:
        return
    since = time.process_time()
    start = session.start(inversion)
    costs.add("inversion", int(inversion), since)
    since = time.process_time()
    prompts = [cell.clip.target(cell.kind)[0].caption for cell in wanted]
    for cell, prompt, edit in zip(wanted, prompts, session.edits(start, prompts), strict=True):
        figures = judge(judges, edit, source, cell.clip.target(cell.kind))
        names = {"variant": cell.variant, "clip": cell.clip.name, "seed": cell.seed, "kind": cell.kind}
        write_record(cell.path(folder), {**names, "prompt": prompt, **figures})
        costs.add("edit", 1, since)
        say(f"  {cell.variant:24} {line(figures)}  {prompt}")
        since = time.process_time()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="a folder in the diffusers layout")
    parser.add_argument("--into", type=Path, required=True)
    names = [clip.name for clip in CLIPS + UNSEEN_CLIPS]
    default = [*KNOWN, *(clip.name for clip in UNSEEN_CLIPS)]
    parser.add_argument("--clips", nargs="*", choices=names, default=default)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=["two"])
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[33, 34, 35])
    parser.add_argument("--sweep-clips", nargs="*", choices=names, default=SWEPT)
    parser.add_argument("--sweep-seeds", nargs="*", type=int, default=[33], help="of the sweep over steps and rate")
    add_recipe(parser)
    add_judges(parser)
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
