"""The player on real files: the cells show the frame of the moment, whatever is done to it."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import until
from textual.app import App, ComposeResult
from textual.geometry import Offset, Region
from textual.pilot import Pilot
from textual.widget import Widget
from viewer import Viewer

from tavcli.tui import theme
from tavcli.tui.command_palette import commands
from tavcli.tui.playback import footage
from tavcli.tui.playback.footage import Unwanted, read_footage
from tavcli.tui.widgets import player as player_module
from tavcli.tui.widgets.player import BOX, Player
from tavcli.tui.widgets.transport import Transport

SIZE = 32, 16


class Alone(App[None]):
    """One widget, and nothing round it."""

    CSS = theme.CSS

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def is_read(player: Player) -> bool:
    """Whether there is more than the first frame, or an error."""
    return len(player.footage.frames) > 1 if player.footage else not player.message.startswith("reading")


@asynccontextmanager
async def stopped(path: Path, size: tuple[int, int] = SIZE) -> AsyncIterator[tuple[Pilot[Any], Player]]:
    """A player that has read `path` and stands at its first frame."""
    player = Player()
    player.open(path)
    async with Alone(player).run_test(size=size) as pilot:
        await until(pilot, lambda: is_read(player))
        player.clock.playing = False
        player.clock.go_to(0)
        await pilot.pause(0.05)
        yield pilot, player


def pixels_of(player: Player) -> np.ndarray:
    """What the widget's cells show: uint8 (2 * rows, columns, 3)."""
    rows = []
    for strip in player.render_lines(Region(0, 0, *player.size)):
        cells = [(text, style) for text, style, _ in strip for text in text]
        rows.append([(style.color if text == "▀" else style.bgcolor).triplet for text, style in cells])
        rows.append([style.bgcolor.triplet for _, style in cells])
    return np.array(rows, np.uint8)


def means(frame: np.ndarray, by: int) -> np.ndarray:
    h, w = frame.shape[0] // by, frame.shape[1] // by
    return frame.reshape(h, by, w, by, 3).mean(axis=(1, 3))


async def test_every_frame_is_shown_in_the_means_of_its_own_pixels(clip: Path) -> None:
    frames = read_footage(clip, BOX).frames
    async with stopped(clip, (16, 8)) as (pilot, player):
        for number in [0, 1, 2, 3, 4, 5, 2, 0]:
            player.clock.go_to(number)
            await until(pilot, lambda number=number: player.shown == number)
            assert np.abs(pixels_of(player) - means(frames[number], 2)).max() <= 1


async def test_at_its_own_size_a_frame_is_shown_exactly(clip: Path) -> None:
    async with stopped(clip) as (_, player):
        assert np.array_equal(pixels_of(player), read_footage(clip, BOX).frames[0])


async def test_it_plays_round_and_round_in_its_own_time(clip: Path) -> None:
    async with stopped(clip) as (pilot, player):
        now = [0.0]
        player.clock.__init__(lambda: now[0])
        player.clock.fit(player.footage.times, player.footage.length)
        player.clock.playing = True
        for number in range(15):
            now[0] = (number + 0.5) / 12
            await until(pilot, lambda number=number: player.shown == number % 6)
        player.clock.speed = 0.25
        now[0] += 4 / 12
        await until(pilot, lambda: player.shown == 15 % 6)


async def test_of_another_size_it_is_drawn_anew(clip: Path) -> None:
    frames = read_footage(clip, BOX).frames
    async with stopped(clip, (16, 8)) as (pilot, player):
        await pilot.resize_terminal(8, 4)
        await until(pilot, lambda: player.size == (8, 4))
        assert np.abs(pixels_of(player) - means(frames[0], 4)).max() <= 1
        await pilot.resize_terminal(*SIZE)
        await until(pilot, lambda: player.size == SIZE)
        assert np.array_equal(pixels_of(player), frames[0])


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (200, 2)])
async def test_no_place_is_too_small_or_too_odd(clip: Path, size: tuple[int, int]) -> None:
    async with stopped(clip, size) as (_, player):
        assert [strip.cell_length for strip in player.render_lines(Region(0, 0, *size))] == [size[0]] * size[1]


async def test_part_of_it_can_be_covered(clip: Path) -> None:
    async with stopped(clip) as (_, player):
        whole, part = player.render_lines(Region(0, 0, *SIZE)), player.render_lines(Region(3, 2, 5, 4))
        assert part == [strip.crop(3, 8) for strip in whole[2:6]]


@pytest.mark.parametrize("name", ["gone.mp4", "broken.mp4", "[bold]broken[red].mp4"])
async def test_a_bad_file_gives_a_line_and_the_next_one_plays(clip: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if "broken" in name:
        path.write_text("no video " * 99)
    async with stopped(path, (300, 5)) as (pilot, player):
        assert player.footage is None
        said = "".join(strip.text for strip in player.render_lines(Region(0, 0, 300, 5)))
        assert name in said
        assert str(tmp_path) not in said
        player.open(clip)
        await until(pilot, lambda: player.footage is not None and len(player.footage.frames) == 6)


async def test_a_preview_moves_on_while_frames_get_clearer(clip: Path) -> None:
    async with stopped(clip) as (pilot, player):
        player.clock.go_to(4)
        for grey in (50, 100, 150):
            player.show(np.full((6, 32, 32, 3), grey, np.uint8), 12)
            await pilot.pause()
            assert player.shown == 4
            assert (pixels_of(player) == grey).all()


async def test_what_was_opened_last_is_shown(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    paths = [make_clip(tmp_path / f"{count}.mp4", count) for count in (3, 4, 5)]
    async with stopped(paths[0]) as (pilot, player):
        for path in (*paths, *reversed(paths)):
            player.open(path)
        await until(pilot, lambda: player.footage is not None and len(player.footage.frames) == 3)
        await until(pilot, lambda: not pilot.app.workers)
        assert len(player.footage.frames) == 3
        player.open(paths[1])
        player.show(np.zeros((2, 4, 4, 3), np.uint8), 12)
        await until(pilot, lambda: not pilot.app.workers)
        assert len(player.footage.frames) == 2


async def test_when_it_goes_its_ffmpeg_ends(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, ended = threading.Event(), []

    def read_late(*arguments: Any) -> Any:
        gone.wait()
        try:
            return read_footage(*arguments)
        except BaseException as error:
            ended.append(type(error))
            raise

    monkeypatch.setattr(player_module, "read_footage", read_late)
    player = Player()
    player.open(clip)
    async with Alone(player).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: player.footage is not None)  # the first frame
        await player.remove()
        gone.set()
        await until(pilot, lambda: ended == [Unwanted])


async def test_rows_are_kept_within_bounds_and_right_in_any_case(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player_module, "MOST_BYTES", 2 * SIZE[0] * SIZE[1] * player_module.CELL_BYTES)
    frames = read_footage(clip, BOX).frames
    async with stopped(clip) as (pilot, player):
        for number in [*range(6), *range(6)]:
            player.clock.go_to(number)
            await until(pilot, lambda number=number: player.shown == number)
            assert np.array_equal(pixels_of(player), frames[number])
        assert len(player._drawn) == 2


async def test_without_colours_there_is_no_colour(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with stopped(clip) as (_, player):
        strips = player.render_lines(Region(0, 0, *SIZE))
        colours = [colour for strip in strips for _, style, _ in strip for colour in (style.color, style.bgcolor)]
        assert all(len(set(colour.triplet)) == 1 for colour in colours)
        assert len({char for strip in strips for char in strip.text}) > 3


@asynccontextmanager
async def viewed(path: Path, width: int = 80) -> AsyncIterator[tuple[Pilot[Any], Viewer]]:
    viewer = Viewer()
    async with Alone(viewer).run_test(size=(width, 12)) as pilot:
        viewer.open(path)
        await until(pilot, lambda: len(viewer.clock.times) > 1)
        viewer.clock.playing = False
        viewer.clock.go_to(0)
        viewer.focus()
        await pilot.pause(0.05)
        yield pilot, viewer


def line_of(transport: Transport) -> str:
    return "".join(strip.text for strip in transport.render_lines(Region(0, 0, *transport.size)))


@pytest.mark.parametrize("width", [30, 40, 80, 200])
async def test_the_line_fills_its_width_and_says_the_frame(clip: Path, width: int) -> None:
    async with viewed(clip, width) as (pilot, viewer):
        await pilot.press("full_stop", "full_stop")
        await until(pilot, lambda: " 3/6 " in line_of(viewer.transport))
        assert len(line_of(viewer.transport)) == width
        assert ("0.17 s" in line_of(viewer.transport)) == (width > 50)


async def test_keys_command_the_clock(clip: Path) -> None:
    async with viewed(clip) as (pilot, viewer):
        clock = viewer.clock
        said = []
        for key in ["full_stop", "right", "comma", "left", "left", "end", "home", "right_square_bracket", "space"]:
            await pilot.press(key)
            said.append((clock.times.index(clock._position), clock.speed, clock.playing))
        frames = [1, 2, 1, 0, 5, 5, 0, 0, 0]
        assert said == [(frame, 2.0 if n > 6 else 1.0, n > 7) for n, frame in enumerate(frames)]
        assert len(commands(pilot.app.screen)) >= 7


async def test_the_mouse_commands_the_clock(clip: Path) -> None:
    async with viewed(clip) as (pilot, viewer):
        clock, transport = viewer.clock, viewer.transport

        async def click(text: str) -> None:
            await pilot.click(transport, Offset(line_of(transport).index(text), 0))

        await click("▸")
        await click("▸")
        assert clock.frame == 2
        await click("◂")
        assert clock.frame == 1
        await click("1x")
        await click("2x")
        assert clock.speed == 0.25
        await click("▶")
        assert clock.playing
        await click("‖")
        assert not clock.playing


async def test_the_bar_is_clicked_and_dragged(clip: Path) -> None:
    async with viewed(clip) as (pilot, viewer):
        bar = viewer.transport._bar()
        for frame in range(6):
            await pilot.click(viewer.transport, Offset(bar.start + round((len(bar) - 1) * frame / 5), 0))
            assert viewer.clock.frame == frame
        await pilot.mouse_down(viewer.transport, Offset(bar.start, 0))
        seen = []
        for x in (bar.start, bar.start + len(bar) // 2, bar.stop - 1, bar.stop + 3, 0):
            await pilot.hover(viewer.transport, Offset(x, 0))
            seen.append(viewer.clock.frame)
        assert seen == [0, 2, 5, 5, 0]
        await pilot.mouse_up(viewer.transport, Offset(0, 0))
        await pilot.hover(viewer.transport, Offset(bar.stop - 1, 0))
        assert viewer.clock.frame == 0


async def test_it_says_where_a_long_clip_goes_on(
    tmp_path: Path, make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footage, "MOST_BYTES", 20 * 32 * 32 * 3)
    async with viewed(make_clip(tmp_path / "long.mp4", 50)) as (pilot, viewer):
        await until(pilot, lambda: "1/20…" in line_of(viewer.transport))


async def test_whoever_quits_waits_for_no_file(tmp_path: Path, make_clip: Callable[..., Path]) -> None:
    player = Player()
    player.open(make_clip(tmp_path / "clip.mp4", 40))
    async with Alone(player).run_test(size=SIZE):
        pass
