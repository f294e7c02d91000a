"""Comments in GIF, WebP, PNG and video files. Files are untrusted: pixels are not decoded, all lengths are bounded."""

import re
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path
from typing import IO, Literal

LONGEST_RECIPE = 100_000  # characters; Linux refuses one argument above 128 KiB
_MOST_BYTES = 10 * LONGEST_RECIPE  # escapes in XMP are longer: `"` becomes `&quot;`
_MOST_CHUNKS = 10_000

_XMP_START = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    '<dc:description><rdf:Alt><rdf:li xml:lang="x-default">'
)
_XMP_END = "</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>"
_PNG_KEY = b"Comment\0"


def as_xmp(text: str) -> bytes:
    """An XMP packet with ASCII `text` as its description."""
    return f"{_XMP_START}{escape(text, quote=False)}{_XMP_END}".encode("ascii")


def with_gif_comment(gif: bytes, text: str) -> bytes:
    """`gif` with ASCII `text` in a comment extension before its first picture."""
    data, start = text.encode("ascii"), _gif_blocks_at(gif)
    blocks = (data[at : at + 255] for at in range(0, len(data), 255))
    comment = b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    return gif[:start] + comment + gif[start:]


def gif_comment(path: Path) -> str:
    """The comment before a GIF's first picture, or ""."""
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    at = _gif_blocks_at(data)
    while data[at : at + 1] == b"\x21":
        content, end = _sub_blocks(data, at + 2)
        if data[at + 1 : at + 2] == b"\xfe":
            return content.decode("latin-1")
        at = end
    return ""


def _gif_blocks_at(gif: bytes) -> int:
    """The offset of the first block, after the header and the table of colours, if any."""
    flags = gif[10] if len(gif) > 10 else 0
    return 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _sub_blocks(data: bytes, at: int) -> tuple[bytes, int]:
    """(content, offset after it) of a series of blocks, each after its length, up to an empty one."""
    content = []
    while at < len(data) and data[at]:
        content.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(content), at + 1


def webp_comment(path: Path) -> str:
    """The description that `as_xmp` put into a WebP, or ""."""
    with path.open("rb") as file:
        file.seek(12)
        for name, size in _chunks(file, "little"):
            if name == b"XMP " and size <= _MOST_BYTES:
                return _from_xmp(file.read(size).decode(errors="replace"))
            file.seek(size + size % 2, 1)
    return ""


def _from_xmp(packet: str) -> str:
    before, _, rest = packet.partition(_XMP_START)
    text, end, _ = rest.partition(_XMP_END)
    return unescape(text) if end and not before else ""


def png_comment(path: Path) -> str:
    """The text chunk `Comment` before a PNG's pixels, or ""."""
    with path.open("rb") as file:
        file.seek(8)
        for name, size in _chunks(file, "big", size_first=True):
            if name == b"IDAT":
                break
            content = file.read(size) if name == b"tEXt" and size <= _MOST_BYTES else b""
            if content.startswith(_PNG_KEY):
                return content.removeprefix(_PNG_KEY).decode("latin-1")
            file.seek(size - len(content) + 4, 1)  # a checksum follows
    return ""


def _chunks(file: IO[bytes], order: Literal["little", "big"], size_first: bool = False) -> Iterator[tuple[bytes, int]]:
    """(name, length) of each chunk; the caller reads or skips its content before it asks for the next."""
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        size, name = (head[:4], head[4:]) if size_first else (head[4:], head[:4])
        yield name, int.from_bytes(size, order)


def ffmetadata_comment(text: str) -> str:
    """The comment in ffmpeg's text form, where `\\` escapes `=`, `;`, `#`, `\\` and the end of a line; or ""."""
    for line in re.findall(r"(?:[^\\\n]|\\.)+", text, re.DOTALL):
        if line.startswith("["):  # the streams' own values follow
            break
        name, _, value = line.partition("=")
        if name.lower() == "comment":  # Matroska writes names in capitals
            return re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
    return ""
