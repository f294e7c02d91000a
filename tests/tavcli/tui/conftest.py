"""The application on real workspaces. They lie in the (guarded) home folder: what is shown of paths is the same."""

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from driving import settled, until
from syrupy import snapshot as stored  # noqa: F401  (a fixture; the name `snapshot` is taken by files)
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.app import App
from textual.pilot import Pilot

from tav.video import contact_sheet
from tavcli.tui.app import TavApp
from tavcli.tui.screens.workspace import WorkspaceScreen
from tavcli.workspace.folder import SHEET, Workspace


async def _drawn(min_sleep: float = 1 / 50, **_: float) -> None:
    """Wait until the last frame is drawn, and the event loop has nothing to do but to wait."""
    await asyncio.sleep(max(min_sleep, 1 / 50))
    while asyncio.get_running_loop()._ready:  # type: ignore[attr-defined]
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pilot does not wait for the processor to be idle: it never is while a video plays, a second for each key."""
    monkeypatch.setattr("textual.app.wait_for_idle", _drawn)
    monkeypatch.setattr("textual.pilot.wait_for_idle", _drawn)


@pytest.fixture(scope="session")
def _films(
    initial: Path, tuned: Path, edited: Path, tiny_base: Path, settle: Callable[..., None]
) -> Iterator[dict[str, Path]]:
    home = Path.home()
    shutil.copytree(tiny_base, home / "bases" / "tiny")
    kept = home / "kept"
    for name, folder in {"skiing": edited, "trips/night": tuned, "new": initial}.items():
        shutil.copytree(folder, kept / name)
        (kept / name / "tav.toml").write_text(
            (kept / name / "tav.toml").read_text().replace(str(tiny_base), str(home / "bases" / "tiny"))
        )
        _draw(kept / name / SHEET, hue=len(name))
    settle(kept / "new", {"caption": "a dog is running on the beach"})
    yield {"kept": kept}
    shutil.rmtree(kept)
    shutil.rmtree(home / "bases")


@pytest.fixture(scope="session")
def _studio(_films: dict[str, Path], done: Callable[..., object]) -> Path:
    folder = _films["kept"] / "studio"
    shutil.copytree(_films["kept"] / "skiing", folder)
    shutil.rmtree(folder / "edits")
    done(folder, "edit", "a cat is skiing", "a dog is skiing", "a robot is skiing")
    return folder


@pytest.fixture
def studio(films: Path, _studio: Path) -> Path:
    """`~/films/studio`, a workspace with three edits: 1 a cat, 2 a dog, 3 a robot. The test's own."""
    return Path(shutil.copytree(_studio, films / "studio", dirs_exist_ok=True))


def _draw(path: Path, hue: int) -> None:
    """A sheet of pictures that no codec has touched: the same everywhere."""
    y, x = np.mgrid[:48, :64]
    picture = np.stack([4 * x, 5 * y, 60 * (hue % 4) + 0 * x], axis=-1).astype(np.uint8)
    contact_sheet(path, [("frames", picture[None])])


@pytest.fixture
def films(_films: dict[str, Path]) -> Iterator[Path]:
    """`~/films` with three workspaces: `new`, `skiing` (edited), `trips/night` (tuned). The test's own."""
    folder = Path.home() / "films"
    shutil.copytree(_films["kept"], folder, ignore=shutil.ignore_patterns("studio"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def opened() -> Callable[..., contextlib.AbstractAsyncContextManager[Pilot[None]]]:
    """`async with opened(root, workspace, size) as pilot`: the application, when it has read all it shows."""

    @contextlib.asynccontextmanager
    async def open_(
        root: Path, workspace: Path | None = None, size: tuple[int, int] = (80, 24)
    ) -> AsyncIterator[Pilot[None]]:
        app = TavApp(root, Workspace(workspace) if workspace else None)
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: workspace is None or isinstance(app.screen, WorkspaceScreen))
            await settled(pilot)
            yield pilot
            for worker in app.processes.children:
                worker.kill()
                worker.wait()

    return open_


class _Svg(SingleFileSnapshotExtension):
    _write_mode = WriteMode.TEXT
    file_extension = "svg"


@pytest.fixture
def looks_as_before(stored: SnapshotAssertion) -> Callable[[App[None]], None]:  # noqa: F811
    """`looks_as_before(app)`: the screen is as the stored picture; `pytest --snapshot-update` stores new ones."""
    picture = stored.use_extension(_Svg)

    def check(app: App[None]) -> None:
        for field in app.screen.query("Input, TextArea"):
            field.cursor_blink = False  # type: ignore[attr-defined]  (the cursor is seen, whatever the moment)
        assert re.sub(r"terminal-\d+", "terminal", app.export_screenshot(title="tav ui")) == picture

    return check
