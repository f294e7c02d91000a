"""The number of tav's file formats. Files of a later format are refused and left as they are."""

from tav.errors import TavError

# Goes up when files change their meaning. Workspaces, inputs of stages, tensors and recipes hold it; old ones do not.
FORMAT = 1


class NewerFormatError(TavError):
    """A file that a later version of tav wrote."""


def refuse_newer(written: object, what: str) -> None:
    """Raise NewerFormatError if `written`, the format number found in `what`, is later than FORMAT."""
    if isinstance(written, int) and written > FORMAT:
        raise NewerFormatError(
            f"{what} was made by a newer tav (format {written}; this one knows up to {FORMAT})",
            "update tav: pip install --upgrade tav; nothing was changed",
        )
