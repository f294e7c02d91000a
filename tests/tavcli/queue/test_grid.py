"""What one line of a grid stands for."""

import itertools
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tav.errors import SettingsError
from tav.settings import SampleSettings
from tavcli.queue import grid

word = st.text(
    st.characters(codec="utf-8", exclude_characters="{},\\ \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0"), min_size=1
)
words = word.filter(lambda text: text.split() == [text])
alternatives = st.lists(words, min_size=1, max_size=4, unique=True)


@given(st.lists(alternatives, min_size=1, max_size=4))
def test_each_combination_once_and_in_order(choices: list[list[str]]) -> None:
    """Distinct words between blanks: as many prompts as the product of the choices, the last one turning fastest."""
    text = " ".join("{" + ", ".join(choice) + "}" for choice in choices)
    assert grid.prompts([text]) == [" ".join(one) for one in itertools.product(*choices)]


@given(st.lists(st.text(), max_size=4))
def test_any_text_is_expanded_or_refused(texts: list[str]) -> None:
    with suppress(SettingsError):
        found = grid.prompts(texts)
        assert len(set(found)) == len(found)
        assert all(prompt and prompt == " ".join(prompt.split()) for prompt in found)


@given(st.text().filter(lambda text: text.strip()))
def test_escaped_braces_are_text(text: str) -> None:
    assert grid.prompts([re.sub(r"[{}]", lambda brace: 2 * brace[0], text)]) == [" ".join(text.split())]


@given(st.lists(words, min_size=1), st.lists(words))
def test_prompts_that_come_again_are_one(first: list[str], second: list[str]) -> None:
    assert grid.prompts([*first, *second, *first]) == list(dict.fromkeys([*first, *second]))


def test_an_alternative_may_be_nothing() -> None:
    assert grid.prompts(["a {red, }car"]) == ["a redcar", "a car"]
    assert grid.prompts(["a {red,} car"]) == ["a red car", "a car"]


@pytest.mark.parametrize(
    "text", ["{", "}", "a {cat", "cat} a", "{a,{b,c}}", "{}", "{,}", "{ , }", "a {} b", "", " ", "{a,}"]
)
def test_what_stands_for_no_prompt_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        grid.prompts([text])
    assert refusal.value.hint


def test_too_many_prompts_are_refused_before_they_are_made() -> None:
    assert len(grid.prompts(["{a,b} " * 13])) == 2**13
    with pytest.raises(SettingsError, match=f"more than {grid.MOST}"):
        grid.prompts(["{a,b}" * 200])


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 30)), min_size=1, max_size=5))
def test_ranges_are_their_numbers_each_once(ranges: list[tuple[int, int]]) -> None:
    text = ",".join(f"{first}..{first + more}" if more else f" {first} " for first, more in ranges)
    wanted = dict.fromkeys(number for first, more in ranges for number in range(first, first + more + 1))
    assert grid.whole_numbers(text, "--seed") == list(wanted)


@given(st.text())
def test_any_text_is_numbers_or_refused(text: str) -> None:
    for read in (grid.whole_numbers, grid.numbers):
        with suppress(SettingsError):
            assert read(text, "--seed")


@pytest.mark.parametrize(
    "text", ["", ",", "1,", "x", "4..1", "1..", "..4", "1...4", "1..9999999999", "1.5", f"1..{'9' * 5000}", "9" * 5000]
)
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        grid.whole_numbers(text, "--seed")
    assert len(refusal.value.message) < 200 or "is no range" in refusal.value.message


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
    st.lists(st.floats(0, 100), min_size=1, max_size=3, unique=True),
    st.lists(st.floats(0.01, 1), min_size=1, max_size=3, unique=True),
)
def test_a_grid_where_all_acts_is_the_product(seeds: list[int], guidances: list[float], varies: list[float]) -> None:
    found = grid.samplings(SampleSettings(negative_prompt="rain"), seeds, guidances, varies)
    assert [(one.vary, one.guidance_scale, one.seed) for one in found] == list(
        itertools.product(varies, guidances, seeds)
    )


@given(st.lists(st.integers(0, 99), min_size=2, max_size=9, unique=True))
def test_seeds_that_cannot_differ_are_refused(seeds: list[int]) -> None:
    with pytest.raises(SettingsError, match="would give the same video") as refusal:
        grid.samplings(SampleSettings(), seeds, None, None)
    assert "--vary" in refusal.value.hint
    assert len(grid.samplings(SampleSettings(), seeds, None, [0.0, 0.5])) == 1 + len(seeds)
    assert len(grid.samplings(SampleSettings(inversion=False), seeds, None, None)) == len(seeds)


@pytest.mark.parametrize(
    ("seeds", "guidances", "varies"),
    [([-1], None, [0.5]), ([2**63], None, [0.5]), (None, [101], None), (None, [float("nan")], None), (None, None, [2])],
)
def test_values_out_of_range_are_refused(seeds: list[int], guidances: list[float], varies: list[float]) -> None:
    with pytest.raises(SettingsError) as refusal:
        grid.samplings(SampleSettings(), seeds, guidances, varies)
    assert refusal.value.hint


def test_a_huge_grid_is_refused_at_once() -> None:
    many = list(range(9999))
    with pytest.raises(SettingsError, match="a grid of 999700029999 edits"):
        grid.samplings(SampleSettings(), many, list(map(float, many)), list(map(float, many)))
