"""Global flags stand before or after the command's name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tavcli.commands.options import globals_first

SWITCHES = ["--json", "--dry-run", "--no-wait", "-q", "--quiet", "-v", "--verbose"]
WITH_VALUE = ["-C", "--workspace", "--device", "--precision"]
VALUES = st.sampled_from(["folder", "cpu", "a cat", "", "--json", "-C"])
GLOBAL = st.one_of(
    st.sampled_from(SWITCHES).map(lambda name: [name]),
    st.tuples(st.sampled_from(WITH_VALUE), VALUES).map(list),
    st.tuples(st.sampled_from(WITH_VALUE), st.sampled_from(["x", "", "a=b"])).map(lambda pair: ["=".join(pair)]),
)
OTHER = st.sampled_from(["edit", "a cat", "--steps", "4", "-o", "out.mp4", "", "-", "-x", "--jso", "quiet"]).map(
    lambda word: [word]
)
WORDS = st.sampled_from([*SWITCHES, *WITH_VALUE, "edit", "a cat", "--", "-C=x", "--device=cpu", "--steps"])


@given(st.lists(st.one_of(GLOBAL.map(lambda words: (True, words)), OTHER.map(lambda words: (False, words)))), st.data())
def test_global_flags_come_first_and_nothing_else_changes(items: list[tuple[bool, list[str]]], data: Any) -> None:
    tail = data.draw(st.one_of(st.just([]), st.lists(WORDS).map(lambda words: ["--", *words])))
    given_words = [word for _, words in items for word in words]
    first = [word for is_global, words in items if is_global for word in words]
    others = [word for is_global, words in items if not is_global for word in words]
    assert globals_first([*given_words, *tail]) == [*first, *others, *tail]


@given(st.lists(WORDS))
def test_doing_it_twice_changes_nothing(words: list[str]) -> None:
    once = globals_first(words)
    assert sorted(once) == sorted(words)
    assert globals_first(once) == once


def test_they_act_alike_before_and_after(done: Callable[..., Any], edited: Path, tmp_path: Path) -> None:
    before = done(tmp_path, "-C", edited, "--json", "ls")
    assert before == done(tmp_path, "ls", "--json", f"--workspace={edited}") == done(edited, "ls", "--json")
    assert before.json()[0]["prompt"] == "a cat is skiing"


def test_after_two_dashes_everything_is_a_prompt(done: Callable[..., Any], tuned: Path) -> None:
    plan = done(tuned, "--json", "--dry-run", "edit", "--", "--json", "-q").json()
    assert [step["prompt"] for step in plan if step["stage"] == "edit"] == ["--json", "-q"]
