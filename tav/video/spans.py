"""The part of a long clip that is decoded: from a key frame well before the first chosen frame to the last one.

If decoding that part does not give exactly the frames that its packets promise, the whole clip is decoded instead.
"""

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from tav.video.ffmpeg import finish
from tav.video.packets import CUT_OFF, Packets, Picture, parse_rows


@dataclass(frozen=True)
class Span:
    """Frames from tick `first` to tick `last`, decoded from tick `begin` on (None: from the beginning of the file)."""

    first: int
    last: int
    begin: int | None
    packets: Packets

    def reading(self, path: Path, picture: Picture) -> list[str]:
        """ffmpeg arguments that read `path` from `begin` on, with the file's own timestamps."""
        if self.begin is None:
            return ["-copyts", *picture.reading(path)]
        place = ["-seek_timestamp", "1", "-noaccurate_seek", "-ss", f"{float(self.begin * self.packets.tick):.6f}"]
        return ["-copyts", *place, *picture.reading(path)]

    def trim(self, first: int | None) -> str:
        """The filter that ends decoding after the last frame and drops frames before tick `first`."""
        return f"trim=end_pts={self.last + 1}" + (f":start_pts={first}" if first is not None else "")


def span(packets: Packets, first: int, last: int) -> Span:
    """The span for frames number `first` to `last`.

    Decoding begins one key frame earlier than needed: with periodic intra refresh, a frame that is marked as key is
    complete only with the frames after it.
    """
    keys = packets.keys[: bisect_right(packets.keys, packets.ticks[first])]
    begin = keys[-2] if len(keys) > 2 else None
    return Span(packets.ticks[first], packets.ticks[last], begin, packets)


def shows_its_packets(path: Path, picture: Picture, part: Span) -> bool:
    """Whether decoding `part` gives the frame of every packet, at its time and undamaged."""
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
