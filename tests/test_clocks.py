"""No test passes or fails by the speed of its machine: there are no limits of time in tests but pytest's own."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CLOCKS = {"monotonic", "perf_counter", "process_time", "sleep", "timeout", "Timer", "alarm"}
# Who waits for one of these without a limit waits for the thing itself.
WAITS = {"wait", "join", "communicate", "wait_for"}
# Where time is what a test is made of and decides nothing: such a line says why.
REASONS = ("# to draw moments from", "# a moment: any will do", "# the slowness itself", "# between two looks")


def clocks(source: str) -> Iterator[int]:
    """The lines that read a clock, sleep, or wait for a limited time."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _is_clock(node) and not lines[node.lineno - 1].endswith(REASONS):
            yield node.lineno


def _is_clock(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    where = getattr(getattr(call.func, "value", None), "id", "")
    limited = any(keyword.arg == "timeout" and _is_number(keyword.value) for keyword in call.keywords)
    limited |= name in WAITS and any(map(_is_number, call.args))
    # The event loop of a test of the screens is given turns, by which nothing is decided.
    return limited or (name in CLOCKS and where != "asyncio") or (name == "time" and where == "time")


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_a_test_has_no_clock_of_its_own(path: Path) -> None:
    assert list(clocks(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "child.wait(60)",
        "child.communicate(timeout=30)",
        "end = time.monotonic() + 20",
        "time.sleep(1)",
        "threading.Timer(0.5, stop).start()",
        "subprocess.run(command, timeout=60)",
        "signal.alarm(20)",
        "while time.time() < end: pass",
    ],
)
def test_a_clock_is_found(line: str) -> None:
    assert list(clocks(line)) == [1]


@pytest.mark.parametrize("line", ["child.wait()", "time.sleep(0.2)  # the slowness itself", "page.get('address')"])
def test_what_is_no_clock_is_let_be(line: str) -> None:
    assert list(clocks(line)) == []
