"""Remake every figure of docs/storybook.md: runs the benchmarks of this folder one after the other, then the tables.

    python benchmarks/storybook/report.py --into FOLDER [--base FOLDER] [--clips FILE ...] [--only NAME ...]

Hours on two cores, most of them for `ablation`; each benchmark keeps what is done, so that a stopped run goes on.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BASE = HERE.parents[1] / "tav" / "storybook" / "base"
NAMES = ("vae", "control", "retrieval", "edits", "ablation")


def main() -> None:
    options = _options()
    for name in options.only:
        _run(name, ["--into", str(options.into), *_arguments(name, options)])
    beside = ["--beside", str(BASE.parent)] if options.base == BASE else []
    _run("summary", [str(options.into), "--to", str(options.into / "tables.md"), *beside])


def _arguments(name: str, options: argparse.Namespace) -> list[str]:
    if name == "retrieval":  # of the scorer; no base is asked
        return []
    clips = ["--clips", *map(str, options.clips)] if name == "vae" and options.clips else []
    return ["--base", str(options.base), *clips]


def _run(name: str, arguments: list[str]) -> None:
    subprocess.run([sys.executable, str(HERE / f"{name}.py"), *arguments], check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=BASE, help="by default the embedded one")
    parser.add_argument("--clips", nargs="*", type=Path, help="real clips for the picture coder")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    return parser.parse_args()


if __name__ == "__main__":
    main()
