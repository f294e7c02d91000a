"""The choice of device and precision, and waiting for a device."""

import platform
from typing import NamedTuple

import torch

from tav.errors import SettingsError
from tav.settings import Device, Precision

# For annotations in modules that may not import torch.
TorchDevice = torch.device
TorchDtype = torch.dtype
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(wanted: Device) -> torch.device:
    """The torch device; `auto` takes cuda, else mps, else cpu. Raises SettingsError for an absent device."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, available in there.items() if available))
    if not there[wanted]:
        available = ", ".join(name for name, is_there in there.items() if is_there)
        raise SettingsError(f"this machine has no {wanted} device that torch can use", f"available: {available}")
    return torch.device(wanted)


class Choice(NamedTuple):
    """A precision (a key of DTYPES) and the reason for it, in a few words."""

    precision: str
    reason: str


def choose_precision(wanted: Precision, device: torch.device) -> Choice:
    """The precision; `auto` is bf16 where the hardware has it, fp16 on other GPUs, fp32 on other CPUs."""
    if wanted != "auto":
        return Choice(wanted, "as set")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Choice("bf16", "this GPU computes in bf16")
        return Choice("fp16", "this GPU has no bf16")
    if device.type == "mps":
        return Choice("fp16", "the half precision of Apple GPUs")
    return _of_this_processor()


def _of_this_processor() -> Choice:
    """The choice for this CPU: bf16 only if it has instructions for it, as fp32 is several times faster without them.

    torch and oneDNN compute in bf16 on every AVX-512 processor and convert back and forth where the instructions are
    missing, so the instructions are asked for, not what the libraries support.
    """
    if platform.machine() in ("aarch64", "arm64"):
        has = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # type: ignore[no-untyped-call]
        return Choice("bf16", "this processor has bf16 instructions") if has else _fp32("this processor")
    used = torch.backends.cpu.get_cpu_capability()  # what torch uses: ATEN_CPU_CAPABILITY may keep it lower
    if not used.startswith("AVX512"):
        return _fp32(f"torch uses {used} here, which")
    if torch.cpu._is_avx512_bf16_supported():
        return Choice("bf16", "this processor has AVX-512 BF16")
    if torch.cpu._is_amx_tile_supported():
        return Choice("bf16", "this processor has AMX")
    return Choice("fp32", "this processor has AVX-512 without bf16 instructions")


def _fp32(subject: str) -> Choice:
    return Choice("fp32", f"{subject} has no bf16 instructions")


def training_dtype(device: torch.device) -> torch.dtype:
    """The precision for training from random weights: bfloat16 where `choose_precision` takes it, else float32.

    Never float16: its gradients would need a loss scale.
    """
    return torch.bfloat16 if choose_precision("auto", device).precision == "bf16" else torch.float32


def autocast(device: torch.device) -> torch.autocast:
    """A context of mixed precision with `training_dtype`; without effect where that is float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=training_dtype(device) is torch.bfloat16)


def settle(device: torch.device) -> None:
    """Wait until the device has finished its work, so that measured times are right."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
