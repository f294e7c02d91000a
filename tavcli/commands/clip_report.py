"""What `tav init` says and shows of the clip it took, and what it warns of."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tav.settings import ClipSettings
    from tav.video import Clip, ClipQuality, Fit

# A sheet of so many pictures in a row, and at most so many rows.
COLUMNS, ROWS = 8, 8
# Shares smaller than this are not worth a word.
_SLIGHT = 0.005


def in_words(clip: "Clip", fitted: "Fit", settings: "ClipSettings", stride: int | None) -> list[str]:
    """Rate, size and sound of the clip, the frames taken of it, and what of the picture is seen."""
    info, size = clip.info, "{}x{}".format(*fitted.size)
    sound = "with sound" if info.has_audio else "no sound"
    every = f"{settings.fps:g} a second" if settings.fps is not None else f"every {_ordinal(stride)}"
    first, last = (info.timestamps[clip.indices[place]] for place in (0, -1))
    return [
        f"clip: {info.width}x{info.height}, {len(info.timestamps)} frames, {float(info.fps):.4g} a second, {sound}",
        f"taken: {len(clip.indices)} frames from {first:.4g} to {last:.4g} s, {every}, at {size}; "
        f"the result plays at {float(clip.fps):.4g} a second",
        f"{settings.fit}: {_seen(fitted)}",
    ]


def _seen(fitted: "Fit") -> str:
    shares = [(share, side) for share, side in zip(fitted.cut_off, ("width", "height"), strict=True) if share > _SLIGHT]
    if shares:
        words = " and ".join(f"{share:.0%} of the {side}" for share, side in shares)
        return f"{words} is cut off, half at each side (--fit letterbox keeps it)"
    if fitted.barred > _SLIGHT:
        return f"the whole picture, {fitted.barred:.0%} of the network's is black bars (cut off again at the end)"
    return "the whole picture"


def warnings(clip: "Clip", looks: "ClipQuality", folder: bool) -> list[str]:
    """What may spoil the result, each with what to do."""
    words = [*_cuts(clip, looks)]
    if len(clip.frames) == 1:
        words.append("there is only one frame: no motion to learn")
    elif looks.still:
        words.append("almost nothing moves in the frames taken: take others (--start), or more of them (--stride)")
    if looks.jumps:
        closer = "take pictures that follow each other closer" if folder else "take them closer: a smaller --stride"
        words.append(f"the frames taken are far apart: most of the picture is elsewhere in the next one; {closer}")
    for share, side in zip(looks.bars, ("width", "height"), strict=True):
        if share:
            words.append(f"the clip has black bars, {share:.0%} of its {side}: they are learned too; crop them first")
    return words


def _cuts(clip: "Clip", looks: "ClipQuality") -> list[str]:
    if not looks.cuts:
        return []
    times = [clip.info.timestamps[clip.indices[number]] for number in looks.cuts]
    places = ", ".join(f"{time:.4g} s" for time in times[:4]) + (", ..." if len(times) > 4 else "")
    # Rounded up, since a start a little before the cut would take the frame before it.
    behind = f"--start {-(-times[-1] * 1000 // 1) / 1000:g}"
    what = "a scene cut" if len(times) == 1 else f"{len(times)} scene cuts"
    before = f"--frames {looks.cuts[0]}"
    return [f"{what} between the frames taken, at {places}: stay before it with {before}, or behind it with {behind}"]


def draw(path: Path, clip: "Clip") -> None:
    """Write a sheet of the frames taken, each row labelled with its time."""
    from tav.video import contact_sheet

    frames = clip.content.cut(clip.frames)
    step = -(-len(frames) // (COLUMNS * ROWS))
    shown = range(0, len(frames), step)
    rows = []
    for place in range(0, len(shown), COLUMNS):
        row = shown[place : place + COLUMNS]
        first, last = (clip.info.timestamps[clip.indices[number]] for number in (row[0], row[-1]))
        label = f"frames {row[0] + 1} to {row[-1] + 1}, {first:.2f} to {last:.2f} s"
        rows.append((label, frames[row.start : row.stop : row.step]))
    contact_sheet(path, rows, COLUMNS)


def _ordinal(number: int | None) -> str:
    if number in (None, 1):
        return "frame"
    return {2: "2nd frame", 3: "3rd frame"}.get(number, f"{number}th frame")
