"""Silence of the libraries while they load: they talk on stderr, which belongs to the application."""

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """No log lines, progress bars or warnings of transformers and diffusers inside; afterwards as before."""
    before = [(talk, talk.get_verbosity(), talk.is_progress_bar_enabled()) for talk in _talkers()]
    try:
        for talk, _, _ in before:
            talk.set_verbosity(talk.CRITICAL)
            talk.disable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for talk, verbosity, bars in before:
            talk.set_verbosity(verbosity)
            if bars:
                talk.enable_progress_bar()


def _talkers() -> list[Any]:
    # diffusers imports torch, which a caller that only wants a tokenizer does not need.
    names = ["transformers", *(["diffusers"] if "diffusers" in sys.modules else [])]
    return [importlib.import_module(f"{name}.utils.logging") for name in names]
