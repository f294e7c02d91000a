"""The first inspection of a file: its packets, copied without decoding, and the storage of its first frame."""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from tav.video.ffmpeg import finish, from_file

# Messages about a file that ends too early, although ffmpeg reports success. Names and titles, which can hold any text,
# are in lines of other levels.
CUT_OFF = re.compile(
    r"^(?:\[[^\]]+ @ \w+\] )*\[(?:warning|error|fatal)\] .*"
    r"(?:partial file|ended prematurely|corrupt input packet|Truncating packet|error reading header)",
    re.MULTILINE,
)

_SHOWN = r"^\[Parsed_showinfo_0 @ \w+\] \[info\] "
_FRAME = re.compile(_SHOWN + r"n: .* fmt:(\S+) .*\bsar:(\d+)/(\d+) s:(\d+)x(\d+) i:(\w)", re.MULTILINE)
_COLOURS = re.compile(
    _SHOWN + r"color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)", re.MULTILINE
)
_SOUND = re.compile(r"^\[info\] +Stream #0:\d+(\[0x[0-9a-f]+\])?(\(\S+\))?: Audio: ", re.MULTILINE)
_ALPHA_ASIDE = re.compile(r"^\[info\] +alpha_mode +: 1$", re.MULTILINE)
# Codecs with one frame in a packet; containers that store each packet's time and whether decoding can start there.
_PLAIN_CODECS = {"h264", "hevc", "vp9", "av1", "prores", "mjpeg", "dnxhd", "ffv1"}
_PLAIN_CONTAINERS = re.compile(r"^\[info\] Input #0, (mov|matroska)\b", re.MULTILINE)
# VP8 and VP9 store alpha beside the picture; only these decoders read it.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_KEY, _DISCARD = 1, 4


@dataclass(frozen=True)
class Picture:
    """The storage of a frame, in ffmpeg's names; `decoder` is set only where the default one does not suffice."""

    pixel_format: str = "yuv420p"
    interlaced: bool = False
    range: str = "unknown"
    matrix: str = "unknown"
    primaries: str = "unknown"
    transfer: str = "unknown"
    decoder: str | None = None

    @property
    def has_alpha(self) -> bool:
        return re.match(r"yuva|rgba|bgra|argb|abgr|gbrap|ya|pal8|ayuv|vuya", self.pixel_format) is not None

    def reading(self, path: Path) -> list[str]:
        """ffmpeg arguments that read `path` with the right decoder."""
        return [*(["-c:v", self.decoder] if self.decoder else []), *from_file(path)]


PLAIN = Picture()


@dataclass(frozen=True)
class Packets:
    """Times of the shown packets: `ticks` of `tick` seconds, rising. Decoding can start at the ticks `keys`."""

    ticks: tuple[int, ...]
    tick: Fraction
    keys: tuple[int, ...]
    last_duration: int


@dataclass(frozen=True)
class Look:
    """Size as displayed, picture and sound of a file; `packets` is None if a packet may not be exactly one frame."""

    width: int
    height: int
    picture: Picture
    has_audio: bool
    packets: Packets | None


def look(path: Path) -> Look | None:
    """Inspect `path`: copy its packets and decode its first frame. None if that fails, for whatever reason."""
    copied = ["-map", "0:V:0", "-c", "copy", "-copyinkf", "-copypriorss", "1", "-f", "framecrc", "-"]
    shown = ["-map", "0:V:0", "-vf", "showinfo=checksum=0", "-frames:v", "1", "-f", "null", "-"]
    done = finish(["-copyts", *from_file(path), *copied, *shown])
    log = done.stderr.decode(errors="replace")
    frame, colours = _FRAME.search(log), _COLOURS.search(log)
    if frame is None or colours is None:
        return None
    header, rows = parse_rows(done.stdout.decode(errors="replace"))
    codec, sound = header.get("codec_id 0", ""), _SOUND.search(log) is not None
    picture = Picture(frame[1], frame[6] in "TB", *colours.groups())
    if codec in _ALPHA_DECODERS and _ALPHA_ASIDE.search(log):
        picture = replace(picture, pixel_format="yuva420p", decoder=_ALPHA_DECODERS[codec])
    plain = codec in _PLAIN_CODECS and _PLAIN_CONTAINERS.search(log) and not CUT_OFF.search(log)
    trusted = plain and done.returncode == 0 and not picture.interlaced and picture.decoder is None
    packets = _packets(header, rows) if trusted else None
    return Look(_displayed_width(frame), int(frame[5]), picture, sound, packets)


def parse_rows(framecrc: str) -> tuple[dict[str, str], list[list[str]]]:
    """(header values by name, rows). A row is stream, dts, pts, duration, size, checksum, side data."""
    lines = framecrc.splitlines()
    header = dict(line[1:].split(": ", 1) for line in lines if line.startswith("#") and ": " in line)
    return header, [line.replace(" ", "").split(",") for line in lines if line and not line.startswith("#")]


def _displayed_width(frame: re.Match[str]) -> int:
    """The width with square pixels; an aspect of 0 means unknown, so square."""
    over, under, width = int(frame[2]), int(frame[3]), int(frame[4])
    aspect = Fraction(over, under) if over > 0 and under > 0 else Fraction(1)
    return max(1, round(width * aspect))


def _packets(header: dict[str, str], rows: list[list[str]]) -> Packets | None:
    """The packets; None if two have the same time. Packets that an edit list cuts off are not shown and left out."""
    flagged = sorted((int(row[2]), _flags(row), int(row[3])) for row in rows)
    shown = [(tick, duration) for tick, flags, duration in flagged if not flags & _DISCARD]
    ticks = tuple(tick for tick, _ in shown)
    if not ticks or len(set(ticks)) < len(ticks):
        return None
    keys = tuple(tick for tick, flags, _ in flagged if flags & _KEY)
    return Packets(ticks, Fraction(header["tb 0"]), keys, shown[-1][1])


def _flags(row: list[str]) -> int:
    """A packet's flags; ffmpeg writes them only if they differ from those of a key frame."""
    return next((int(cell[2:], 16) for cell in row[6:] if cell.startswith("F=")), _KEY)
