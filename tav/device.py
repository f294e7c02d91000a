"""Which device computes, in which precision, and whether it is done."""

import torch

from tav.errors import SettingsError
from tav.settings import Device, Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(wanted: Device) -> torch.device:
    """`auto` takes cuda, else mps, else cpu. Raises SettingsError for a device that is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, available in there.items() if available))
    if not there[wanted]:
        available = ", ".join(name for name, is_there in there.items() if is_there)
        raise SettingsError(f"this machine has no {wanted} device that torch can use", f"available: {available}")
    return torch.device(wanted)


def choose_precision(wanted: Precision, device: torch.device) -> str:
    """`auto` is the device's half precision: bf16 where the hardware has it, fp16 on other GPUs, fp32 on other CPUs."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "mps":
        return "fp16"
    mkldnn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return "bf16" if mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported() else "fp32"


def settle(device: torch.device) -> None:
    """Wait until the device has done what it was given, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
