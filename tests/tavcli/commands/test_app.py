"""The door: help, version, exit codes, and what starting costs."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tav as engine
from tav.errors import TavError
from tavcli.interrupts import Interrupted

COMMANDS = ("init", "tune", "invert", "edit", "demo", "ls", "show", "doctor", "clean", "bases")


def test_starting_loads_nothing_heavy() -> None:
    script = "import json, sys, tavcli.commands.app; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    heavy = {"torch", "textual", "diffusers", "transformers", "numpy", "PIL", "huggingface_hub"}
    assert not heavy & set(json.loads(done.stdout))


def test_help_names_every_command_and_the_exit_codes(tav: Callable[..., Any], tmp_path: Path) -> None:
    said = tav(tmp_path, "--help")
    assert said.code == 0
    assert all(re.search(rf"\b{command}\b", said.out) for command in COMMANDS)
    stated = re.search(r"Exit codes: (.*?interrupted)", " ".join(said.out.split()))
    assert stated
    assert stated[1] == "0 done, 1 expected failure, 2 usage, 3 a bug in tav, 130 interrupted"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(tav: Callable[..., Any], tmp_path: Path, command: str) -> None:
    said = tav(tmp_path, command, "--help")
    assert said.code == 0
    assert said.err == ""
    assert command in said.out


def test_version(process: Callable[..., Any], tmp_path: Path) -> None:
    assert process(tmp_path, "--version") == (0, f"tav {engine.__version__}\n", "")


@pytest.mark.parametrize("arguments", [["nonsense"], ["tune", "--nonsense"], ["edit"], ["tune", "--steps", "many"], []])
def test_wrong_usage_is_exit_code_2(tav: Callable[..., Any], tmp_path: Path, arguments: list[str]) -> None:
    said = tav(tmp_path, *arguments)
    assert said.code == 2
    assert "Traceback" not in said.err


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("tavcli.commands.show.all_edits", fail)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (TavError("it is\nwrong", "mend\nit"), 1, "error: it is wrong\n  mend it\n"),
        (
            PermissionError(13, "Permission denied", "x"),
            1,
            "error: x: Permission denied\n"
            "  check the path, its permissions and the free space; nothing half-written is left\n",
        ),
        (Interrupted(), 130, "interrupted\n  the same command goes on where it was\n"),
    ],
)
def test_exit_codes(
    tav: Callable[..., Any],
    initial: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    line: str,
) -> None:
    fails_with(monkeypatch, error)
    said = tav(initial, "ls")
    assert (said.code, said.out, said.err) == (code, "", line)


def test_a_bug_is_one_line_and_a_report(
    tav: Callable[..., Any], initial: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TAV_HOME", str(tmp_path))
    fails_with(monkeypatch, ZeroDivisionError("so\nit goes"))
    said = tav(initial, "ls")
    (report,) = tmp_path.glob("cache/reports/*.txt")
    assert said.code == 3
    assert said.out == ""
    assert said.err == f"bug: ZeroDivisionError: so\n  please report it with {report}\n"
    assert "Traceback (most recent call last)" in report.read_text()
    assert f"tav {engine.__version__}" in report.read_text()


def test_a_reader_that_leaves_is_no_error(start: Callable[..., Any], edited: Path) -> None:
    child = start(edited, "-q", "show", "1")
    child.stdout.close()
    assert child.wait() == 1
    assert child.stderr.read() == ""
