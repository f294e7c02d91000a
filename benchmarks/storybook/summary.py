"""Turn the benchmarks' results into the tables of docs/storybook.md.

    python benchmarks/storybook/summary.py FOLDER [--to FILE] [--beside MODELS]

FOLDER holds what the other benchmarks wrote: those that are there make the report. Intervals are of 95 %: Wilson's for
shares of pictures, by drawing clips with replacement for edits. Flicker is the change of a pixel from frame to frame
where nothing should move, pixel change that of all pixels. The source is the clip through the base's picture coder:
what is drawn does not flicker at all, and no edit can be steadier than the coder.
"""

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ablation import VARIANTS, WHOLE
from clips import CLIPS, KINDS
from records import read_record, say, write_record
from vae import levels

from tav.atomic import write_text
from tav.storybook.train.labels import VOCABULARY
from tav.storybook.train.measures import bootstrap

Record = dict[str, Any]
Column = tuple[str, Callable[[Record], float], str]

COLUMNS: list[Column] = [
    ("all named right", lambda one: one["all"], "{:.3f}"),
    ("what was changed", lambda one: one.get("changed", math.nan), "{:.3f}"),
    ("what was kept", lambda one: one.get("kept", math.nan), "{:.3f}"),
    ("centre error, px", lambda one: one["centre_error"], "{:.1f}"),
    ("correlation of x", lambda one: one["correlation"], "{:.2f}"),
    ("consistency", lambda one: one["consistency"]["edit"], "{:.1f}"),
    (
        "consistency, less than the source's",
        lambda one: one["consistency"]["source"] - one["consistency"]["edit"],
        "{:.1f}",
    ),
    ("flicker, of 255", lambda one: one["flicker"]["edit"], "{:.2f}"),
    ("source's flicker", lambda one: one["flicker"]["source"], "{:.2f}"),
    ("pixel change, of 255", lambda one: one["change"]["edit"], "{:.1f}"),
    ("source's change", lambda one: one["change"]["source"], "{:.1f}"),
    ("a perfect edit's change", lambda one: one["change"]["perfect"], "{:.1f}"),
]


_TELLING = {"all named right", "centre error, px", "correlation of x", "consistency", "flicker, of 255"}
NARROW = [column for column in COLUMNS if column[0] in _TELLING]
"""Those that tell the parts of the method from each other."""


def main() -> None:
    options = _options()
    parts = [section(options.folder) for section in (coder, control, edits, ablation)]
    parts.insert(2, judges())
    text = "".join(parts).strip() + "\n"
    if options.to:
        write_text(options.to, text)
    else:
        say(text)
    if options.beside:
        write_record(options.beside / "base" / "figures.json", figures(options.folder))
        if scorer := read_record(options.folder / "scorer.json"):
            write_record(options.beside / "scorer" / "figures.json", scorer)


def figures(folder: Path) -> Record:
    """The figures in short, to lie beside the weights: PSNR in dB, shares of pictures, means over all edits."""
    found: Record = {}
    if coded := read_record(folder / "vae.json"):
        found["psnr"] = {name: round(level, 2) for name, level in levels(coded).items()}
    if generated := read_record(folder / "control.json"):
        for kind in ("seen", "held-out"):
            shares = generated[kind]["attributes"]
            found[f"text control, {kind}"] = {name: round(one["share"], 3) for name, one in shares.items()}
    if records := _records(folder / "edits"):
        means = {name: np.nanmean([value(one) for one in records]) for name, value, _ in COLUMNS}
        found[f"{len(records)} edits"] = {name: round(float(mean), 3) for name, mean in means.items()}
    return found


def coder(folder: Path) -> str:
    """The picture coder's table, "" without results."""
    record = read_record(folder / "vae.json")
    if record is None:
        return ""
    rows = [[name, f"{db:.2f}"] for name, db in levels(record).items()]
    return _titled("Picture coder", ["pictures", "PSNR, dB"], rows)


def control(folder: Path) -> str:
    """Text control: shares of what is read right on drawn pictures, "" without results."""
    record = read_record(folder / "control.json")
    if record is None:
        return ""
    kinds = [name for name in ("seen", "held-out") if name in record]
    rows = [
        [name, *(_share(record[kind]["attributes"][name]) for kind in kinds)] for name in record["seen"]["attributes"]
    ]
    counts = [f"{kind} ({record[kind]['count']} pictures)" for kind in kinds]
    return _titled(f"Text control, {record['steps']} steps, guidance {record['guidance']:g}", ["", *counts], rows)


def _share(figures: Record) -> str:
    low, high = figures["interval"]
    return f"{figures['share']:.3f} ({low:.3f} to {high:.3f})"


def judges() -> str:
    """The truth reader and the scorer on fresh pictures; "" without either."""
    reader, scorer = (
        read_record(Path(__file__).parent / "reader.json"),
        read_record(Path(__file__).parent / "scorer.json"),
    )
    text = ""
    if reader:
        names = list(reader["figures"]["seen"])
        rows = [[kind, *(f"{found[name]:.3f}" for name in names)] for kind, found in reader["figures"].items()]
        text += _titled("Truth reader", ["fresh pictures", *names[:-1], "centre, px"], rows)
    if scorer:
        text += _titled("Scorer", ["", ""], [[name, f"{value:.3f}"] for name, value in scorer.items()])
    return text


def edits(folder: Path) -> str:
    """The edits, by kind, by clip and by attribute; "" without results."""
    found = _records(folder / "edits")
    if not found:
        return ""
    kinds = [_row(kind, [one for one in found if one["kind"] == kind]) for kind in KINDS]
    clips = [_row(clip.name, [one for one in found if one["clip"] == clip.name]) for clip in CLIPS]
    header = ["", *(name for name, _, _ in COLUMNS)]
    whole = [_row("all", found, intervals=True)]
    tables = _titled("Edits, by kind", header, kinds + whole) + _titled("Edits, by clip", header, clips)
    return tables + _titled(
        "Edits, by attribute", ["", "frames read right"], [_attribute(name, found) for name in VOCABULARY]
    )


def _attribute(name: str, found: list[Record]) -> list[str]:
    """An attribute's share of frames, over the edits whose prompt names it."""
    asked = [one for one in found if name in one["attributes"]]
    return [name, _interval([one["attributes"][name] for one in asked], [one["clip"] for one in asked], "{:.3f}")]


def ablation(folder: Path) -> str:
    """What each part is worth, over all clips and those of known and of unseen things; "" without results."""
    found = _records(folder / "ablation")
    known = {clip.name for clip in CLIPS}
    groups = {
        "all clips": found,
        "known subjects and actions": [one for one in found if one["clip"] in known],
        "an unseen subject or action": [one for one in found if one["clip"] not in known],
    }
    return "".join(_ablated(name, group) for name, group in groups.items() if group)


def _ablated(name: str, found: list[Record]) -> str:
    header = ["", "edits", *(column for column, _, _ in NARROW), "all named right, less than the whole method"]
    rows = []
    for variant in VARIANTS:
        own = [one for one in found if one["variant"] == variant]
        if own:
            rows.append([variant, str(len(own)), *_row("", own, NARROW, intervals=True)[1:], _loss(own, found)])
    return _titled(f"What each part is worth: {name}", header, rows)


def _loss(own: list[Record], found: list[Record]) -> str:
    """By how much fewer frames are right than with the whole method, edit by edit: of the same clip, seed and kind."""
    whole = {_key(one): one["all"] for one in found if one["variant"] == WHOLE}
    pairs = [(whole[_key(one)] - one["all"], one["clip"]) for one in own if _key(one) in whole]
    return _interval([value for value, _ in pairs], [clip for _, clip in pairs], "{:+.3f}")


def _key(one: Record) -> tuple[str, int, str]:
    return one["clip"], one["seed"], one["kind"]


def _row(
    label: str, records: Sequence[Record], columns: Sequence[Column] = COLUMNS, intervals: bool = False
) -> list[str]:
    """A row of the columns' means; records without a figure (what an identity edit changed) are left out."""
    cells = []
    for _, value, form in columns:
        there = [(value(one), one["clip"]) for one in records if not math.isnan(value(one))]
        values, clips = [number for number, _ in there], [clip for _, clip in there]
        cells.append(_interval(values, clips, form) if intervals else form.format(np.mean(values)) if values else "")
    return [label, *cells]


def _interval(values: Sequence[float], clips: Sequence[str], form: str) -> str:
    if not values:
        return ""
    low, high = bootstrap(np.array(values), np.unique(clips, return_inverse=True)[1])
    return f"{form.format(np.mean(values))} ({form.format(low)} to {form.format(high)})"


def _records(folder: Path) -> list[Record]:
    paths = (path for path in sorted(folder.rglob("*.json")) if path.name != "settings.json")
    return [record for path in paths if (record := read_record(path)) is not None]


def _titled(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table below its title."""
    lines = [f"### {title}", "", _cells(header), _cells(["---"] * len(header)), *map(_cells, rows)]
    return "\n".join(lines) + "\n\n"


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--to", type=Path, help="a file; by default the report is printed")
    parser.add_argument("--beside", type=Path, help="folder of base/ and scorer/: figures.json is written beside both")
    return parser.parse_args()


if __name__ == "__main__":
    main()
