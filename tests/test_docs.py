"""The documentation says what the code does: generated pages are current, the example runs, links lead somewhere."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tav.errors import SettingsError
from tav.settings import ClipSettings, parse
from tav.video import probe, read_recipe, write_video

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["commands.md", "settings.md"])
def test_generated_pages_are_current(page: str, generate: ModuleType) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == generate.PAGES[page](), "run `python docs/generate.py`"


@pytest.mark.parametrize("values", [{"stride": 2, "fps": 5.0}, {"stride": 0}])
def test_rules_that_no_type_holds_are_as_written(values: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        parse(ClipSettings, values, "here")


def test_the_python_example_runs(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", (DOCS / "python.md").read_text(encoding="utf-8"), re.M | re.S)
    smaller = {'"stable-diffusion-v1-5"': repr(str(tiny_base)), "steps=500": "steps=3", "STEPS = 50": "STEPS = 2"}
    for written, small in {**smaller, "frames=24": "frames=3"}.items():
        assert code.count(written) == 1, written
        code = code.replace(written, small)
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (6, 40, 48, 3), np.uint8)
    write_video(Path("clip.mp4"), noise, 24)
    exec(compile(code, "docs/python.md", "exec"), {"__name__": "example"})
    edit = probe(Path("edit.mp4"))
    assert (edit.num_frames, edit.width, edit.height, edit.fps) == (3, 32, 32, 12)
    assert read_recipe(Path("edit.mp4")) == {"prompt": "a cat is skiing, van gogh style"}


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


def test_the_readme_has_the_command_that_ci_runs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^<!-- test command -->\n```\w*\n(.+)\n```$", text, re.M)
    assert ".venv/bin/pytest" in command.split("&&")[-1].split()
