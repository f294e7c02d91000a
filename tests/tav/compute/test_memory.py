"""Running out of memory is told from other errors, and the room that is left is counted as the system means it."""

import sys
from pathlib import Path

import pytest
import torch

from tav.compute.memory import PeakMemory, free_memory, group_room, is_out_of_memory, out_of_memory

CPU = torch.device("cpu")


def group(folder: Path, most: str, current: int, active: int = 0, inactive: int = 0) -> Path:
    folder.mkdir()
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 5\nfile 7\nactive_file {active}\ninactive_file {inactive}\n")
    return folder


def test_a_control_groups_cache_of_files_is_room(tmp_path: Path) -> None:
    assert group_room(group(tmp_path / "a", "1000", 400)) == 600
    assert group_room(group(tmp_path / "b", "1000", 990, active=100, inactive=600)) == 710
    assert group_room(group(tmp_path / "c", "1000", 1200)) == 0


def test_without_a_limit_there_is_none(tmp_path: Path) -> None:
    assert group_room(group(tmp_path / "a", "max", 400)) == sys.maxsize
    assert group_room(tmp_path / "nowhere") == sys.maxsize


def test_free_memory_is_less_than_the_machine_has() -> None:
    assert 0 < free_memory(CPU) < sys.maxsize


def test_what_a_real_allocation_raises_is_told_from_other_errors() -> None:
    with out_of_memory(CPU) as failed:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert len(failed) == 1
    assert is_out_of_memory(failed[0])
    with pytest.raises(RuntimeError, match="shape"), out_of_memory(CPU):
        torch.ones(2, 3) @ torch.ones(2, 3)
    with out_of_memory(CPU) as failed:
        pass
    assert failed == []


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux lets a peak be measured anew")
def test_a_peak_is_seen_after_it_is_gone() -> None:
    with PeakMemory(CPU) as peak:
        torch.ones(64 << 20, dtype=torch.uint8)
    assert 60 << 20 < peak.bytes < 200 << 20
