"""Memory of a device: how an error says that it ran out, how much is free, how much was used."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that a device ran out of memory. Only CUDA has a class for it; others use a message."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)


@contextmanager
def out_of_memory(device: torch.device) -> Iterator[list[BaseException]]:
    """Catch an out-of-memory error: the yielded list then holds it, and the device's cache is freed."""
    failed: list[BaseException] = []
    try:
        yield failed
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        failed.append(error.with_traceback(None))  # the frames of the traceback keep tensors alive
    if failed:
        free_cached(device)


def free_cached(device: torch.device) -> None:
    """Free the memory of unreferenced objects, on the device too."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def free_memory(device: torch.device) -> int:
    """Bytes that this process can still take on `device`, within the limits set for it."""
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
    """Bytes left by each limit: control groups (containers, batch systems) and `ulimit -v`."""
    yield sys.maxsize
    yield from map(group_room, _groups(Path("/sys/fs/cgroup")))
    with suppress(ImportError, OSError, ValueError):
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            yield most - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control group (version 2) and of the groups above it."""
    path = ""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        path = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
    folder = root / path.strip("/")
    return (one for one in (folder, *folder.parents) if one.is_relative_to(root))


def group_room(folder: Path) -> int:
    """Bytes that a control group still allows. Its file cache counts as free, since the system gives it back."""
    with suppress(OSError, ValueError):  # no such group, or its limit is "max"
        most = int((folder / "memory.max").read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        cached = int(stat["active_file"]) + int(stat["inactive_file"])
        return max(0, most - int((folder / "memory.current").read_text()) + cached)
    return sys.maxsize


def resident() -> int:
    """Bytes of main memory that this process holds now; 0 where the system does not tell."""
    with suppress(OSError, ValueError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


class PeakMemory:
    """A context that measures memory: afterwards `bytes` is the peak above the amount held at the start."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            self._reset = _reset_peak()
            self._before = resident()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
        else:
            # A peak that cannot be reset may be older than the start, so it is not used.
            self.bytes = max(0, (_peak() if self._reset else resident()) - self._before)


def _reset_peak() -> bool:
    """Make the system measure this process's peak anew; False where it cannot."""
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
    """The name of the hardware: the GPU's name, or the device type and its number of threads."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device.type}{torch.get_num_threads()}"
