"""The command line starts fast: it loads no tensor library and no screen. Contracts in pyproject.toml do the rest."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "diffusers", "transformers", "textual", "numpy", "safetensors", "huggingface_hub", "PIL"}
LOADED = """
import importlib, json, pkgutil, sys, tavcli.commands.app, tavcli.commands
names = [f"tavcli.commands.{module.name}" for module in pkgutil.iter_modules(tavcli.commands.__path__)]
for name in names:
    importlib.import_module(name)
print(json.dumps([names, sorted(sys.modules)]))
"""


@pytest.fixture(scope="module")
def loaded() -> tuple[list[str], set[str]]:
    """Command modules found, and all modules that are loaded after importing the application with every one of them."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    names, modules = json.loads(done.stdout)
    return names, set(modules)


def test_the_command_line_loads_nothing_heavy(loaded: tuple[list[str], set[str]]) -> None:
    names, modules = loaded
    assert {"tavcli.commands.methods", "tavcli.commands.doctor"} <= set(names) <= modules
    assert not HEAVY & modules


def test_the_command_line_loads_no_verb(loaded: tuple[list[str], set[str]]) -> None:
    assert not {"tav.methods", "tav.nets", "tav.adapters", "tav.tensor_files"} & loaded[1]


def test_help_loads_nothing_heavy() -> None:
    script = "import sys, tavcli.commands.app as a; a.run(['--help']); sys.stderr.write(chr(10).join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert not HEAVY & set(done.stderr.split())
