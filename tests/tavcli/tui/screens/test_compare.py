"""Compare on real files: all at one moment, every action by key, mouse and palette, and how it looks."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driving import click_in_footer, until
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App
from textual.command import CommandList
from textual.geometry import Offset, Size
from textual.pilot import Pilot
from textual.widgets import Input
from textual.widgets.option_list import Option

from tav.video import write_video
from tavcli.tui import theme
from tavcli.tui.command_palette import Palette, commands
from tavcli.tui.playback.clock import frame_at
from tavcli.tui.playback.footage import fitted, read_footage
from tavcli.tui.screens.compare import Compare
from tavcli.tui.widgets.pane import Item, Pane
from tavcli.tui.widgets.panes import NEARLY, best_columns, room

LABELS = (
    "a man is skiing",
    "a cat is skiing",
    "[b]a robot[/b] is skiing \x1b[31m",
    "a panda is skiing on the moon, at night",
)


class Comparing(App[None]):
    """Compare above an empty screen, in the application's look, with its palette."""

    CSS = theme.CSS
    COMMANDS = {Palette}

    def __init__(self, items: list[Item]) -> None:
        super().__init__()
        self.register_theme(theme.THEME)
        self.theme = theme.THEME.name
        self.items = items

    def on_mount(self) -> None:
        self.push_screen(Compare(self.items))


def drawn(path: Path, frames: int, hue: int, rate: float = 12, width: int = 16, height: int = 16) -> Path:
    """A square that wanders over one colour: pictures that no codec touches, the same everywhere."""
    moving = np.full((frames, height, width, 3), (40 + 50 * hue, 90, 200 - 50 * hue), np.uint8)
    for k, frame in enumerate(moving):
        frame[5:11, k % width : k % width + 4] = 250, 250, 210
    write_video(path, moving, rate)
    return path


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    folder = tmp_path_factory.mktemp("clips")
    return [Item(label, drawn(folder / f"{hue}", 8, hue)) for hue, label in enumerate(LABELS)]


@asynccontextmanager
async def comparing(items: list[Item], size: tuple[int, int] = (80, 24)) -> AsyncIterator[tuple[Pilot[Any], Compare]]:
    """The screen when all is read, stopped at its first frame."""
    async with Comparing(items).run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, Compare) and pilot.app.screen.clock.playing)
        screen = pilot.app.screen
        assert isinstance(screen, Compare)
        await pilot.press("space", "home")
        await pilot.pause(0.05)
        yield pilot, screen


def shown(screen: Compare) -> list[int]:
    return [pane.player.shown for pane in screen.panes.order]


def labels(panes: list[Pane]) -> list[str]:
    return [pane.item.label for pane in panes]


async def give(pilot: Pilot[Any], action: str, way: str) -> None:
    """Give a command by its key, with the mouse in the footer, or from the palette."""
    command = next(one for one in commands(pilot.app.screen) if one.action == action)
    if way == "key":
        active = pilot.app.screen.active_bindings
        await pilot.press(next(key for key, one in active.items() if one.binding.action == action))
    elif way == "mouse":
        await click_in_footer(pilot, lambda key: key.action == action)
    else:
        await pilot.press("ctrl+p")
        pilot.app.screen.query_one(Input).value = command.name
        await until(pilot, lambda: [command.name] == [str(hit.prompt).partition("  ")[0] for hit in hits(pilot)])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Compare) or action == "back")


def hits(pilot: Pilot[Any]) -> list[Option]:
    """What the palette has found, after it has been asked."""
    return pilot.app.screen.query_one(CommandList).options[:1]


WAYS = pytest.mark.parametrize("way", ["key", "mouse", "palette"])


@WAYS
async def test_play_step_and_speed_by_every_way(items: list[Item], way: str) -> None:
    async with comparing(items) as (pilot, screen):
        await give(pilot, "toggle_play", way)
        assert screen.clock.playing
        await give(pilot, "step(1)", way)
        frame = screen.clock.frame
        assert not screen.clock.playing
        await give(pilot, "step(1)", way)
        await until(pilot, lambda: shown(screen) == [(frame + 1) % 8] * 4)
        await give(pilot, "step(-1)", way)
        await until(pilot, lambda: shown(screen) == [frame] * 4)
        await give(pilot, "faster(1)", way)
        assert screen.clock.speed == 2
        await give(pilot, "faster(-1)", way)
        assert screen.clock.speed == 1


@WAYS
async def test_swap_alone_and_source_by_every_way(items: list[Item], way: str) -> None:
    async with comparing(items) as (pilot, screen):
        await give(pilot, "swap", way)
        assert labels(screen.panes.order) == [LABELS[1], LABELS[0], *LABELS[2:]]
        await give(pilot, "source", way)
        assert labels(screen.panes.seen) == [LABELS[1], *LABELS[2:]]
        await give(pilot, "source", way)
        await pilot.press("tab")
        chosen = screen.chosen
        await give(pilot, "alone", way)
        assert screen.panes.seen == [chosen]
        await give(pilot, "alone", way)
        assert labels(screen.panes.seen) == [LABELS[1], LABELS[0], *LABELS[2:]]
        assert screen.focused is chosen


@WAYS
async def test_back_leaves_the_one_then_the_screen(items: list[Item], way: str) -> None:
    async with comparing(items) as (pilot, screen):
        await pilot.press("enter")
        await give(pilot, "back", way)
        assert len(screen.panes.seen) == 4
        await give(pilot, "back", way)
        await until(pilot, lambda: pilot.app.screen is not screen)


async def test_the_source_comes_in_the_place_of_an_edit(items: list[Item]) -> None:
    async with comparing(items) as (pilot, screen):
        await pilot.press("tab", "tab", "f")
        for place in (0, 2, 0, 2):
            await pilot.press("o")
            assert labels(screen.panes.seen) == [LABELS[place]]


async def test_digits_swap_or_choose(items: list[Item]) -> None:
    async with comparing(items) as (pilot, screen):
        await pilot.press("3")
        assert labels(screen.panes.order) == [LABELS[n] for n in (2, 1, 0, 3)]
        await pilot.press("1")
        assert screen.panes.order == [screen.panes.source, *screen.panes.edits]
        await pilot.press("f", "4")
        assert labels(screen.panes.seen) == [LABELS[3]]


async def test_a_video_is_dragged_onto_another_and_opened_by_two_clicks(items: list[Item]) -> None:
    async with comparing(items) as (pilot, screen):
        first, _, third, _ = screen.panes.order
        await pilot.mouse_down(first.player)
        await pilot.hover(third.player)
        await pilot.mouse_up(third.label)
        assert screen.panes.order[0] is third
        assert screen.panes.order[2] is first
        await pilot.click(third.player, times=2)
        assert screen.panes.seen == [third]
        await pilot.click(third.label, times=2)
        assert len(screen.panes.seen) == 4
        await pilot.click(screen.transport, Offset(40, 0), times=2)
        assert len(screen.panes.seen) == 4


async def test_all_stay_in_step_while_they_play(items: list[Item]) -> None:
    async with comparing(items) as (pilot, screen):
        await pilot.press("space", "right_square_bracket")
        seen: set[int] = set()
        while len(seen) < 4:
            await pilot.pause(0.005)
            frames = shown(screen)
            assert len(set(frames)) == 1
            seen.add(frames[0])


async def test_of_other_rates_each_shows_the_frame_of_the_moment(tmp_path: Path) -> None:
    kinds = [(30, 24), (6, 12), (12, 24), (3, 6)]
    items = [Item(f"{rate}", drawn(tmp_path / f"{n}.gif", count, n, rate)) for n, (count, rate) in enumerate(kinds)]
    async with comparing(items) as (pilot, screen):
        assert screen.clock.length == pytest.approx(0.5, abs=0.01)  # the edits', not the source's
        for _ in range(len(screen.clock.times)):
            await pilot.press("full_stop")
            at = screen.clock.position
            exact = [[float(k / Fraction(rate)) for k in range(count)] for count, rate in kinds]
            await until(pilot, lambda at=at, exact=exact: shown(screen) == [frame_at(times, at) for times in exact])


async def test_a_source_starts_where_its_clip_was_cut(tmp_path: Path) -> None:
    source = drawn(tmp_path / "source", 16, 0)
    edit = tmp_path / "edit"
    write_video(edit, read_footage(source, (99, 99), 0.5).frames, 12)
    async with comparing([Item("clip", source, 0.5), Item("the same", edit)]) as (pilot, screen):
        clip, same = (pane.player.footage for pane in screen.panes.order)
        assert clip is not None
        assert same is not None
        assert np.array_equal(clip.frames, same.frames)
        await pilot.pause()


async def test_what_cannot_be_read_says_so_beside_the_others(items: list[Item], tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_text("no video " * 99)
    async with comparing([items[0], Item("cut", tmp_path / "cut.mp4"), items[1]]) as (pilot, screen):
        assert "cut.mp4" in screen.panes.order[1].player.message
        await pilot.press("full_stop")
        await until(pilot, lambda: shown(screen) == [1, 0, 1])


async def test_a_source_by_itself_plays_and_stays(items: list[Item]) -> None:
    async with comparing(items[:1]) as (pilot, screen):
        await pilot.press("o", "s", "4", "full_stop")
        await until(pilot, lambda: shown(screen) == [1])
        assert labels(screen.panes.seen) == [LABELS[0]]


@pytest.mark.parametrize(("size", "columns"), [((80, 24), 2), ((160, 50), 2), ((200, 40), 4), ((30, 60), 1)])
async def test_the_room_is_shared_out_evenly(items: list[Item], size: tuple[int, int], columns: int) -> None:
    async with comparing(items) as (pilot, screen):
        await pilot.resize_terminal(*size)
        players = [pane.player for pane in screen.panes.order]
        await until(pilot, lambda: len({player.region.x for player in players}) == columns)
        await pilot.pause()
        assert len({player.size for player in players}) == 1
        assert all(pane.label.region.y == pane.player.region.bottom for pane in screen.panes.order)
        assert all(screen.panes.region.contains_region(pane.region) for pane in screen.panes.order)


@given(st.integers(1, 4), st.integers(1, 300), st.integers(1, 100), st.integers(1, 2000), st.integers(1, 2000))
def test_no_other_number_of_columns_has_much_larger_pictures(
    count: int, w: int, h: int, width: int, height: int
) -> None:
    def picture(columns: int) -> int:
        pane = room(count, columns, Size(w, h))
        return fitted((width, height), (pane.width, 2 * (pane.height - 1)))[0]

    chosen = best_columns(count, Size(w, h), (width, height))
    assert picture(chosen) >= NEARLY * max(picture(columns) for columns in range(1, count + 1))


async def test_every_command_says_what_it_does(items: list[Item]) -> None:
    async with comparing(items) as (pilot, screen):
        own = {binding.action for bindings in screen._bindings.key_to_bindings.values() for binding in bindings}
        said = {command.action for command in commands(screen)}
        assert own - {"screen.focus_next", "app.focus_next", "app.focus_previous", "screen.copy_text"} <= said
        await pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_looks(items: list[Item], size: tuple[int, int], looks_as_before: Callable[[App[None]], None]) -> None:
    async with comparing(items, size) as (pilot, screen):
        await pilot.press("full_stop", "full_stop", "tab")
        await until(pilot, lambda: shown(screen) == [2] * 4)
        await pilot.pause()
        looks_as_before(pilot.app)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_looks_of_one(
    items: list[Item], size: tuple[int, int], looks_as_before: Callable[[App[None]], None]
) -> None:
    async with comparing(items, size) as (pilot, screen):
        await pilot.press("end", "tab", "enter")
        await until(pilot, lambda: shown(screen) == [7] * 4)
        await pilot.pause()
        looks_as_before(pilot.app)


async def test_looks_without_colours(
    items: list[Item], looks_as_before: Callable[[App[None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with comparing(items) as (pilot, screen):
        await pilot.press("full_stop", "tab")
        await until(pilot, lambda: shown(screen) == [1] * 4)
        await pilot.pause()
        looks_as_before(pilot.app)
