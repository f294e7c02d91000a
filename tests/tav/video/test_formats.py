"""Every kind of file that frames are written to: what it shows, for how long, and the recipe inside it."""

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from tav.errors import VideoError
from tav.metrics.fidelity import psnr
from tav.settings import ClipSettings
from tav.video import check_output, read_clip, read_recipe, resized, write_video
from tav.video.comment_fields import as_xmp

NAMES = ["x.mp4", "x.webm", "x.gif", "x.webp", "x"]
PILLOWS = ["x.gif", "x.webp"]
NTSC = Fraction(30000, 1001)
TEXT = st.text(st.characters(codec=None), max_size=60) | st.text("=;#\\\n\r\"'<>&[]{} é🎿\0\u2028\x1b", max_size=30)
RECIPES = st.dictionaries(TEXT, TEXT | st.integers() | st.lists(TEXT, max_size=3), max_size=4)


def smooth(frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Soft colour gradients that move."""
    y, x, f = np.ogrid[0:height, 0:width, 0:frames]
    waves = [127 + 100 * np.sin(x / 40 + f / 5 + c) * np.cos(y / 50 + c) for c in range(3)]
    return np.stack(waves, axis=-1).transpose(2, 0, 1, 3).round().astype(np.uint8)


def shown(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The frames in a file or folder."""
    if path.is_dir():
        return np.stack([np.asarray(Image.open(picture)) for picture in sorted(path.glob("*.png"))])
    if path.name in PILLOWS:
        return np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(path))])
    return read_clip(path, ClipSettings(stride=1), (shape[2], shape[1])).frames


def times(path: Path) -> list[int]:
    """When each frame of a GIF or WebP ends, in ms."""
    ends = [0]
    for frame in ImageSequence.Iterator(Image.open(path)):
        frame.load()
        ends.append(ends[-1] + frame.info["duration"])
    return ends[1:]


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_shows_the_frames(tmp_path: Path, name: str) -> None:
    frames = smooth(6)
    write_video(tmp_path / name, iter(frames), 12)
    again = shown(tmp_path / name, frames.shape)
    assert psnr(frames, again) > {"x.gif": 33, "x": 1000}.get(name, 38)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_single_frame_will_do(tmp_path: Path, name: str) -> None:
    frames = smooth(1, 17, 23)
    write_video(tmp_path / name, frames, 12, {"prompt": "x"})
    assert read_recipe(tmp_path / name) == {"prompt": "x"}
    if name not in ("x.mp4", "x.webm"):
        assert shown(tmp_path / name, frames.shape).shape == frames.shape


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    for folder in ("a", "b"):
        write_video(tmp_path / folder / name, smooth(12), NTSC, {"prompt": "x"})
    one, two = (tmp_path / folder / name / ("00003.png" if name == "x" else "") for folder in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", PILLOWS)
@pytest.mark.parametrize("fps", [Fraction(8), Fraction(12), NTSC / 2, NTSC, Fraction(48), Fraction(1, 2)])
def test_delays_do_not_drift(tmp_path: Path, name: str, fps: Fraction) -> None:
    write_video(tmp_path / name, smooth(25, 16, 16), fps)
    half = 5 if name == "x.gif" else 0.5
    assert times(tmp_path / name) == pytest.approx([1000 * k / float(fps) for k in range(1, 26)], abs=half + 1e-6)


@pytest.mark.parametrize(("name", "most"), [("x.gif", 50), ("x.webp", 100)])
@pytest.mark.parametrize("fps", [60, 240, 1000])
def test_what_is_too_fast_for_browsers_leaves_out_frames(tmp_path: Path, name: str, most: int, fps: int) -> None:
    write_video(tmp_path / name, smooth(60, 16, 16), fps)
    ends = times(tmp_path / name)
    assert ends[-1] == pytest.approx(60_000 / fps, abs=1000 / most)
    assert min(np.diff([0, *ends[:-1]])) >= 1000 / most


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recipe=RECIPES)
@pytest.mark.parametrize("name", NAMES[1:])
def test_a_recipe_comes_back_as_it_was(tmp_path: Path, name: str, recipe: dict[str, Any]) -> None:
    write_video(tmp_path / name, np.zeros((2, 16, 16, 3), np.uint8), 8, {"prompt": "", **recipe})
    assert read_recipe(tmp_path / name) == {"prompt": "", **recipe}


@pytest.mark.parametrize("name", NAMES)
def test_a_long_recipe_comes_back(tmp_path: Path, name: str) -> None:
    recipe = {"prompt": 'a = "b" <&> ' * 6_000}
    write_video(tmp_path / name, np.zeros((1, 16, 16, 3), np.uint8), 8, recipe)
    assert read_recipe(tmp_path / name) == recipe


@pytest.mark.parametrize("name", NAMES)
def test_without_a_recipe_there_is_none(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / name, smooth(1, 16, 16), 8)
    assert read_recipe(tmp_path / name) is None


def test_a_picture_keeps_its_recipe_whatever_it_is_called(tmp_path: Path) -> None:
    write_video(tmp_path / "x.gif", smooth(2, 16, 16), 8, {"prompt": "x"})
    (tmp_path / "x.gif").rename(tmp_path / "x.mp4")
    assert read_recipe(tmp_path / "x.mp4") == {"prompt": "x"}


@pytest.mark.parametrize("name", ["x.avi", "x.mov", "x.png", "x.JPG", "x.v2"])
def test_unknown_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(VideoError) as refusal:
        write_video(tmp_path / name, smooth(1), 8)
    assert ".mp4, .webm, .gif, .webp" in refusal.value.hint
    assert list(tmp_path.iterdir()) == []


def test_only_a_folder_that_tav_wrote_is_replaced(tmp_path: Path) -> None:
    write_video(tmp_path / "x", smooth(3), 8, {"prompt": "old"})
    (tmp_path / "x" / "recipe.toml").touch()
    write_video(tmp_path / "x", smooth(2), 8, {"prompt": "new"})
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["00000.png", "00001.png"]
    assert read_recipe(tmp_path / "x") == {"prompt": "new"}
    (tmp_path / "mine").mkdir()
    check_output(tmp_path / "mine")
    Image.new("RGB", (4, 4)).save(tmp_path / "mine" / "00000.png")
    (tmp_path / "file").touch()
    for name in ("mine", "file"):
        with pytest.raises(VideoError):
            write_video(tmp_path / name, smooth(1), 8)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["00000.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "mine", "x"]


def test_resizing_there_and_back_keeps_the_picture() -> None:
    frames = smooth(2)
    large = np.stack(list(resized(frames, (200, 150))))
    assert large.shape == (2, 150, 200, 3)
    assert psnr(frames, np.stack(list(resized(large, (64, 48))))) > 50


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.mp4", "x"])
def test_what_is_too_large_for_its_kind_is_refused(tmp_path: Path, name: str) -> None:
    frames = np.zeros((2, 2, 70_000, 3), np.uint8)
    if name == "x":
        write_video(tmp_path / name, frames, 8)  # a PNG can be that wide
        return
    with pytest.raises(VideoError, match="cannot write"):
        write_video(tmp_path / name, frames, 8)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path, mounted: Callable[..., Any]) -> Iterator[Path]:
    """A disk of 64 kB that is really full after 64 kB."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=64k", "tmpfs") as folder:
        yield folder


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_leaves_nothing_half_written(small_disk: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 96, 96, 3), np.uint8)
    with pytest.raises(VideoError, match=r"cannot write .*: .*No space left") as refusal:
        write_video(small_disk / name, noise, 8, {"prompt": "x"})
    assert "space" in refusal.value.hint
    assert "\n" not in refusal.value.message
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupt_keeps_what_was_there(tmp_path: Path, name: str) -> None:
    def interrupted() -> Iterator[np.ndarray]:
        yield from smooth(2)
        raise KeyboardInterrupt

    write_video(tmp_path / name, smooth(1), 8, {"prompt": "old"})
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / name, interrupted(), 8, {"prompt": "new"})
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert read_recipe(tmp_path / name) == {"prompt": "old"}


# --- what is read was written by anyone


def chunk(name: bytes, content: bytes, order: str) -> bytes:
    size = len(content).to_bytes(4, order)
    return size + name + content + b"\0" * 4 if order == "big" else name + size + content + b"\0" * (len(content) % 2)


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "gif": lambda x: b"GIF89a\1\0\1\0\0\0\0\x21\xfe" + b"".join(bytes([1, c]) for c in x) + b"\0\x3b",
    "webp": lambda x: b"RIFF\0\0\0\0WEBP" + chunk(b"VP8X", b"\0" * 7, "little") + chunk(b"XMP ", x, "little"),
    "png": lambda x: b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"Comment\0" + x, "big") + chunk(b"IDAT", b"", "big"),
    "toml": lambda x: x,
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), cut=st.integers(0, 60), length=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("kind", FOREIGN)
def test_any_bytes_are_a_recipe_or_none(tmp_path: Path, kind: str, content: bytes, cut: int, length: int) -> None:
    whole = FOREIGN[kind](content)
    for number, data in enumerate((whole, whole[: len(whole) - cut], whole[:16] + length.to_bytes(4) + whole[20:])):
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(data or b" ")
        try:
            recipe = read_recipe(path)
        except VideoError:  # what is cut within its first bytes may look like a film
            continue
        assert recipe is None or isinstance(recipe, dict)


@pytest.mark.parametrize("kind", FOREIGN)
def test_too_long_a_recipe_is_refused(tmp_path: Path, kind: str) -> None:
    text = '{"a": "' + "x" * 200_000 + '"}'
    (tmp_path / f"x.{kind}").write_bytes(FOREIGN[kind](as_xmp(text) if kind == "webp" else text.encode()))
    with pytest.raises(VideoError, match="too long"):
        read_recipe(tmp_path / f"x.{kind}")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.text('{}[]":,1eE-.tfnu', max_size=200).map(str.encode))
@pytest.mark.parametrize("name", ["x.mp4", "x.webm"])
def test_any_bytes_in_a_film_are_a_recipe_or_none(tmp_path: Path, films: Path, name: str, content: bytes) -> None:
    film = (films / name).read_bytes()
    room = json.dumps(ROOM).encode()
    assert film.count(room) == 1
    (tmp_path / name).write_bytes(film.replace(room, content.ljust(len(room))[: len(room)]))
    try:
        recipe = read_recipe(tmp_path / name)
    except VideoError:
        return
    assert recipe is None or isinstance(recipe, dict)


ROOM = {"prompt": "x" * 300}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name in ("x.mp4", "x.webm"):
        write_video(folder / name, smooth(1, 16, 16), 8, ROOM)
    return folder
