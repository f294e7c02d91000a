"""A roster of made clips: pictures drawn here, written by ffmpeg or Pillow in many ways, and what must be taken.

The truth is what was drawn. Every frame bears its number in black and white squares along its lower edge, so that a
frame is known by looking at it, however it was coded; what is coded without loss must come back byte for byte.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from tav.metrics.fidelity import psnr
from tav.settings import ClipSettings
from tav.video import Clip, probe, read_clip

Frames = np.ndarray  # uint8 (f, h, w, 3), or 4 with alpha

WIDTH, HEIGHT, COUNT, RATE = 64, 48, 12, Fraction(10)
BITS = 6
TAKEN = (1, 3, 5, 7, 9)  # of every clip: 5 frames, every second, from the second one on
UPRIGHT: Callable[[Frames], Frames] = lambda frames: frames  # noqa: E731


@dataclass(frozen=True)
class Made:
    """What a clip must turn out to be. `shown` is the drawn frames as they are displayed (f, h, w, 3).

    `exact`: coded without loss. `turned_back` brings displayed frames to how they were drawn, where numbers are read.
    """

    shown: Frames
    timestamps: list[float]
    fps: Fraction
    audio: bool = False
    exact: bool = False
    turned_back: Callable[[Frames], Frames] = UPRIGHT
    tick: float = 1e-6  # how exact the container's times are, in seconds


def draw(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Four coloured quarters, a square that moves, and the number: uint8 (h, w, 3)."""
    picture = np.zeros((height, width, 3), np.uint8)
    half, middle = height // 2, width // 2
    picture[:half, :middle], picture[:half, middle:] = (200, 40, 40), (40, 180, 60)
    picture[half:, :middle], picture[half:, middle:] = (50, 60, 200), (190, 190, 190)
    side, place = height // 6, number % 8 * width // 8
    picture[side : 2 * side, place : place + width // 8] = (240, 230, 60)
    for bit in range(BITS):
        left = bit * width // 8
        picture[-side:, left : left + width // 8] = 255 * (number >> bit & 1)
    return picture


def drawn(count: int = COUNT, width: int = WIDTH, height: int = HEIGHT) -> Frames:
    return np.stack([draw(number, width, height) for number in range(count)])


def numbers(frames: Frames) -> list[int]:
    """The number each frame shows, read from the middle of its squares."""
    height, width = frames.shape[1:3]
    row, columns = height - height // 12 - 1, [(2 * bit + 1) * width // 16 for bit in range(BITS)]
    lit = frames[:, row, columns].mean(-1) > 128
    return [int(sum(int(on) << bit for bit, on in enumerate(one))) for one in lit]


def digest(frames: Frames) -> str:
    return sha256(np.ascontiguousarray(frames)).hexdigest()


def ffmpeg(*arguments: object, data: bytes | None = None) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, input=data, stderr=subprocess.DEVNULL)


def encode(path: Path, frames: Frames, *out: object, rate: Fraction = RATE, sound: bool = False) -> None:
    """Write frames (f, h, w, 3 or 4) as `out` says."""
    size, pixels = "{}x{}".format(*frames.shape[2:0:-1]), "rgba" if frames.shape[-1] == 4 else "rgb24"
    raw = ["-f", "rawvideo", "-pix_fmt", pixels, "-s", size, "-r", rate, "-i", "pipe:0"]
    tone = ["-f", "lavfi", "-i", "sine=duration=2", "-map", "1:a", "-map", "0:v"] if sound else []
    matrix = ["-sws_flags", "accurate_rnd+full_chroma_int+bitexact"]
    ffmpeg(*raw, *tone, *matrix, *out, path, data=np.ascontiguousarray(frames).tobytes())


def regular(rate: Fraction = RATE, count: int = COUNT) -> list[float]:
    return [float(number / rate) for number in range(count)]


# --- makers: each writes `path` and returns what must come out

Maker = Callable[[Path], Made]


def coded(*out: object, exact: bool = False, rate: Fraction = RATE, sound: bool = False, tick: float = 1e-6) -> Maker:
    def make(path: Path) -> Made:
        encode(path, drawn(), *out, rate=rate, sound=sound)
        return Made(drawn(), regular(rate), rate, sound, exact, tick=tick)

    return make


def see_through() -> Frames:
    """Drawn frames whose upper left quarter is half transparent, and whose lower right one is wholly so."""
    alpha = np.full((COUNT, HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:, : HEIGHT // 2, : WIDTH // 2] = 128
    alpha[:, HEIGHT // 2 : -HEIGHT // 6, WIDTH // 2 :] = 0
    return np.concatenate([drawn(), alpha], axis=-1)


def on_white(frames: Frames) -> Frames:
    share = frames[..., 3:] / 255
    return np.round(frames[..., :3] * share + 255 * (1 - share)).astype(np.uint8)


def with_alpha(*out: object) -> Maker:
    def make(path: Path) -> Made:
        encode(path, see_through(), *out)
        return Made(on_white(see_through()), regular(), RATE)

    return make


DELAYS = [100, 200, 50, 100, 300, 100, 100, 40, 100, 100, 500, 100]  # milliseconds


def delayed() -> tuple[list[float], Fraction]:
    """Timestamps of DELAYS, and the mean rate."""
    times = [sum(DELAYS[:number]) / 1000 for number in range(COUNT)]
    return times, Fraction(COUNT - 1) * 1000 / sum(DELAYS[:-1])


def by_pillow(frames: Frames, **options: object) -> Maker:
    """An animated GIF or WebP whose frames are shown for as long as DELAYS says."""

    def make(path: Path) -> Made:
        pictures = [Image.fromarray(frame) for frame in frames]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=DELAYS, loop=0, **options)
        times, fps = delayed()
        shown = on_white(frames) if frames.shape[-1] == 4 else frames
        return Made(shown, times, fps, exact=True)

    return make


def cut_out() -> Frames:
    """GIF knows only seen and not seen."""
    frames = see_through()
    frames[..., 3] = np.where(frames[..., 3] > 128, 255, 0)
    return frames


LOSSLESS = ["-c:v", "libx264rgb", "-qp", "0"]


def turned(options: list[str], shown: Callable[[Frames], Frames], back: Callable[[Frames], Frames]) -> Maker:
    """Stored as drawn, with a note how to hold it."""

    def make(path: Path) -> Made:
        flat = path.with_name("flat.mp4")
        encode(flat, drawn(), *LOSSLESS)
        ffmpeg(*options, "-i", flat, "-c", "copy", path)
        return Made(shown(drawn()), regular(), RATE, exact=True, turned_back=back)

    return make


def quarter(times: int) -> Callable[[Frames], Frames]:
    return lambda frames: np.rot90(frames, times, (1, 2))


def mirrored(axis: int) -> Callable[[Frames], Frames]:
    return lambda frames: np.flip(frames, axis)


def wide_pixels(path: Path) -> Made:
    encode(path, drawn(), *LOSSLESS, "-vf", "setsar=2/1")
    return Made(drawn().repeat(2, axis=2), regular(), RATE)


def variable(*out: object, tick: float = 1e-6) -> Maker:
    """Frames at 0, 0.1, 0.2, 0.5, 0.6, 0.7, 1.0, ... seconds."""

    def make(path: Path) -> Made:
        spread = "settb=1/1000,setpts='100*(N+2*floor(N/3))'"
        encode(path, drawn(), "-vf", spread, "-fps_mode", "passthrough", "-enc_time_base", "filter", *out)
        times = [(number + 2 * (number // 3)) / 10 for number in range(COUNT)]
        return Made(drawn(), times, Fraction(COUNT - 1) / Fraction(str(times[-1])), exact=True, tick=tick)

    return make


def odd(path: Path) -> Made:
    encode(path, drawn(width=63, height=47), "-c:v", "ffv1", "-pix_fmt", "bgr0")
    return Made(drawn(width=63, height=47), regular(), RATE, exact=True)


def edited(path: Path) -> Made:
    """Cut without coding anew: the frames before the cut are in the file, and an edit list hides them."""
    whole = path.with_name("whole.mp4")
    encode(whole, drawn(20), *LOSSLESS, "-g", "20")
    ffmpeg("-ss", "0.8", "-i", whole, "-c", "copy", path)
    return Made(drawn(20)[8:], regular(), RATE, exact=True, turned_back=UPRIGHT)


def with_cover(path: Path) -> Made:
    film, cover = path.with_name("film.mp4"), path.with_name("cover.png")
    encode(film, drawn(), *LOSSLESS, "-c:a", "aac", sound=True)
    Image.new("RGB", (30, 30), "pink").save(cover)
    ffmpeg("-i", cover, "-i", film, "-map", 0, "-map", 1, "-c", "copy", "-disposition:v:0", "attached_pic", path)
    return Made(drawn(), regular(), RATE, audio=True, exact=True)


def late(path: Path) -> Made:
    encode(path, drawn(), *LOSSLESS, "-output_ts_offset", "7", "-c:a", "aac", sound=True)
    return Made(drawn(), regular(), RATE, audio=True, exact=True, tick=1e-3)


def coloured(matrix: str, span: str, label: bool, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Maker:
    """YUV 4:4:4 made with this matrix and range, with or without saying so."""

    def make(path: Path) -> Made:
        to_yuv = f"scale=out_color_matrix={matrix}:out_range={span},format=yuv444p"
        known = matrix.replace("bt601", "smpte170m")
        said = f"setparams=colorspace={known if label else 'unknown'}:range={span if label else 'unknown'}"
        encode(path, drawn(COUNT, *size), "-vf", f"{to_yuv},{said}", "-c:v", "ffv1")
        return Made(drawn(COUNT, *size), regular(), RATE, tick=1e-3)

    return make


def large(path: Path) -> Made:
    """Without a matrix: nothing is to be guessed."""
    encode(path, drawn(COUNT, 1280, 720), "-c:v", "ffv1", "-pix_fmt", "bgr0")
    return Made(drawn(COUNT, 1280, 720), regular(), RATE, exact=True)


def interlaced(path: Path) -> Made:
    out = ["-c:v", "libx264", "-crf", "4", "-flags", "+ildct+ilme", "-vf", "setfield=tff", "-pix_fmt", "yuv444p"]
    encode(path, drawn(), *out)
    return Made(drawn(), regular(), RATE)


def frame_folder(path: Path) -> Made:
    path.mkdir()
    for number, frame in enumerate(drawn()):
        Image.fromarray(frame).save(path / f"f{number}.png")
    return Made(drawn(), regular(Fraction(12)), Fraction(12), exact=True)


YUV = ["-pix_fmt", "yuv420p"]
X264 = ["-c:v", "libx264", "-crf", "8", *YUV]
NTSC = Fraction(30000, 1001)
FINE = ["-qscale:v", "2", *YUV]
QUICK_VP9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "10", "-b:v", "2M"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "12", "-x265-params", "log-level=none"]
ROSTER: dict[str, tuple[str, Maker]] = {
    "h264": (".mp4", coded(*X264)),
    "h264, with sound": (".mp4", coded(*X264, "-c:a", "aac", sound=True)),
    "h264, NTSC rate": (".mp4", coded(*X264, rate=NTSC)),
    "h264, NTSC rate, Matroska": (".mkv", coded(*X264, rate=NTSC, tick=1e-3)),
    "h264, MPEG-TS": (".ts", coded(*X264, tick=1e-4)),
    "h264, Flash": (".flv", coded(*X264, tick=1e-3)),
    "h264, no loss": (".mp4", coded(*LOSSLESS, exact=True)),
    "h264, B-frames, open GOP": (".mp4", coded(*LOSSLESS, "-x264-params", "keyint=4:open-gop=1:bframes=3", exact=True)),
    "h264, interlaced": (".mp4", interlaced),
    "hevc, 8 bit": (".mp4", coded(*X265, *YUV, "-tag:v", "hvc1")),
    "hevc, 10 bit": (".mkv", coded(*X265, "-pix_fmt", "yuv420p10le", tick=1e-3)),
    "vp8": (".webm", coded("-c:v", "libvpx", "-crf", "4", "-b:v", "2M", *YUV, tick=1e-3)),
    "vp9": (".webm", coded(*QUICK_VP9, *YUV, tick=1e-3)),
    "vp9, alpha": (".webm", with_alpha(*QUICK_VP9, "-pix_fmt", "yuva420p")),
    "av1": (".mp4", coded("-c:v", "libsvtav1", "-preset", "8", "-crf", "10", *YUV)),
    "av1, 10 bit": (".mkv", coded("-c:v", "libsvtav1", "-preset", "8", "-crf", "10", "-pix_fmt", "yuv420p10le")),
    "prores 422": (".mov", coded("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le")),
    "prores 4444, alpha": (".mov", with_alpha("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le")),
    "ffv1": (".mkv", coded("-c:v", "ffv1", "-pix_fmt", "bgr0", exact=True)),
    "ffv1, alpha": (".mkv", with_alpha("-c:v", "ffv1", "-pix_fmt", "bgra")),
    "qtrle": (".mov", coded("-c:v", "qtrle", "-pix_fmt", "rgb24", exact=True)),
    "PNG in MOV": (".mov", coded("-c:v", "png", "-pix_fmt", "rgb24", exact=True)),
    "utvideo": (".avi", coded("-c:v", "utvideo", "-pix_fmt", "gbrp", exact=True)),
    "raw": (".nut", coded("-c:v", "rawvideo", "-pix_fmt", "rgb24", exact=True)),
    "Y4M": (".y4m", coded("-pix_fmt", "yuv444p")),
    "mjpeg": (".avi", coded("-c:v", "mjpeg", "-qscale:v", "2", "-pix_fmt", "yuvj420p")),
    "mpeg2": (".mpg", coded("-c:v", "mpeg2video", *FINE, rate=Fraction(25), tick=1e-4)),
    "mpeg2, MXF": (".mxf", coded("-c:v", "mpeg2video", *FINE, rate=Fraction(25))),
    "mpeg4, B-frames": (".avi", coded("-c:v", "mpeg4", "-bf", "2", *FINE)),
    "theora": (".ogv", coded("-c:v", "libtheora", "-qscale:v", "10", *YUV)),
    "wmv": (".wmv", coded("-c:v", "wmv2", *FINE, tick=1e-3)),
    "GIF, delays": (".gif", by_pillow(drawn())),
    "GIF, transparent": (".gif", by_pillow(cut_out(), disposal=2)),
    "WebP, delays": (".webp", by_pillow(drawn(), lossless=True)),
    "WebP, transparent": (".webp", by_pillow(cut_out(), lossless=True, exact=True)),
    "APNG": (".apng", coded("-c:v", "apng", "-pix_fmt", "rgb24", exact=True)),
    "held at 90 degrees": (".mp4", turned(["-display_rotation", "90"], quarter(1), quarter(-1))),
    "held at 180 degrees": (".mp4", turned(["-display_rotation", "180"], quarter(2), quarter(-2))),
    "held at 270 degrees": (".mov", turned(["-display_rotation", "270"], quarter(3), quarter(-3))),
    "mirrored, left to right": (".mp4", turned(["-display_hflip"], mirrored(2), mirrored(2))),
    "mirrored, upside down": (".mp4", turned(["-display_vflip"], mirrored(1), mirrored(1))),
    "pixels 2:1": (".mp4", wide_pixels),
    "variable rate": (".mp4", variable(*LOSSLESS)),
    "variable rate, Matroska": (".mkv", variable("-c:v", "ffv1", "-pix_fmt", "bgr0")),
    "odd size": (".mkv", odd),
    "edit list": (".mp4", edited),
    "cover picture": (".mp4", with_cover),
    "starts at 7 s": (".mkv", late),
    "BT.709, limited": (".mkv", coloured("bt709", "tv", True)),
    "BT.709, full": (".mkv", coloured("bt709", "pc", True)),
    "BT.601, limited": (".mkv", coloured("bt601", "tv", True)),
    "BT.601, full": (".mkv", coloured("bt601", "pc", True)),
    "small, unlabelled": (".mkv", coloured("bt601", "tv", False)),
    "large, unlabelled": (".mkv", coloured("bt709", "tv", False, (1280, 720))),
    "large, RGB": (".mkv", large),
    "folder of PNG": ("", frame_folder),
}


# --- what was taken, against what was drawn

# In dB, over the whole picture, which has hard edges of colour: 4:2:0 alone leaves 30 of it.
ALIKE = 24
# Levels, in the middle of each quarter, where no edge is near.
COLOUR = 6


def take(name: str, folder: Path) -> tuple[Made, Clip]:
    """Make the clip `name` of the roster in `folder` and read TAKEN of it."""
    ending, maker = ROSTER[name]
    path = folder / f"clip{ending}"
    made = maker(path)
    info = probe(path)
    settings = ClipSettings(start=info.timestamps[TAKEN[0]], frames=len(TAKEN), stride=TAKEN[1] - TAKEN[0])
    height, width = made.shown.shape[1:3]
    return made, read_clip(path, settings, (width, height), info)


def wanted(made: Made) -> Frames:
    return np.ascontiguousarray(made.shown[list(TAKEN)])


def faults(made: Made, clip: Clip) -> dict[str, bool]:
    """What may be wrong with a clip that was taken, and whether it is."""
    info, truth = clip.info, wanted(made)
    seen, meant = made.turned_back(clip.frames), made.turned_back(truth)
    return {
        "size": (info.height, info.width) != made.shown.shape[1:3],
        "times": len(info.timestamps) != len(made.timestamps)
        or bool(np.abs(np.subtract(info.timestamps, made.timestamps)).max() > made.tick),
        "rate": (info.fps, clip.fps) != (made.fps, made.fps / 2),
        "sound": info.has_audio != made.audio,
        "frames": clip.indices != TAKEN or numbers(seen) != numbers(meant),
        "bytes": made.exact and digest(clip.frames) != digest(truth),
        "picture": psnr(clip.frames, truth) <= ALIKE,
        "colours": bool(np.abs(colours(seen) - colours(meant)).max() > COLOUR),
    }


def colours(frames: Frames) -> np.ndarray:
    """The middle of each quarter."""
    height, width = frames.shape[1:3]
    rows, columns = [height * 5 // 12, height * 15 // 24], [width // 8, width * 7 // 8]
    return frames[:, rows][:, :, columns].astype(float)
