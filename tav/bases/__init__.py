"""Bases: text-to-image models of the Stable Diffusion family, as diffusers folders. Found, checked, loaded, applied.

Names are loaded on first use, so that finding and checking a base needs no torch.
"""

import importlib
from typing import Any

_HOME = {
    **dict.fromkeys(("cached_bases", "fetch", "plan_fetch", "resolve"), "tav.bases.catalog"),
    **dict.fromkeys(("BaseParts", "inspect_base"), "tav.bases.parts"),
    **dict.fromkeys(("Base", "load_base", "load_text", "load_unet", "load_vae"), "tav.bases.load"),
    **dict.fromkeys(("encode_text", "text_that_is_cut"), "tav.bases.text"),
    **dict.fromkeys(("EncodedClip", "decode_latents", "encode_frames", "to_uint8"), "tav.bases.vae"),
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tav.bases' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
