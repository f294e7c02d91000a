"""Running out of memory: how it shows on each device, and how much is free."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that a device ran out of memory. Only CUDA has a class for it; others use words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)


@contextmanager
def out_of_memory(device: torch.device) -> Iterator[list[BaseException]]:
    """Catch running out of memory: the list it yields then holds the error, and what the device cached is freed."""
    failed: list[BaseException] = []
    try:
        yield failed
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        failed.append(error.with_traceback(None))  # the frames of the traceback hold what has to go
    if failed:
        free_cached(device)


def free_cached(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on `device`: what is free, within the limits this process lives under."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        most: int = torch.mps.recommended_max_memory()
        return most - torch.mps.driver_allocated_memory()
    return min(_available(), *_limits())


def _available() -> int:
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return sys.maxsize


def _limits() -> Iterator[int]:
    """What a control group (containers, batch systems) and `ulimit -v` leave."""
    yield sys.maxsize
    yield from map(group_room, _groups(Path("/sys/fs/cgroup")))
    with suppress(ImportError, OSError, ValueError):
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            yield most - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _groups(root: Path) -> Iterator[Path]:
    """This process's control group (version 2), and those that it lies in."""
    path = ""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        path = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
    folder = root / path.strip("/")
    return (one for one in (folder, *folder.parents) if one.is_relative_to(root))


def group_room(folder: Path) -> int:
    """Bytes that a control group leaves its processes. Its cache of files does not count: the system gives it back."""
    with suppress(OSError, ValueError):  # no such group, or its limit is "max"
        most = int((folder / "memory.max").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        cached = int(stat["active_file"]) + int(stat["inactive_file"])
        return max(0, most - int((folder / "memory.current").read_text()) + cached)
    return sys.maxsize


def resident() -> int:
    """Bytes of main memory that this process holds now; 0 where the system does not say."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


class PeakMemory:
    """While inside: `bytes` is how much more than at the start was held at once, when it is over."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            self._reset = _forget_peak()
            self._before = resident()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
        else:
            # Where the peak cannot be reset it may be an older one, which says nothing.
            self.bytes = max(0, (_peak() if self._reset else resident()) - self._before)


def _forget_peak() -> bool:
    """Let the system measure this process's peak from now on."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak() -> int:
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resident()


def processors(device: torch.device) -> str:
    """What computes: the GPU's name, or the kind of device and its threads."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device.type}{torch.get_num_threads()}"
