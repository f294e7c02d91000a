"""The pictures of a video as any player sees them, and how near two of them are."""

from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray


def frames_of(path: Path) -> NDArray[np.uint8]:
    """All frames (f h w 3)."""
    reader = imageio_ffmpeg.read_frames(str(path), pix_fmt="rgb24")
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal to noise ratio in dB; infinite for equal ones."""
    assert one.shape == other.shape
    error = float(np.mean((one.astype(float) - other) ** 2))
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)
