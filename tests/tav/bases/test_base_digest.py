"""One digest per base: of contents and names, not of place or time; and its cache."""

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from tav.bases import inspect_base
from tav.bases.digest import base_digest, file_digest


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def digest(folder: Path, cache: Path | None = None) -> str:
    return base_digest(inspect_base(folder), cache)


def test_it_is_of_contents_not_of_place(base: Path, tiny_base: Path) -> None:
    assert digest(base) == digest(tiny_base)
    (base / "tav.json").write_text("{}")
    (base / "README.md").write_text("hello")
    assert digest(base) == digest(tiny_base)


@pytest.mark.parametrize(
    "name",
    [
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "scheduler/scheduler_config.json",
    ],
)
def test_it_changes_with_every_part(base: Path, tiny_base: Path, name: str) -> None:
    with (base / name).open("ab") as file:
        file.write(b" ")
    assert digest(base) != digest(tiny_base)


def test_the_cache_is_used_and_follows_changes(base: Path, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "digests.json"
    plain = digest(base, cache)
    assert plain == digest(base) == digest(base, cache)
    entries = json.loads(cache.read_text())
    config = base / "unet" / "config.json"
    entries[str(config.resolve())]["sha256"] = "0" * 64
    cache.write_text(json.dumps(entries))
    assert digest(base, cache) != plain, "the remembered digest was not used"
    later = config.stat().st_mtime_ns + 1_000_000
    os.utime(config, ns=(later, later))
    assert digest(base, cache) == plain


@pytest.mark.parametrize("broken", ["", "{", "[]", "null", '{"x": 1}'])
def test_a_broken_cache_is_made_anew(base: Path, tmp_path: Path, broken: str) -> None:
    cache = tmp_path / "digests.json"
    cache.write_text(broken)
    assert digest(base, cache) == digest(base)
    assert len(json.loads(cache.read_text())) >= len(inspect_base(base).files)


def test_a_cache_that_cannot_be_written_is_done_without(base: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    config = base / "unet" / "config.json"
    for cache in (tmp_path / "file" / "digests.json", tmp_path / "folder"):
        assert digest(base, cache) == digest(base)
        assert file_digest(config, cache) == sha256(config.read_bytes()).hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "file", "folder"]
    assert list((tmp_path / "folder").iterdir()) == []
