"""Models and clips that a worker keeps in memory from one job to the next: one of each name."""

import gc
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class ModelCache:
    """Models and clips by name, with what each was made from. Asking for one of another origin frees the old one."""

    _things: dict[str, tuple[Hashable, Any]] = field(default_factory=dict)

    def find(self, name: str, made_from: Hashable) -> Any:
        """The model or clip, or None. One of another origin is freed, since memory is too short for two."""
        if name in self._things and self._things[name][0] != made_from:
            del self._things[name]
            _collect()
        return self._things[name][1] if name in self._things else None

    def keep(self, name: str, made_from: Hashable, thing: Any) -> None:
        """Keep `thing` until one of its name but another origin is asked for."""
        self._things[name] = (made_from, thing)

    def get(self, name: str, made_from: Hashable, make: Callable[[], Any]) -> Any:
        """The model or clip, made if it is not there."""
        thing = self.find(name, made_from)
        if thing is None:
            thing = make()
            self.keep(name, made_from, thing)
        return thing

    def free(self) -> None:
        """Free everything, and give the device's memory back."""
        self._things.clear()
        _collect()


def _collect() -> None:
    gc.collect()
    torch = sys.modules.get("torch")  # without torch, nothing is on a device
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
