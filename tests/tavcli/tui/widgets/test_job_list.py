"""The list of jobs: what it keeps is what it would draw anew, and a long list costs no more than a short one."""

import random
from dataclasses import replace

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.geometry import Region

from tavcli.queue.queue import Row
from tavcli.queue.summary import Summary
from tavcli.tui.widgets import job_card
from tavcli.tui.widgets.job_list import JobList


def rows(count: int) -> list[Row]:
    states = "queued", "done", "failed"
    return [
        Row(f"edits/{n:04}-a-cat", n, "edit", states[n % 3], float(n), "", Summary(f"a cat {n}", guidance=4.0, steps=9))
        for n in range(count)
    ]


class Showing(App[None]):
    """A list, and what it draws."""

    def compose(self) -> ComposeResult:
        yield Counting()


class Counting(JobList):
    """Counts the rows that it draws."""

    drawn = 0

    def _draw(self, *of: object) -> list:
        self.drawn += 1
        return super()._draw(*of)


def seen(jobs: JobList) -> list[list[tuple[str, object]]]:
    strips = jobs.render_lines(Region(0, 0, *jobs.size))
    assert all(strip.cell_length == jobs.size.width for strip in strips)
    return [[(segment.text, segment.style) for segment in strip.simplify()] for strip in strips]


def picture(colour: str) -> list[Content]:
    return [Content.styled("▀" * job_card.PICTURE, colour)] * job_card.HIGH


@pytest.mark.parametrize("size", [(60, 20), (120, 40)])
async def test_what_is_kept_is_what_would_be_drawn(size: tuple[int, int]) -> None:
    app, chance, shown = Showing(), random.Random(3), rows(60)
    async with app.run_test(size=size) as pilot:
        jobs = app.query_one(Counting)
        jobs.show(shown, {})
        for _ in range(60):
            place, word = chance.randrange(len(shown)), chance.choice(["red", "green", "blue"])
            kind = chance.randrange(7)
            if kind == 0:
                shown = [*shown[:place], replace(shown[place], state="running"), *shown[place + 1 :]]
                jobs.show(shown, {shown[place].id: word})
            elif kind == 1:
                jobs.put_picture(shown[jobs._at].id, picture(word))
            elif kind == 2:
                jobs.drop_picture(shown[jobs._at].id)
            elif kind == 3:
                jobs.mark(shown[place])
            elif kind == 4:
                jobs.choose(shown[place].id)
            else:
                await pilot.press(chance.choice(["up", "down", "pageup", "pagedown", "home", "end"]))
            await pilot.pause()
            kept = seen(jobs)
            jobs._drawings.clear()
            assert kept == seen(jobs)


async def drawn_by(count: int) -> int:
    """How many rows are drawn on a walk through the middle of so many."""
    app, shown = Showing(), rows(count)
    async with app.run_test(size=(120, 40)) as pilot:
        jobs = app.query_one(Counting)
        jobs.show(shown, {})
        jobs.choose(shown[count // 2].id)
        await pilot.pause()
        jobs.drawn = 0
        for _ in range(20):
            await pilot.press("down")
            jobs.show(shown, {})
            jobs.put_picture(shown[jobs._at].id, picture("red"))
            await pilot.pause()
        return jobs.drawn


async def test_a_long_list_costs_no_more_than_a_short_one() -> None:
    """Each step draws the row that is left, the one that is chosen, without and with its picture, and a new one."""
    short, long = await drawn_by(100), await drawn_by(5000)
    assert abs(short - long) <= 2  # a row more where a picture comes between two steps
    assert long <= 20 * 5
