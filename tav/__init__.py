"""The engine of tav: edit a real video by rewriting its caption. Tensors and files in, tensors and events out.

Names are loaded on first use (PEP 562), so that `import tav` does not import torch.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "load_base": "tav.bases",
    "read_clip": "tav.video",
    "write_video": "tav.video",
    "inflate": "tav.nets.inflate",
    "deflate": "tav.nets.inflate",
    "tuned_parameters": "tav.nets.inflate",
    "tune": "tav.methods.tuning",
    "Tuning": "tav.methods.tuning",
    "invert": "tav.methods.inversion",
    "sample": "tav.methods.sampling",
    **dict.fromkeys(("ClipSettings", "TuneSettings", "InvertSettings", "SampleSettings"), "tav.settings"),
    **dict.fromkeys(
        ("TuneStep", "NotLearning", "Recomputing", "InvertStep", "LessAtOnce", "SampleStep", "VaeStep"), "tav.events"
    ),
    **dict.fromkeys(
        ("TavError", "SettingsError", "BaseModelError", "CheckpointError", "VideoError", "DeviceMemoryError"),
        "tav.errors",
    ),
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tav' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
