"""What was measured on this machine: the first value stays, a broken or unwritable cache stops nothing."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tavcli.config.calibration import Measured


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAV_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_was_measured_is_there_for_the_next_process() -> None:
    Measured("kernels")["a"] = "fused"
    assert dict(Measured("kernels")) == {"a": "fused"}
    assert dict(Measured("speeds")) == {}


def test_the_first_measurement_stays_whoever_made_it() -> None:
    one, other = Measured("kernels"), Measured("kernels")
    one["a"] = "fused"
    other["a"] = "classic"
    assert one["a"] == other["a"] == Measured("kernels")["a"] == "fused"
    other.replace("a", "classic")
    assert Measured("kernels")["a"] == "classic"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=60),
        st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda value: json.dumps(value).encode()),
    )
)
def test_a_file_that_is_no_table_counts_as_none(home: Path, data: bytes) -> None:
    path = home / "cache" / "calibration.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    one = Measured("kernels")
    assert dict(one) == {}
    one["a"] = "fused"
    assert dict(Measured("kernels")) == {"a": "fused"}


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(home: Path) -> None:
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file where the folder should be")
    one = Measured("kernels")
    one["a"] = "fused"
    assert one["a"] == "fused"
