"""The templates are found in this checkout and in an installed wheel, which holds the packages, their data, no more."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tav.bases.embedded import FOLDER as EMBEDDED_FOLDER
from tavcli.config.templates import presets, templates

REPOSITORY = Path(__file__).parents[3]


def test_templates_of_a_checkout() -> None:
    assert templates() == REPOSITORY / "templates"
    assert {path.name for path in (templates() / "workspace").iterdir()} == {"settings.toml", "README.md"}
    assert all(path.is_file() for path in presets().values())


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content."""
    pytest.importorskip("hatchling", reason="builds a wheel; part of the extra dev")
    folder = tmp_path_factory.mktemp("wheel")
    script = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_wheel_holds_the_packages_the_templates_and_the_base_only(installed: Path) -> None:
    here = {
        str(path.relative_to(REPOSITORY))
        for package in ("tav", "tavcli")
        for path in (REPOSITORY / package).rglob("*.py")
    }
    data = {f"tavcli/{path.relative_to(REPOSITORY)}" for path in templates().rglob("*") if path.is_file()}
    models = (EMBEDDED_FOLDER, EMBEDDED_FOLDER.parent / "scorer")
    weights = {str(path.relative_to(REPOSITORY)) for model in models for path in model.rglob("*") if path.is_file()}
    held = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert len(data) >= 6
    assert {name for name in held if ".dist-info/" not in name} == here | data | weights
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_templates_of_a_wheel_are_its_own(installed: Path, tmp_path: Path) -> None:
    script = "from tavcli.config import templates as t; print(t.__file__, t.templates(), *t.presets(), sep='\\n')"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    package, folder, *names = done.stdout.splitlines()
    assert Path(package).parents[1] == installed / "tavcli"
    assert Path(folder) == installed / "tavcli" / "templates"
    assert names == sorted(presets())
