"""Hundreds of malformed inputs: refused in one line, or taken where they are valid after all; nothing half-written."""

import contextlib
import json
import os
import shutil
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tav.errors import TavError
from tav.video import read_recipe, write_video

Call = Callable[..., Any]
ENOUGH = 300
tried: Counter[str] = Counter()
few = hypothesis.settings(max_examples=66, phases=[hypothesis.Phase.generate], suppress_health_check=list(HealthCheck))
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=3)
)
JSON = st.recursive(JUNK, lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, edited: Path) -> Path:
    """One workspace for all: whatever is tried leaves it as it was."""
    return Path(shutil.copytree(edited, tmp_path_factory.mktemp("malformed") / "clip"))


@pytest.fixture(scope="module")
def judge(tav: Call, snapshot: Call) -> Call:
    """`judge(kind, folder, arguments)`: exit code 0, 1 or 2; what is refused is so in words, the folder as before."""

    def run(kind: str, folder: Path, *arguments: object) -> Any:
        before = snapshot(folder)
        said = tav(folder, "-q", *arguments)
        assert said.code in (0, 1, 2), said
        assert "Traceback" not in said.err
        if said.code == 1:
            error, hint = [line for line in said.err.splitlines() if not line.startswith("warning: ")]
            assert error.startswith("error: ")
            assert hint.startswith("  ")
        if said.code:
            assert snapshot(folder) == before
        assert not list(folder.rglob(".tmp*"))
        tried[kind] += 1
        return said

    return run


def tomls() -> st.SearchStrategy[str]:
    names = ["caption", "base", "format", "preset", "tune.steps", "clip.frames", "clip.source", "sample.seed", "x"]
    values = st.one_of(JUNK.map(json.dumps), st.sampled_from(["2", "{", "1979-05-27", "[[", "'", "-1", "1e999"]))
    return st.lists(st.tuples(st.sampled_from(names), values), min_size=1, max_size=3).map(
        lambda lines: "".join(f"{name} = {value}\n" for name, value in lines)
    )


@few
@given(text=tomls(), whole=st.booleans())
def test_settings(judge: Call, folder: Path, text: str, whole: bool) -> None:
    path = folder / "tav.toml"
    before = path.read_bytes()
    path.write_bytes(text.encode(errors="surrogatepass") + (before if whole else b""))
    try:
        said = judge("settings", folder, "--dry-run", "edit", "a dog")
        assert whole or said.code == 1
    finally:
        path.write_bytes(before)


def cut(data: bytes, places: Any) -> bytes:
    """Bytes changed near the start, where files say what they are, and the end cut off."""
    changed = bytearray(data)
    for place, byte in places.draw(
        st.lists(st.tuples(st.integers(0, min(800, len(data) - 1)), st.integers(0, 255)), max_size=4)
    ):
        changed[place] = byte
    return bytes(changed[: places.draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))])


def headers(data: bytes, draw: Any) -> bytes:
    """A safetensors file whose header says something else."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    name = draw.draw(st.sampled_from(sorted(header)))
    wrong = [JSON, st.just(header[name]), st.fixed_dictionaries({"tav-1": JSON.map(json.dumps)})]
    wrong += [st.fixed_dictionaries({"dtype": JUNK, "shape": JUNK, "data_offsets": JUNK})]
    header[draw.draw(st.sampled_from([name, "more"]))] = draw.draw(st.one_of(wrong))
    text = json.dumps(header).encode()
    length = draw.draw(st.sampled_from([len(text), len(text) - 1, 2**63, 0, size]))
    return struct.pack("<Q", length) + text + data[8 + size :]


FILES = {
    "attention": ("tuned/*/attention.safetensors", ["edit", "a dog", "--no-inversion", "--steps", "1"]),
    "latents": ("inverted/*/latents.safetensors", ["edit", "a dog", "--steps", "4"]),
    "state": ("tuned/*/state.safetensors", ["tune"]),
}


@few
@given(name=st.sampled_from(sorted(FILES)), in_header=st.booleans(), draw=st.data())
def test_tensors(judge: Call, folder: Path, name: str, in_header: bool, draw: Any) -> None:
    pattern, command = FILES[name]
    place = Path(shutil.copytree(folder, folder.with_name("spoilt")))
    try:
        (path,) = place.glob(pattern)
        before = path.read_bytes()
        path.write_bytes((headers if in_header else cut)(before, draw))
        hypothesis.assume(path.read_bytes() != before)
        if name == "state":
            toml = (place / "tav.toml").read_text()
            (place / "tav.toml").write_text(toml.replace("steps = 6", "steps = 7"))
        judge("tensors", place, *command)
    finally:
        shutil.rmtree(place)


@few
@given(draw=st.data())
def test_media(judge: Call, clip: Path, tiny_base: Path, folder: Path, draw: Any) -> None:
    data = clip.read_bytes()
    spoilt = cut(data, draw)
    hypothesis.assume(spoilt != data)
    bad = folder / "bad.mp4"
    bad.write_bytes(spoilt)
    try:
        said = judge(
            "media", folder, "--dry-run", "init", bad, folder.parent / "w", "--caption", "x", "--base", tiny_base
        )
        assert len(spoilt) > len(data) // 2 or said.code == 1
    finally:
        bad.unlink()


PROMPTS = st.one_of(
    st.text(max_size=30),
    st.text(st.characters(categories=["Cs", "Cc", "Co", "Cn", "Mn"]), max_size=30),
    st.sampled_from(["", " \t\n", "\0", "a\0b", "x" * 10_000, "滑" * 10_000, os.fsdecode(b"a\xffb"), "-", "--", "-x"]),
    st.sampled_from(
        ["\x1b[31mred", "[red]a[/]", "{}%s", "a\u202eb", "../../etc/passwd", '"', "\\", "\r", "a" * 200_000]
    ),
)


@few
@given(prompt=PROMPTS, negative=st.one_of(st.just("x"), PROMPTS), inside=st.booleans())
def test_prompts(judge: Call, folder: Path, prompt: str, negative: str, inside: bool) -> None:
    arguments = ["edit", *(["--negative", negative] if inside else []), "--", prompt]
    judge("prompts", folder, "--dry-run", *arguments)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video") / "video.mp4"


@few
@given(
    recipe=st.dictionaries(st.sampled_from(["format", "prompt", "steps", "clip", "=;#\\\n"]), JSON, max_size=4),
    draw=st.data(),
)
def test_recipes_in_videos(clip: Path, video: Path, recipe: dict[str, Any], draw: Any) -> None:
    """Whatever a video says about itself, it is a recipe, or none, or a refusal."""
    if draw.draw(st.booleans()):
        write_video(video, np.zeros((1, 16, 16, 3), np.uint8), 1, recipe)
    else:
        data = clip.read_bytes()
        text = json.dumps(recipe).encode()
        video.write_bytes(cut(data.replace(b"Lavf", text[:4].ljust(4)), draw))
    with contextlib.suppress(TavError):
        found = read_recipe(video)
        assert found is None or isinstance(found, dict)
    tried["recipes"] += 1


def test_there_were_enough() -> None:
    """Counted where they are judged, not where they are asked for."""
    wanted = {"settings", "tensors", "media", "prompts", "recipes"}
    if not wanted <= tried.keys():
        pytest.skip("only some of the tests above were run")
    assert sum(tried.values()) >= ENOUGH, tried
    assert min(tried.values()) >= 50, tried
