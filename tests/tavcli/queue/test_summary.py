"""What a listing shows of a job survives the index."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tavcli.queue.summary import Summary

numbers = st.floats(allow_nan=False)
summaries = st.builds(
    Summary,
    title=st.text(),
    seed=st.none() | st.integers(),
    guidance=st.none() | numbers,
    inversion=st.booleans(),
    passes=st.integers(0, 200),
    took=st.none() | numbers,
    starred=st.booleans(),
    tags=st.lists(st.text()).map(tuple),
    scores=st.none() | st.dictionaries(st.text(), numbers),
)


@given(summaries)
def test_what_is_written_is_read_again(known: Summary) -> None:
    assert Summary.of(json.loads(json.dumps(known.as_json()))) == known


def test_what_is_as_usual_is_not_written() -> None:
    assert Summary("a cat", starred=False, tags=()).as_json() == {"title": "a cat"}
