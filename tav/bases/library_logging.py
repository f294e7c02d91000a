"""Silencing of transformers and diffusers while they load: their messages would go to the application's stderr."""

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress log lines, progress bars and warnings of transformers and diffusers inside the context."""
    before = [(library, library.get_verbosity(), library.is_progress_bar_enabled()) for library in _logging_modules()]
    try:
        for library, _, _ in before:
            library.set_verbosity(library.CRITICAL)
            library.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library, verbosity, bars in before:
            library.set_verbosity(verbosity)
            if bars:
                library.enable_progress_bar()


def _logging_modules() -> list[Any]:
    # diffusers imports torch, which a caller that only wants a tokenizer does not need.
    names = ["transformers", *(["diffusers"] if "diffusers" in sys.modules else [])]
    return [importlib.import_module(f"{name}.utils.logging") for name in names]
