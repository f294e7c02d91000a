"""The part of a long clip that has to be decoded: from a key frame well before the first frame taken to the last one.

Where that part, decoded, does not show exactly the frames that its packets promised, nothing of this is used.
"""

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from tav.video.ffmpeg import finish
from tav.video.packets import CUT_OFF, Packets, Picture, parse_rows


@dataclass(frozen=True)
class Span:
    """Frames from tick `first` to tick `last`, decoded from tick `begin` on; None: from the beginning of the file."""

    first: int
    last: int
    begin: int | None
    packets: Packets

    def reading(self, path: Path, picture: Picture) -> list[str]:
        """Arguments that read from there, with the file's own timestamps."""
        if self.begin is None:
            return ["-copyts", *picture.reading(path)]
        place = ["-seek_timestamp", "1", "-noaccurate_seek", "-ss", f"{float(self.begin * self.packets.tick):.6f}"]
        return ["-copyts", *place, *picture.reading(path)]

    def trim(self, first: int | None) -> str:
        """The filter that ends decoding behind the last frame, and leaves out what comes before tick `first`."""
        return f"trim=end_pts={self.last + 1}" + (f":start_pts={first}" if first is not None else "")


def span(packets: Packets, first: int, last: int) -> Span:
    """The span for frames number `first` to `last`.

    Decoding begins one key frame earlier than it could: some encoders call a frame so which only the frames after it
    complete (periodic intra refresh).
    """
    keys = packets.keys[: bisect_right(packets.keys, packets.ticks[first])]
    begin = keys[-2] if len(keys) > 2 else None
    return Span(packets.ticks[first], packets.ticks[last], begin, packets)


def shows_its_packets(path: Path, picture: Picture, part: Span) -> bool:
    """Decode `part` once: is every frame there, at its time, and whole?"""
    exact = ["-map", "0:V:0", "-vf", part.trim(None), "-fps_mode", "passthrough", "-enc_time_base:v", "demux"]
    done = finish(["-xerror", *part.reading(path, picture), *exact, "-f", "framecrc", "-"])
    _, rows = parse_rows(done.stdout.decode(errors="replace"))
    if done.returncode != 0 or not rows or CUT_OFF.search(done.stderr.decode(errors="replace")):
        return False
    decoded, ticks = [int(row[2]) for row in rows], part.packets.ticks
    begin = ticks[0] if part.begin is None else part.begin
    expected = [tick for tick in ticks if begin <= tick <= part.last]
    same_size = len({row[4] for row in rows}) == 1
    return same_size and decoded[0] <= begin and [tick for tick in decoded if tick >= begin] == expected
