"""Several processes that train one model: each takes its share of the batch, gradients are averaged.

On a CPU two processes of one thread are faster than one process of two, most of all beside other work.
"""

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn


@dataclass(frozen=True)
class Worker:
    """One of `count` training processes."""

    rank: int
    count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this worker writes the files."""
        return self.rank == 0

    def average(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the workers."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        self.add_up(gradients)
        torch._foreach_div_(gradients, self.count)

    def add_up(self, tensors: list[Tensor]) -> None:
        """Replace every tensor by its sum over the workers."""
        if self.count == 1:
            return
        flat = torch.cat([t.reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        for t, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            t.copy_(part.view_as(t))

    def agree(self, flag: bool) -> bool:
        """Whether any worker's flag is set."""
        if self.count == 1:
            return flag
        shared: Tensor = torch.tensor([float(flag)])
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return bool(shared.item())


ALONE = Worker(0, 1, torch.device("cpu"))
"""The worker of a run with one process."""


def in_parallel(work: Callable[..., None], *arguments: Any, processes: int | None = None) -> None:
    """Call work(worker, *arguments) in every process: one on a GPU, else as many as there are cores."""
    if torch.cuda.is_available():
        work(Worker(0, 1, torch.device("cuda")), *arguments)
        return
    count = processes or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        spawn(_start, (count, str(Path(folder) / "meeting"), work, arguments), nprocs=count)  # type: ignore[no-untyped-call]


def _start(rank: int, count: int, meeting: str, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=count)
    try:
        work(Worker(rank, count, torch.device("cpu")), *arguments)
    finally:
        dist.destroy_process_group()
