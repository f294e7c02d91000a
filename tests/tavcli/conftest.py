"""The command line on a tiny base and a tiny clip: called in this process, or started as one of its own."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import numpy as np
import pytest

from tav.video import write_video
from tavcli.commands.app import run
from tavcli.workspace.folder import Workspace

hypothesis.settings.register_profile("tav", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("tav")

CAPTION = "a man is skiing"
# Debian's, by their paths: nothing is looked for, and nothing is fetched.
CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
QUIET = ["disable-quic", "no-first-run", "disable-background-networking", "disable-component-update", "disable-sync"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Files = dict[str, tuple[str, int]]


class Said(NamedTuple):
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Signal handlers, and the folder we are in, are those of before again."""
    before, folder = {number: signal.getsignal(number) for number in SIGNALS}, Path.cwd()
    try:
        yield
    finally:
        os.chdir(folder)
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """For tests that install the application's signal handlers."""
    with handlers_kept():
        yield


@pytest.fixture(scope="session")
def tav() -> Callable[..., Said]:
    """`tav(folder, "edit", "a cat")`: the command in this process, called in `folder`."""

    def call(folder: Path, *arguments: object) -> Said:
        out, err = io.StringIO(), io.StringIO()
        with handlers_kept(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            os.chdir(folder)
            code = run([str(argument) for argument in arguments])
        return Said(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def done(tav: Callable[..., Said]) -> Callable[..., Said]:
    """The same, for what must succeed."""

    def call(folder: Path, *arguments: object) -> Said:
        said = tav(folder, *arguments)
        assert said.code == 0, said.err
        return said

    return call


@pytest.fixture(scope="session")
def tav_command() -> list[str]:
    """What starts tav as a process of its own."""
    return [sys.executable, "-P", "-m", "tavcli"]


@pytest.fixture(scope="session")
def start(tav_command: list[str]) -> Callable[..., "subprocess.Popen[str]"]:
    """`start(folder, "tune")`: a running process, nobody at its terminal."""

    def begin(folder: Path, *arguments: object) -> "subprocess.Popen[str]":
        command = [*tav_command, *map(str, arguments)]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=folder, text=True, **streams)

    return begin


@pytest.fixture(scope="session")
def process(start: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., Said]:
    """`process(folder, "tune")`: the command as a process of its own, to its end."""

    def call(folder: Path, *arguments: object) -> Said:
        child = start(folder, *arguments)
        out, err = child.communicate()
        return Said(child.returncode, out, err)

    return call


@pytest.fixture(scope="session")
def snapshot() -> Callable[..., Files]:
    """Every file and folder below one, with digest and time; without what is safe to delete, unless `all_of_it`."""

    def look(folder: Path, all_of_it: bool = False) -> Files:
        seen = {}
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if all_of_it or not {"cache", ".locks"} & set(path.relative_to(folder).parts):
                digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
                seen[name] = (digest, path.stat().st_mtime_ns if path.is_file() else 0)
        return seen

    return look


@pytest.fixture(scope="session")
def results() -> Callable[[Path], dict[str, bytes]]:
    """All bytes of a workspace but for when and where its edits were made, and its lock files."""

    def read(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file() and path.name != "made.json")
        named = {str(path.relative_to(folder)): path.read_bytes() for path in files}
        return {name: data for name, data in named.items() if not name.startswith(".locks/")}

    return read


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """`make_clip(path, frames, seed=0)`: an MP4 of 32x32 at 12 frames a second."""

    def make(path: Path, frames: int = 6, seed: int = 0) -> Path:
        y, x = np.mgrid[:32, :32]
        moving = [np.stack([8 * x + 20 * k, 8 * y + seed, 40 * k + 0 * x], axis=-1) % 256 for k in range(frames)]
        write_video(path, np.stack(moving).astype(np.uint8), 12)
        return path

    return make


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    """Six frames."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="session")
def initial(tmp_path_factory: pytest.TempPathFactory, clip: Path, tiny_base: Path, done: Callable[..., Said]) -> Path:
    """A new workspace of few steps. Shared, as the next ones: copy it before changing it."""
    folder = tmp_path_factory.mktemp("initial")
    where = ["--device", "cpu", "--precision", "fp32"]
    done(folder, *where, "init", clip, "clip", "--caption", CAPTION, "--base", tiny_base)
    Workspace(folder / "clip").remember({"tune": {"steps": 6}, "invert": {"steps": 4, "check": False}})
    return folder / "clip"


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory, initial: Path, done: Callable[..., Said]) -> Path:
    """A workspace that was tuned."""
    folder = shutil.copytree(initial, tmp_path_factory.mktemp("tuned") / "clip")
    done(folder, "tune")
    return folder


@pytest.fixture(scope="session")
def edited(tmp_path_factory: pytest.TempPathFactory, tuned: Path, done: Callable[..., Said]) -> Path:
    """A workspace that was tuned and inverted, with one edit."""
    folder = shutil.copytree(tuned, tmp_path_factory.mktemp("edited") / "clip")
    done(folder, "edit", "a cat is skiing")
    return folder


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """A workspace of the test's own, like another one."""
    return lambda folder: Path(shutil.copytree(folder, tmp_path / "clip"))


@pytest.fixture(scope="session")
def settle() -> Callable[..., None]:
    """`settle(folder, {"tune": {"steps": 9}})`: change its tav.toml."""
    return lambda folder, values: Workspace(folder).remember(values) and None


@pytest.fixture
def embedded(make_tiny_base: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small random base in the embedded one's place; its latents have 8 channels, each of 8 x 8 pixels."""
    folder = make_tiny_base(tmp_path / "package" / "base", latents=8)
    (folder / "tav.json").write_text(json.dumps({"size": [32, 32], "steps": 2, "ddim_steps": 2, "guidance_scale": 3}))
    (folder / "lexicon.json").write_text(json.dumps({"format": 1, "words": ["a", "man", "cat"], "spare": ["sks"]}))
    monkeypatch.setattr("tav.bases.embedded.FOLDER", folder)
    return folder


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser without a screen, as Selenium drives it; skips where there is none."""
    if missing := [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]:
        pytest.skip(f"no browser: {' and '.join(missing)} missing (Debian: apt-get install chromium chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    profile = tmp_path_factory.mktemp("browser")
    for flag in ["headless", "no-sandbox", "disable-gpu", *QUIET, f"user-data-dir={profile}"]:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("no_proxy", "*")  # the driver is on this machine
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
        driver.set_script_timeout(3600)  # the time-out of the test is the clock
        yield driver
        driver.quit()
