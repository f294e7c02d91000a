"""The clock of a screen's players, on a time that only the test moves."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavcli.tui.playback.clock import SPEEDS, Clock, frame_at

RATES = st.sampled_from([Fraction(8), Fraction(12), Fraction(24), Fraction(30000, 1001), Fraction(60)])
COUNTS = st.integers(1, 90)


class Time:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1234.5

    def __call__(self) -> float:
        return self.seconds


def times_of(count: int, rate: Fraction, rounding: int = 10**9) -> list[float]:
    return [round(k / rate * rounding) / rounding for k in range(count)]


def clock_of(count: int, rate: Fraction) -> tuple[Clock, Time]:
    time = Time()
    clock = Clock(time)
    clock.fit(times_of(count, rate), float(count / rate))
    return clock, time


@given(COUNTS, RATES, st.sampled_from([100, 1000, 10**9]))
def test_each_frame_is_seen_from_its_own_time_on_however_a_file_rounds_it(count: int, rate: Fraction, to: int) -> None:
    exact, rounded = times_of(count, rate), times_of(count, rate, to)
    for frame in range(count):
        assert frame_at(rounded, exact[frame]) == frame_at(exact, rounded[frame]) == frame


@given(COUNTS, RATES, st.lists(st.integers(-3, 3), max_size=9))
def test_steps_count_round_and_round(count: int, rate: Fraction, steps: list[int]) -> None:
    clock, _ = clock_of(count, rate)
    for step in steps:
        clock.step(step)
    assert clock.frame == sum(steps) % count


@given(COUNTS, RATES, st.sampled_from(SPEEDS), st.floats(0, 100))
def test_it_runs_as_fast_as_its_speed_says(count: int, rate: Fraction, speed: float, seconds: float) -> None:
    clock, time = clock_of(count, rate)
    clock.speed = speed
    clock.playing = True
    time.seconds += seconds
    away = abs(clock.position - seconds * speed % clock.length)
    assert min(away, clock.length - away) < 1e-6
    assert 0 <= clock.position < clock.length


@given(
    COUNTS,
    RATES,
    st.lists(st.sampled_from(["play", "stop", "faster", "slower", "fit"]) | st.floats(0, 20), min_size=1, max_size=20),
)
def test_nothing_but_time_and_seeking_moves_it(count: int, rate: Fraction, done: list[str | float]) -> None:
    clock, time = clock_of(count, rate)
    for what in done:
        if isinstance(what, float):
            time.seconds += what
            continue
        before = clock.position
        match what:
            case "play" | "stop":
                clock.playing = what == "play"
            case "faster" | "slower":
                clock.faster(1 if what == "faster" else -1)
            case "fit":
                clock.fit(clock.times, clock.length)
        away = abs(clock.position - before)
        assert min(away, clock.length - away) < 1e-6


def test_the_slowest_and_the_fastest_stay() -> None:
    clock, _ = clock_of(6, Fraction(12))
    said = []
    for step in [1, 1, 1, -1, -1, -1, -1]:
        clock.faster(step)
        said.append(clock.speed)
    assert said == [2, 2, 2, 1, 0.5, 0.25, 0.25]


@given(COUNTS, RATES, st.lists(st.floats(0, 5), max_size=9))
def test_clips_of_one_rate_are_in_step_however_long(count: int, rate: Fraction, waits: list[float]) -> None:
    clock, time = clock_of(count, rate)
    other = times_of(count + 5, rate, 1000)
    clock.playing = True
    for wait in waits:
        time.seconds += wait
        position = clock.position
        near = min(abs(position - edge) for edge in [*clock.times, clock.length])
        if near > 0.01:  # there, rounding may tell
            assert frame_at(other, position) == clock.frame


def test_of_a_clip_that_is_shorter_the_last_frame_stays() -> None:
    assert [frame_at([0, 0.1, 0.2], seconds) for seconds in (0.2, 0.25, 7.0)] == [2, 2, 2]


def test_before_there_is_anything_it_stands_at_nothing() -> None:
    clock = Clock(Time())
    clock.playing = True
    clock.step(1)
    assert (clock.position, clock.frame, clock.times) == (0, 0, (0.0,))


def test_a_shorter_clip_is_entered_at_the_same_place_of_its_round() -> None:
    clock, _ = clock_of(24, Fraction(12))
    clock.seek(1.75)
    clock.fit([0, 0.5], 1.0)
    assert clock.position == pytest.approx(0.75)
