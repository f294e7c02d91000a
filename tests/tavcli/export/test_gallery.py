"""`tav gallery`: what is in the page, and that no text in it is more than text."""

import base64
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomlkit
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tav.metrics.fidelity import psnr
from tav.settings import ClipSettings
from tav.video import probe, read_clip
from tavcli.config.files import read_toml
from tavcli.export.gallery import Film, Gallery, Shown, render
from tavcli.text import printable
from tavcli.workspace.annotations import Marks, write_marks
from tavcli.workspace.folder import Workspace
from tavcli.workspace.scores import write_scores
from tavcli.workspace.session import Session

Call = Callable[..., Any]
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)></title></style></script>\u2028\u202e{{ 7*7 }}&lt;"


class Page(HTMLParser):
    """Elements with their attributes, and the text in the elements of each kind."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.inside = tag
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[self.inside][-1] += data

    @property
    def films(self) -> list[bytes]:
        return [base64.b64decode(one["src"].split(",", 1)[1]) for tag, one in self.elements if tag == "video"]

    @property
    def shape(self) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attributes)) for tag, attributes in self.elements]


def page_of(folder: Path) -> Page:
    return Page((folder / "gallery.html").read_text(encoding="utf-8"))


def again(workspace: Path, number: int, **changes: object) -> Path:
    """One more edit like the first, with `changes` in its recipe."""
    first = min((workspace / "edits").glob("0001*"))
    folder = Path(shutil.copytree(first, first.with_name(f"{number:04d}-again")))
    (folder / "edit.toml").write_text(tomlkit.dumps(read_toml(folder / "edit.toml") | changes), encoding="utf-8")
    return folder


def frames_of(video: Path) -> np.ndarray:
    info = probe(video)
    return read_clip(video, ClipSettings(stride=1, frames=info.num_frames), (info.width, info.height), info).frames


# --- What is in it


def test_the_source_and_every_finished_edit_are_in_it(done: Call, edited: Path, copy_of: Call, tmp_path: Path) -> None:
    folder = copy_of(edited)
    queued = again(folder, 2, prompt="not yet")
    (queued / "video.mp4").unlink()
    marked = again(folder, 3, prompt="a dog is skiing")
    write_marks(marked, Marks(True, ("good", "to-show")))
    write_scores(marked, {"frame_consistency": 91.25})
    said = done(folder, "--json", "gallery")
    page = page_of(folder)
    size = (folder / "gallery.html").stat().st_size
    assert said.json() == {"path": str(folder / "gallery.html"), "edits": 2, "size": size}
    assert "left out: 1 that is not finished" in said.err
    assert page.texts["h2"][:2] == ["a cat is skiing", "a dog is skiing"]
    source, *edits = page.films
    assert edits == [path.read_bytes() for path in sorted(folder.glob("edits/*/video.mp4"))]
    cards = [attributes for tag, attributes in page.elements if attributes.get("class") == "card"]
    assert [("data-starred" in card, card["data-tags"]) for card in cards] == [(False, ""), (True, "good to-show")]
    assert {"data-score": "frame_consistency", "data-value": "91.25"} in [one for _, one in page.elements]
    (tmp_path / "source.mp4").write_bytes(source)
    assert psnr(frames_of(tmp_path / "source.mp4"), Session(Workspace(folder), {}).source_frames) > 30


def test_it_needs_nothing_beside_it(done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    done(folder, "gallery", "-o", folder / "out" / "page.HTML")
    html = (folder / "out" / "page.HTML").read_text(encoding="utf-8")
    for _, attributes in Page(html).elements:
        for name in {"src", "href", "srcset", "action", "poster", "data"} & attributes.keys():
            assert attributes[name].startswith(("data:video/mp4;base64,", "#edit-"))
    without_films = sum(len(base64.b64encode(film)) for film in Page(html).films)
    assert len(html) - without_films < 50_000
    done(folder, "gallery", "-o", "second.html")
    assert (folder / "second.html").read_text(encoding="utf-8") == html


def test_the_source_is_what_the_edits_saw(done: Call, tiny_base: Path, tmp_path: Path, settle: Call) -> None:
    """Of pictures, between bars, with a rate of its own: one frame for each of the edit's, of its size."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 24, 40, 3), np.uint8)
    (tmp_path / "pictures").mkdir()
    for number, frame in enumerate(noise):
        Image.fromarray(frame).save(tmp_path / "pictures" / f"{number}.png")
    chosen = ["--frames", 3, "--stride", 2, "--start", 0.1, "--size", "32x32", "--fit", "letterbox"]
    where = ["--device", "cpu", "--precision", "fp32", "--caption", "a man", "--base", tiny_base]
    done(tmp_path, "init", "pictures", "w", *where, *chosen)
    settle(tmp_path / "w", {"tune": {"steps": 1}, "invert": {"steps": 1, "check": False}})
    done(tmp_path / "w", "edit", "a cat")
    settle(tmp_path / "w", {"clip": {"frames": 2, "stride": 1}})  # what is set now is not what the edit was made with
    assert done(tmp_path / "w", "-q", "gallery").err == ""
    for name, film in zip(("source.mp4", "edit.mp4"), page_of(tmp_path / "w").films, strict=True):
        (tmp_path / name).write_bytes(film)
    source, edit = probe(tmp_path / "source.mp4"), probe(tmp_path / "edit.mp4")
    assert (source.width, source.height, source.timestamps) == (edit.width, edit.height, edit.timestamps)
    assert source.num_frames == 3


@pytest.mark.parametrize("gone", ["source.mp4", "changed", "base"])
def test_what_is_gone_is_left_out_and_said(done: Call, edited: Path, copy_of: Call, make_clip: Call, gone: str) -> None:
    folder = copy_of(edited)
    if gone == "base":
        text = (folder / "tav.toml").read_text()
        (folder / "tav.toml").write_text(text.replace('base = "', 'base = "/nowhere'))
    elif gone == "changed":
        make_clip(folder / "source.mp4", seed=9)
    else:
        (folder / gone).unlink()
    said = done(folder, "-q", "gallery")
    assert len(page_of(folder).films) == (2 if gone == "base" else 1)
    assert ("source.mp4 is left out" in said.err) == (gone != "base")


def test_damaged_edits_are_left_out_and_said(tav: Call, done: Call, edited: Path, copy_of: Call) -> None:
    folder = copy_of(edited)
    (again(folder, 2) / "video.mp4").write_bytes(b"no video")
    (again(folder, 3) / "edit.toml").write_text("= no recipe")
    (again(folder, 4) / "made.json").write_text('{"date": "<b>soon"}')
    again(folder, 5, state="queued")
    said = done(folder, "--json", "gallery")
    assert said.json()["edits"] == 2
    assert all(f"edit {number} is left out" in said.err for number in (2, 3, 5))
    assert "<b>soon" not in (folder / "gallery.html").read_text()
    (folder / "gallery.html").unlink()
    for number in ("0001", "0004"):
        (next(folder.glob(f"edits/{number}*")) / "video.mp4").write_bytes(b"")
    said = tav(folder, "gallery")
    assert said.code == 1
    assert "no edit of this workspace can be shown" in said.err
    assert not (folder / "gallery.html").exists()


# --- The command


def test_without_edits_there_is_no_gallery(tav: Call, initial: Path, edited: Path, copy_of: Call) -> None:
    said = tav(initial, "gallery")
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines() == [
        "error: there is no finished edit to show",
        '  tav edit "a new caption" makes one',
    ]
    folder = copy_of(edited)
    next(folder.glob("edits/*/video.mp4")).unlink()
    assert "`tav edit` goes on" in tav(folder, "gallery").err
    assert not list(folder.glob("*.html"))


@pytest.mark.parametrize("name", ["tav.toml", "edits", "x.mp4", "x", "", "folder.html"])
def test_nothing_else_is_overwritten(tav: Call, edited: Path, copy_of: Call, snapshot: Call, name: str) -> None:
    folder = copy_of(edited)
    (folder / "folder.html").mkdir()
    before = snapshot(folder)
    said = tav(folder, "gallery", "-o", name)
    assert said.code == 1
    assert "name it so" in said.err
    assert snapshot(folder) == before


def test_a_dry_run_writes_nothing(done: Call, edited: Path, copy_of: Call, snapshot: Call) -> None:
    folder = copy_of(edited)
    before = snapshot(folder)
    assert done(folder, "gallery", "--dry-run").out == "gallery.html: 1 edit\n"
    assert snapshot(folder) == before


def test_it_says_when_the_page_is_large(done: Call, edited: Path, copy_of: Call, monkeypatch: Any) -> None:
    folder = copy_of(edited)
    assert "some browsers" not in done(folder, "gallery").err
    monkeypatch.setattr("tavcli.commands.gallery._LARGE", 10_000)
    assert "some browsers will be slow" in done(folder, "gallery", "--quiet").err


def test_it_loads_no_tensor_library(
    process: Call, edited: Path, copy_of: Call, monkeypatch: Any, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was loaded')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[3]}")
    said = process(copy_of(edited), "gallery")
    assert (said.code, said.out) == (0, "gallery.html\n"), said.err


# --- Text stays text


def shown(folder: Path, text: str, other: str) -> Page:
    """The page of an edit with `text` wherever a recipe can have one, and `other` where the workspace can."""
    (folder / "video.mp4").write_bytes(b"x")
    film = Film(folder / "video.mp4", 32, 32, 6, 12.0)
    edit = Shown(1, text, text, text, "2026-01-01 00:00:00", Marks(True, ("a",)), {text: 1.0}, film, {})
    return Page("".join(render(Gallery(other, other, other, [edit], film, None))))


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return shown(tmp_path_factory.mktemp("calm"), "a cat", "clip")


@settings(max_examples=40)
@given(st.text(), st.text())
@example(HOSTILE, HOSTILE)
@example("]]>", "<!--")
@example("${x}`", "&amp;&#60;b&#62;")
def test_no_text_changes_what_the_page_is(
    tmp_path_factory: pytest.TempPathFactory, calm: Page, text: str, other: str
) -> None:
    text, other = printable(text), printable(other)
    page = shown(tmp_path_factory.mktemp("page"), text, other)
    assert page.shape == calm.shape
    assert (page.texts["h1"], page.texts["h2"][0], page.texts["pre"]) == ([other], text, [text])
    assert (page.texts["script"], page.texts["style"]) == (calm.texts["script"], calm.texts["style"])


def test_a_hostile_workspace_is_shown_as_text(done: Call, edited: Path, tmp_path: Path) -> None:
    pages = []
    for name, prompt in (("calm", "a dog"), ("<img src=x>", HOSTILE)):
        folder = Path(shutil.copytree(edited, tmp_path / name))
        again(folder, 2, prompt=prompt, more=prompt)
        done(folder, "gallery")
        pages.append(page_of(folder))
    calm, hostile = pages
    assert hostile.shape == calm.shape
    assert hostile.texts["h1"] == ["<img src=x>"]
    assert hostile.texts["h2"][1] == printable(HOSTILE)
    assert hostile.texts["script"] == calm.texts["script"]
