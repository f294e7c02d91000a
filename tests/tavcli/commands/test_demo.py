"""The demo is the main job by the commands that it prints; the clip it is about is drawn by its README."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tav.metrics.fidelity import psnr
from tav.settings import ClipSettings
from tav.video import probe, read_clip
from tavcli.commands.demo import CAPTION, PROMPTS
from tavcli.config.templates import templates

Call = Callable[..., Any]
DEMO = templates() / "demo"


def frames(video: Path) -> Any:
    info = probe(video)
    return read_clip(video, ClipSettings(stride=1), (info.width, info.height), info).frames


@pytest.mark.slow
@pytest.mark.usefixtures("embedded")
def test_from_nothing_to_a_sheet(done: Call, results: Call, snapshot: Call, tmp_path: Path) -> None:
    commands = done(tmp_path, "--json", "--dry-run", "--precision", "fp32", "demo").json()
    said = done(tmp_path, "--json", "--precision", "fp32", "demo")
    assert re.findall(r"^\$ (.+)$", said.err, re.M) == commands
    made = said.json()
    assert [edit["prompt"] for edit in made["edits"]] == PROMPTS
    assert all(len(frames(Path(edit["video"]))) == 16 for edit in made["edits"])
    assert Image.open(made["sheet"]).height > 4 * 128
    settings = done(tmp_path, "--json", "show").json()["settings"]
    assert (settings["caption"], settings["base"]) == (CAPTION, "storybook")

    before = snapshot(tmp_path / "tav-demo")
    again = done(tmp_path, "--precision", "fp32", "demo")
    assert len(re.findall("nothing to do", again.err)) == 5
    assert again.out.split() == [f"tav-demo/{Path(path).relative_to(tmp_path / 'tav-demo')}" for path in named(made)]
    changed = {name for name, what in snapshot(tmp_path / "tav-demo").items() if what != before[name]}
    assert changed <= {"sheet.png"}

    # The commands that it printed, typed by hand elsewhere, after which the demo has nothing left to do.
    (tmp_path / "elsewhere").mkdir()
    for command in commands:
        done(tmp_path / "elsewhere", *shlex.split(command)[1:])
    assert "going on" in done(tmp_path / "elsewhere", "--precision", "fp32", "demo").err
    assert results(tmp_path / "elsewhere" / "tav-demo") == results(tmp_path / "tav-demo")


def named(made: dict[str, Any]) -> list[str]:
    return [*(edit["video"] for edit in made["edits"]), made["sheet"]]


@pytest.mark.usefixtures("embedded")
def test_what_was_begun_goes_on(done: Call, tav: Call, tmp_path: Path) -> None:
    first, second, *_ = done(tmp_path, "--json", "--dry-run", "demo", "d").json()
    done(tmp_path, *shlex.split(first)[1:])
    assert done(tmp_path, "--dry-run", "demo", "d").out.splitlines()[0] == second
    (tmp_path / "d" / "source.mp4").write_bytes(b"another clip")
    said = tav(tmp_path, "demo", "d")
    assert (said.code, said.out) == (1, "")
    assert said.err == "error: d is already there, and is not the demo's\n  name another folder: tav demo FOLDER\n"


@pytest.mark.usefixtures("embedded")
def test_it_takes_no_folder_that_is_in_use(tav: Call, initial: Path, copy_of: Call, snapshot: Call) -> None:
    folder = copy_of(initial).parent
    (folder / "file").write_text("x")
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("x")
    before = snapshot(folder)
    for taken in ("clip", "file", "full", "."):
        said = tav(folder, "demo", taken)
        assert said.code == 1
        assert "is already there, and is not the demo's" in said.err
    assert snapshot(folder) == before


def test_without_the_embedded_base(tav: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tav.bases.embedded.FOLDER", tmp_path / "nothing")
    said = tav(tmp_path, "demo")
    assert said.code == 1
    assert "storybook has no weights" in said.err
    assert not list(tmp_path.iterdir())


def test_the_bundled_clip_is_what_its_readme_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (DEMO / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "templates/demo/README.md", "exec"), {"__name__": "drawing"})
    drawn, bundled = frames(tmp_path / "man-skiing.mp4"), frames(DEMO / "man-skiing.mp4")
    assert bundled.shape == (16, 128, 128, 3)
    assert psnr(drawn, bundled) > 30, "the world draws it otherwise now: make the clip again"
    assert (DEMO / "man-skiing.mp4").stat().st_size < 60_000
