"""The home guard, and small bases to test with.

The guard acts on import, before any test module can import huggingface_hub, which reads its environment once.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
_GUARDED = ("HOME", "TAV_HOME", "HF_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
_GUARD = Path(tempfile.mkdtemp(prefix="tav-tests-"))
for _name in _GUARDED:
    _folder = _GUARD / _name.lower()
    _folder.mkdir()
    os.environ[_name] = str(_folder)
for _name in ("HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "TAV_WORKSPACE"):
    os.environ.pop(_name, None)
os.environ["HF_HUB_OFFLINE"] = "1"
# Spinning threads make runs several times slower where cores are shared; read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Side by side, each worker and what it starts has one core; alone, tiny networks lose time by more.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Whoever runs the tests in the background (`nohup`, `&` of a script) makes them and their children deaf to these.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first: side by side, none is to be left alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def home_guard() -> Iterator[Path]:
    """No test reads or writes the real home, caches or settings, nor the network of the hub client."""
    assert Path.home().is_relative_to(_GUARD)
    yield _GUARD
    shutil.rmtree(_GUARD, ignore_errors=True)


@pytest.fixture(scope="session")
def mounted() -> Callable[..., contextlib.AbstractContextManager[Path]]:
    """`with mounted(place, "-t", "tmpfs", "tmpfs")`: a disk of its own until the end; skips where it may not."""

    @contextlib.contextmanager
    def mount(place: Path, *arguments: object) -> Iterator[Path]:
        place.mkdir(exist_ok=True)
        try:
            subprocess.run(["mount", *map(str, arguments), str(place)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"nothing can be mounted here (that takes root): {error}")
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)

    return mount


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of numbers recorded from the official implementation."""
    return GOLDEN


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random base that predicts noise; native pictures are 32x32. Shared: copy it before changing it."""
    return build_tiny_base(tmp_path_factory.mktemp("bases") / "tiny")


@pytest.fixture(scope="session")
def make_tiny_base() -> Callable[..., Path]:
    """The function that builds such bases, for tests that want another: `make_tiny_base(folder, prediction_type)`."""
    return build_tiny_base


def build_tiny_base(folder: Path, prediction_type: str = "epsilon", seed: int = 0, latents: int = 4) -> Path:
    """Write a random Stable Diffusion base (VAE factor 4, latents 4x8x8, text 77x16) and return `folder`.

    Other `latents` than 4 channels come with a VAE of factor 8.
    """
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _build_unet(latents).save_pretrained(folder / "unet")
        _build_vae(latents).save_pretrained(folder / "vae")
        _build_text_encoder().save_pretrained(folder / "text_encoder")
    shutil.copytree(GOLDEN / "sd1" / "base" / "tokenizer", folder / "tokenizer")
    _write_scheduler(folder / "scheduler", prediction_type)
    return folder


def _build_unet(latents: int):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        in_channels=latents,
        out_channels=latents,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=8,
        cross_attention_dim=16,
        attention_head_dim=4,
    )


def _build_vae(latents: int):
    from diffusers import AutoencoderKL

    channels = (8, 8, 16) if latents == 4 else (8, 8, 8, 16)
    return AutoencoderKL(
        block_out_channels=channels,
        latent_channels=latents,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        norm_num_groups=4,
        sample_size=32,
    )


def _build_text_encoder():
    from transformers import CLIPTextConfig, CLIPTextModel

    vocabulary = json.loads((GOLDEN / "sd1" / "base" / "tokenizer" / "vocab.json").read_text())
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=vocabulary["<|startoftext|>"],
            eos_token_id=vocabulary["<|endoftext|>"],
        )
    )


def _write_scheduler(folder: Path, prediction_type: str) -> None:
    config = json.loads((GOLDEN / "sd1" / "base" / "scheduler" / "scheduler_config.json").read_text())
    folder.mkdir()
    (folder / "scheduler_config.json").write_text(json.dumps(config | {"prediction_type": prediction_type}))
