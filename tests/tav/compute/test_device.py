"""The precision of a device: its half precision where it computes in it, and never where it only can."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tav.compute.device import autocast, choose_precision, training_dtype

CPU = torch.device("cpu")


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`processor("AVX512", bf16=True, amx=False)`: what torch says of this one."""

    def be(used: str, bf16: bool = False, amx: bool = False, machine: str = "x86_64", arm: bool = True) -> None:
        monkeypatch.setattr("platform.machine", lambda: machine)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: used)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: arm, raising=False)

    return be


PROCESSORS: list[tuple[dict[str, Any], str, str]] = [
    ({"used": "AVX512", "bf16": True}, "bf16", "this processor has AVX-512 BF16"),
    ({"used": "AVX512", "amx": True}, "bf16", "this processor has AMX"),
    ({"used": "AVX512"}, "fp32", "this processor has AVX-512 without bf16 instructions"),
    ({"used": "AVX2"}, "fp32", "torch uses AVX2 here, which has no bf16 instructions"),
    ({"used": "AVX2", "bf16": True}, "fp32", "torch uses AVX2 here, which has no bf16 instructions"),
    ({"used": "DEFAULT"}, "fp32", "torch uses DEFAULT here, which has no bf16 instructions"),
    ({"used": "DEFAULT", "machine": "aarch64"}, "bf16", "this processor has bf16 instructions"),
    ({"used": "DEFAULT", "machine": "aarch64", "arm": False}, "fp32", "this processor has no bf16 instructions"),
]


@pytest.mark.parametrize(("which", "precision", "reason"), PROCESSORS, ids=str)
def test_bf16_needs_its_instructions(
    which: dict[str, Any], precision: str, reason: str, processor: Callable[..., None]
) -> None:
    processor(**which)
    assert choose_precision("auto", CPU) == (precision, reason)
    assert choose_precision("fp16", CPU) == ("fp16", "as set")


@pytest.mark.parametrize(("used", "dtype"), [("AVX512", torch.bfloat16), ("AVX2", torch.float32)])
def test_training_computes_in_what_the_processor_has(
    used: str, dtype: torch.dtype, processor: Callable[..., None]
) -> None:
    processor(used, bf16=True)
    assert training_dtype(CPU) == dtype
    x = torch.ones(4, 4)
    with autocast(CPU):
        assert (x @ x).dtype == dtype


def test_training_never_takes_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert choose_precision("auto", torch.device("cuda")).precision == "fp16"
    assert training_dtype(torch.device("cuda")) == torch.float32
    assert training_dtype(torch.device("mps")) == torch.float32


def test_torch_is_asked_what_it_uses() -> None:
    """So that a processor with more can be used as one with less, by torch and by tav."""
    code = (
        "import torch; from tav.compute.device import choose_precision; "
        "print(*choose_precision('auto', torch.device('cpu')))"
    )
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.startswith("fp32 torch uses ")
