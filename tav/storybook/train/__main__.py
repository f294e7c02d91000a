"""`python -m tav.storybook.train` renders the world and trains the embedded models; run again, it continues.

Files that are not shipped (pictures, latents, optimisers, logs, sheets) are in the state folder. Without it, training
continues from the shipped weights with a fresh optimiser.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from tav.storybook.train.stages import PLANS, STAGES, Folders, train


def main() -> None:
    """Train the stages that are not finished, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tav.storybook.train", description=__doc__)
    parser.add_argument(
        "--state", type=Path, default=Path("storybook-state"), help="folder of files that are not shipped"
    )
    parser.add_argument("--into", type=Path, default=Path(__file__).parents[1], help="folder of base/ and scorer/")
    parser.add_argument("--minutes", type=float, default=600.0, help="at most, for each stage; run again, it continues")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES), help="train only these")
    parser.add_argument("--steps", type=int, help="steps in all, instead of the plan's (name one stage)")
    options = parser.parse_args()
    folders = Folders(options.state, options.into)
    folders.state.mkdir(parents=True, exist_ok=True)
    for name in options.stages:
        plan = replace(PLANS[name], steps=options.steps) if options.steps else PLANS[name]
        try:
            train(name, folders, plan, options.minutes)
        except ValueError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
