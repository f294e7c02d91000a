"""How close two videos are."""

import math

import numpy as np
from numpy.typing import NDArray


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(255^2 / mean((a - b)^2)); infinite for equal arrays.

    Takes uint8 arrays of one shape, such as frames (f, h, w, 3); the mean runs over all values. Raises ValueError else.
    """
    if a.dtype != np.uint8 or b.dtype != np.uint8 or a.shape != b.shape or a.size == 0:
        raise ValueError(f"psnr takes two uint8 arrays of one shape, not {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    # Squares of differences fit 32 bits exactly; their sum is taken in 64.
    error = np.square(a.astype(np.int32) - b.astype(np.int32)).sum(dtype=np.int64) / a.size
    return math.inf if error == 0 else 10 * math.log10(255**2 / float(error))
