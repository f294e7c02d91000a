"""Forecast against measured: memory and time of every stage and rung, each a fresh process, on a fresh calibration.

    python benchmarks/speed/forecast.py [--base storybook|timing] [--steps 12] [--precision auto] [--into FILE.json]

`timing` is a base of random weights in the timing shape (channels 64, 128, 256, 256; 32 x 32 latents). Memory is
the process's peak as the system counts it; time is that of the command less that of the same command as a dry run,
which starts up and forecasts too.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

HERE = Path(__file__).resolve().parent
DEMO = HERE.parents[1] / "templates" / "demo" / "man-skiing.mp4"
TAV = [sys.executable, "-P", "-m", "tavcli"]
RUNGS = ("none", "feed-forward", "blocks", "all")


def timing_base(folder: Path) -> Path:
    """A base of the timing shape with random weights, on the embedded base's tokenizer."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from tav.bases.embedded import FOLDER

    torch.manual_seed(0)
    sys.path.insert(0, str(HERE))
    from steps import SHAPE

    UNet2DConditionModel(sample_size=32, attention_head_dim=8, **SHAPE).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(32, 64, 128, 128),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    ).save_pretrained(folder / "vae")
    words = len(json.loads((FOLDER / "tokenizer" / "vocab.json").read_text()))
    text = CLIPTextConfig(vocab_size=words, hidden_size=768, num_hidden_layers=1, num_attention_heads=8)
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    shutil.copytree(FOLDER / "tokenizer", folder / "tokenizer")
    shutil.copytree(FOLDER / "scheduler", folder / "scheduler")
    return folder


def run(workspace: Path, *words: str) -> tuple[str, float, int]:
    """stdout, seconds and peak bytes of one command."""
    began = time.perf_counter()
    child = subprocess.Popen([*TAV, "-C", str(workspace), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    out = child.stdout.read().decode()
    errors = child.stderr.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(errors)
    return out, time.perf_counter() - began, usage.ru_maxrss * 1024


def compare(workspace: Path, what: str, *words: str) -> dict[str, Any]:
    """The last stage's forecast beside what the command then took."""
    run(workspace, *words, "--dry-run", "--json")  # calibrates
    out, startup, _ = run(workspace, *words, "--dry-run", "--json")
    forecast = json.loads(out)[-1]
    _, seconds, peak = run(workspace, *words)
    row = {"stage": what, "memory": (forecast["memory"], peak), "seconds": (forecast["seconds"], seconds - startup)}
    memory, spent = (forecast["memory"] / peak, forecast["seconds"] / (seconds - startup))
    sys.stdout.write(
        f"{what:20} memory {forecast['memory'] / 1e6:7.0f} of {peak / 1e6:7.0f} MB ({memory:.2f})   "
        f"time {forecast['seconds']:6.1f} of {seconds - startup:6.1f} s ({spent:.2f})\n"
    )
    sys.stdout.flush()
    return {**row, "memory_ratio": memory, "seconds_ratio": spent}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", choices=["storybook", "timing"], default="storybook")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--into", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        rows = measure(Path(place), given)
    if given.into:
        given.into.write_text(json.dumps(rows, indent=1))


def measure(place: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    base = str(timing_base(place / "base")) if given.base == "timing" else "storybook"
    steps = str(given.steps)
    rows = []
    for rung in RUNGS:
        os.environ["TAV_HOME"] = str(place / f"home-{rung}")
        workspace = place / rung
        caption = ["--caption", "a man is skiing on the snow", "--base", base, "--precision", given.precision]
        subprocess.run([*TAV, "-q", "init", str(DEMO), str(workspace), *caption], check=True, stdout=subprocess.DEVNULL)
        settings = workspace / "tav.toml"
        settings.write_text(settings.read_text().replace("[tune]", f'[tune]\nrecompute = "{rung}"', 1))
        rows.append(compare(workspace, f"tune, {rung}", "tune", "--steps", steps))
    # Weights and calibration are there; inference is forecast for the first time.
    rows.append(compare(workspace, "invert, check", "invert", "--steps", steps))
    rows.append(compare(workspace, "edit", "edit", "--steps", steps, "a cat is skiing on the snow"))
    return rows


if __name__ == "__main__":
    main()
