"""Picture sizes that a base can take, as (width, height) in pixels. No torch."""

from tav.bases.parts import BaseParts
from tav.errors import SettingsError


def check_size(parts: BaseParts, width: int, height: int) -> None:
    """Raise SettingsError, with the nearest size that works, when the VAE cannot take `width` x `height`."""
    factor = parts.vae_factor
    near = _rounded(width, factor), _rounded(height, factor)
    if near != (width, height):
        raise SettingsError(
            f"size {width}x{height}: this base takes multiples of {factor}", f"the nearest is {near[0]}x{near[1]}"
        )


def fitting_size(parts: BaseParts, aspect: float) -> tuple[int, int]:
    """The size of `aspect` (width / height, > 0) with the area that the base recommends, else was trained on.

    Both sides are multiples of `parts.size_multiple`, at least one.
    """
    width, height = parts.recommendation.size or parts.native_size
    area = width * height
    multiple = parts.size_multiple
    return _rounded((area * aspect) ** 0.5, multiple), _rounded((area / aspect) ** 0.5, multiple)


def _rounded(side: float, multiple: int) -> int:
    return max(1, int(side / multiple + 0.5)) * multiple
