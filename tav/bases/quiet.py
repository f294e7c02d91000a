"""Silence of the libraries while they load: they talk on stderr, which belongs to the application."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """No log lines, progress bars or warnings of diffusers and transformers inside; afterwards as before."""
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    before = [(library, library.get_verbosity(), library.is_progress_bar_enabled()) for library in (diffusers, transformers)]
    try:
        for library, _, _ in before:
            library.set_verbosity(library.CRITICAL)
            library.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library, verbosity, bars in before:
            _restore(library, verbosity, bars)


def _restore(library: Any, verbosity: int, bars: bool) -> None:
    library.set_verbosity(verbosity)
    if bars:
        library.enable_progress_bar()
