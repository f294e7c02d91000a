"""Importing is cheap and public names are where they say they are."""

import json
import pkgutil
import subprocess
import sys

import pytest

import tav

HEAVY = ("torch", "diffusers", "transformers", "numpy", "PIL", "textual", "rich", "typer")
LIGHT = (
    "tav",
    "tav.settings, tav.errors, tav.events",
    "tav.atomic",
    "tav.bases, tav.bases.catalog",
)


@pytest.mark.parametrize("modules", LIGHT)
def test_light_modules_load_nothing_heavy(modules: str) -> None:
    script = f"import json, sys, {modules}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(json.loads(done.stdout))


@pytest.mark.parametrize("name", tav.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(tav, name) is not None
    assert name in dir(tav)


def test_no_submodule_hides_a_public_name() -> None:
    submodules = {module.name for module in pkgutil.iter_modules(tav.__path__)}
    assert not submodules & set(tav.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = tav.nothing_like_it
