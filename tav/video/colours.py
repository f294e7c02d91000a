"""ffmpeg filters from stored frames to RGB as displayed: matrix, range, transparency, high dynamic range."""

from tav.video.packets import Picture

# bitexact: the same frames on every processor.
SCALER = "flags=lanczos+accurate_rnd+full_chroma_int+bitexact"
HDR_TRANSFERS = "smpte2084", "arib-std-b67"
WIDE_PRIMARIES = "bt2020", "smpte431", "smpte432"
# In cd/m2: the white of paper (ITU-R BT.2408), and the brightest light that tone mapping keeps apart.
WHITE, BRIGHTEST = 203, 1000


def scaled_rgb(picture: Picture, displayed: tuple[int, int], size: tuple[int, int]) -> str:
    """Filters that convert a frame to rgb24 of `size` (width, height). Transparency is shown on white.

    PQ and HLG are tone-mapped: light below a third of white is kept, brighter light is compressed.
    """
    scale = f"scale={size[0]}:{size[1]}:{SCALER}{_guessed_matrix(picture, displayed)}"
    if picture.transfer in HDR_TRANSFERS or picture.primaries in WIDE_PRIMARIES:
        return f"{scale},format=yuv444p16le,{_standard_light(picture)},format=gbrp,format=rgb24"
    if picture.has_alpha:
        straight = f"scale={SCALER}{_guessed_matrix(picture, displayed)},format=gbrap"
        white = "split[front][back];[back]lutrgb=r=255:g=255:b=255:a=255[white];[white][front]overlay=format=gbrp"
        return f"{straight},{white},format=gbrp,scale={size[0]}:{size[1]}:{SCALER},format=rgb24"
    return f"{scale},format=rgb24"


def _guessed_matrix(picture: Picture, displayed: tuple[int, int]) -> str:
    """The matrix of an unlabelled picture above standard definition: BT.709, as in players; ffmpeg takes BT.601."""
    large = displayed[0] >= 1280 or displayed[1] > 576
    return ":in_color_matrix=bt709" if picture.matrix == "unknown" and large else ""


def _standard_light(picture: Picture) -> str:
    """Filters from high dynamic range or wide colours to BT.709, in linear light.

    Without agamma=false HLG is decoded channel by channel, and saturated colours come out too bright.
    """
    hdr = picture.transfer in HDR_TRANSFERS
    given = {
        "tin": picture.transfer if hdr else "bt709",
        "pin": picture.primaries if picture.primaries in WIDE_PRIMARIES else "bt2020",
        "min": "bt709" if picture.matrix == "bt709" else "bt2020nc",
        "rin": "full" if picture.range == "pc" else "limited",
    }
    words = ":".join(f"{name}={value}" for name, value in given.items())
    linear = f"zscale={words}:t=linear:npl={WHITE}:agamma=false:m=gbr:p=bt709:r=full,format=gbrpf32le"
    pressed = f",tonemap=mobius:param=0.3:desat=0:peak={BRIGHTEST / WHITE:.4f}" if hdr else ""
    return f"{linear}{pressed},zscale=tin=linear:t=bt709:npl={WHITE}:agamma=false:r=full"
