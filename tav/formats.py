"""The one number of how tav writes things down. What a later tav wrote is refused and left as it is, never misread."""

from tav.errors import TavError

# Raised when files change their meaning. Workspaces, inputs of stages, tensors and recipes carry it; old ones lack it.
FORMAT = 1


class NewerFormatError(TavError):
    """Something that a later tav made."""


def refuse_newer(written: object, what: str) -> None:
    """Raise NewerFormatError when `what` carries the number of a later format, `written`."""
    if isinstance(written, int) and written > FORMAT:
        raise NewerFormatError(
            f"{what} was made by a newer tav (format {written}; this one knows up to {FORMAT})",
            "update tav: pip install --upgrade tav; nothing was changed",
        )
