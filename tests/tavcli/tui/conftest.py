"""Screens, driven by a pilot."""

import re
from collections.abc import Callable

import pytest
from syrupy import snapshot as stored  # noqa: F401  (a fixture; the name `snapshot` is taken by files)
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.app import App


class _Svg(SingleFileSnapshotExtension):
    _write_mode = WriteMode.TEXT
    file_extension = "svg"


@pytest.fixture
def looks_as_before(stored: SnapshotAssertion) -> Callable[[App[None]], None]:  # noqa: F811
    """`looks_as_before(app)`: the screen is as the stored picture; `pytest --snapshot-update` stores new ones."""
    picture = stored.use_extension(_Svg)

    def check(app: App[None]) -> None:
        assert re.sub(r"terminal-\d+", "terminal", app.export_screenshot(title="tav ui")) == picture

    return check
