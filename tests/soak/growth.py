"""What a host must not have ever more of: processes, PID 1's descriptors, its memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from tests.system.box import Box

_MEMORY_SPARE_MB = 8.0  # PID 1 keeps what it has once needed
_DESCRIPTORS_SPARE = 8


@dataclass(frozen=True, slots=True)
class Footprint:
    """One look at the host, between actions."""

    processes: int
    descriptors: int
    memory_mb: float

    def __str__(self) -> str:
        """Return it as a line of the report."""
        return f"{self.processes} processes, PID 1 with {self.descriptors} descriptors and {self.memory_mb:.1f} MB"


def footprint(box: Box) -> Footprint:
    """Look at the host."""
    namespace = Path(f"/proc/{box.sandbox.pid}/ns/pid").readlink()
    inside = 0
    for pid in psutil.pids():
        try:
            inside += Path(f"/proc/{pid}/ns/pid").readlink() == namespace
        except OSError:
            continue
    manager = psutil.Process(box.sandbox.pid)
    return Footprint(inside, manager.num_fds(), manager.memory_info().rss / 2**20)


def growth(first: Footprint, last: Footprint) -> list[str]:
    """Return what has grown between two looks at which all units were down."""
    grown = []
    if last.processes > first.processes:
        grown.append(f"{last.processes} processes, {first.processes} at first")
    if last.descriptors > first.descriptors + _DESCRIPTORS_SPARE:
        grown.append(f"PID 1 has {last.descriptors} descriptors, {first.descriptors} at first")
    if last.memory_mb > first.memory_mb + _MEMORY_SPARE_MB:
        grown.append(f"PID 1 has {last.memory_mb:.1f} MB, {first.memory_mb:.1f} at first")
    return grown
