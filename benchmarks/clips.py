"""The clips that the tests make, and what was taken of each: a Markdown table on stdout.

    python benchmarks/clips.py

Frames are compared with what was drawn: by hash where nothing is lost, else by the number that each of them shows.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "tav"))

from made_clips import ROSTER, TAKEN, Made, digest, faults, numbers, take, wanted

from tav.metrics.fidelity import psnr
from tav.video import Clip

COLUMNS = "clip", "file", "frames taken", "known by", "like the drawing", "rate", "size", "sound", "right"


def main() -> None:
    rows = [_row(name) for name in ROSTER]
    for cells in (COLUMNS, ("---",) * len(COLUMNS), *rows):
        sys.stdout.write(f"| {' | '.join(cells)} |\n")
    wrong = sum(row[-1] != "yes" for row in rows)
    asked = f"of each, frames {_list(TAKEN)} were asked for (the edit list hides 8 before them)"
    sys.stdout.write(f"\n{len(rows)} clips, {len(rows) - wrong} right; {asked}.\n")
    sys.exit(bool(wrong))


def _row(name: str) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory() as folder:
        made, clip = take(name, Path(folder))
    info, shown = clip.info, numbers(made.turned_back(clip.frames))
    problems = [what for what, wrong in faults(made, clip).items() if wrong]
    return (
        name,
        ROSTER[name][0] or "folder",
        _list(shown),
        f"hash `{digest(clip.frames)[:12]}`" if made.exact else "number",
        _likeness(made, clip),
        f"{float(info.fps):.6g}",
        f"{info.width}x{info.height}",
        "yes" if info.has_audio else "no",
        f"**no**: {', '.join(problems)}" if problems else "yes",
    )


def _likeness(made: Made, clip: Clip) -> str:
    level = psnr(clip.frames, wanted(made))
    return "equal" if level == float("inf") else f"{level:.1f} dB"


def _list(shown: list[int] | tuple[int, ...]) -> str:
    return ", ".join(map(str, shown))


if __name__ == "__main__":
    main()
