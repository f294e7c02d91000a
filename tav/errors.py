"""Errors that a user can cause or correct. Each has one line that says what is wrong and one that says what to do."""


class TavError(Exception):
    """An expected failure: `message` says what is wrong, `hint` what to do about it (both one line, no full stop)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SettingsError(TavError):
    """A setting that does not exist, has the wrong type, or contradicts another."""


class BaseModelError(TavError):
    """A text-to-image base that is missing, incomplete, unreadable or of a kind that cannot be inflated."""


class CheckpointError(TavError):
    """A file of tuned parameters or latents that is unreadable, foreign, or belongs to another network."""


class VideoError(TavError):
    """A clip that cannot be read, is too short, or a video that cannot be written."""


class DeviceMemoryError(TavError):
    """The device ran out of memory."""
