"""First pictures of sheets, clips and videos, for thumbnails. Reads files: never on the event loop.

The readers of videos are imported on first use, so that the first screen is there a tenth of a second sooner.
"""

import io
from pathlib import Path

from PIL import Image

from tav.errors import VideoError

# Pixels, more than any thumbnail has cells.
_WIDEST = 256


def picture_of(path: Path) -> Image.Image | None:
    """The first picture of a sheet, picture, video or folder of pictures, small and RGB; None if it cannot be read."""
    try:
        picture = _read(path)
    except (OSError, VideoError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    picture.thumbnail((_WIDEST, _WIDEST))
    return picture


def _read(path: Path) -> Image.Image:
    from tav.video import first_picture, frame_files
    from tav.video.frame_folder import read_picture

    if path.is_dir():
        return read_picture(frame_files(path)[0]).convert("RGB")
    if path.suffix == ".png":
        return first_picture(path) or read_picture(path).convert("RGB")
    return _first_frame(path)


def _first_frame(path: Path) -> Image.Image:
    from tav.video.ffmpeg import from_file, reading_from

    output = ["-map", "0:V:0", "-frames:v", "1", "-vf", f"scale={_WIDEST}:-2", "-f", "image2pipe", "-c:v", "png", "-"]
    with reading_from([*from_file(path), *output], f"cannot decode {path}") as pipe:
        return Image.open(io.BytesIO(pipe.read())).convert("RGB")
