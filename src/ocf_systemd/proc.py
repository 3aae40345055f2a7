"""What /proc tells of processes: who descends from whom, how old, alive, called how. It looks, and touches nothing."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ocf_systemd.observations import printable
from ocf_systemd.records import Record

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Entry(Record):
    """A process, told apart from a later one of the same pid by its start time in clock ticks (proc_pid_stat(5))."""

    pid: int
    started: int

    @property
    def age_s(self) -> float:
        """How many seconds ago it was forked, to a hundredth: starttime counts ticks since boot, as CLOCK_BOOTTIME."""
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - self.started / _TICKS_PER_S, 0.0)


class Stat(Record):
    """What proc_pid_stat(5) says of a process: its state letter, its parent's pid, and which process it is."""

    state: str
    parent: int
    entry: Entry


def read_stat(pid: int) -> Stat | None:
    """Return what there is to say of a process; None: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the name before may hold anything, parentheses too
    return Stat(fields[0].decode(), int(fields[1]), Entry(pid, int(fields[19])))


def age_s(pid: int | None = None) -> float:
    """Return how many seconds ago a process was forked, this one unless told; 0 of one that is gone."""
    stat = read_stat(os.getpid() if pid is None else pid)
    return stat.entry.age_s if stat else 0.0


def ticks_now() -> int:
    """Return the present as an `Entry.started`."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS_PER_S)


def is_alive(entry: Entry) -> bool:
    """Tell whether a process still runs; one that has ended and waits to be reaped does not."""
    stat = read_stat(entry.pid)
    return stat is not None and stat.entry == entry and stat.state not in "ZX"


def descendants_of(*pids: int) -> frozenset[Entry]:
    """Return processes and all that descends from them."""
    children_of = _kernel_children if _kernel_lists_children() else _scanned_children()
    found: set[Entry] = set()
    unvisited = list(pids)
    while unvisited:
        stat = read_stat(unvisited.pop())
        if stat and stat.entry not in found:
            found.add(stat.entry)
            unvisited += children_of(stat.entry.pid)
    return frozenset(found)


def children_of(pid: int) -> list[int]:
    """Return the pids of a process's children, those that wait to be reaped included."""
    return _kernel_children(pid) if _kernel_lists_children() else _scanned_children()(pid)


def _kernel_lists_children() -> bool:
    return os.path.exists("/proc/thread-self/children")  # noqa: PTH110  # asked often, and pathlib is slow


def _kernel_children(pid: int) -> list[int]:
    """Return a process's children as the kernel lists them (proc_pid_task_children(5))."""
    listed = b""
    with suppress(OSError):  # it ends as we look
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                listed += (thread / "children").read_bytes()
    return [int(child) for child in listed.split()]


def _scanned_children() -> Callable[[int], list[int]]:
    """Return what tells a process's children on a kernel that does not list them (no CONFIG_PROC_CHILDREN)."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[1-9]*"):
        if stat := read_stat(int(path.name)):
            children.setdefault(stat.parent, []).append(stat.entry.pid)
    return lambda pid: children.get(pid, [])


def command_line(pid: int) -> str:
    """Return a process's command line, safe to show; empty: it has none, or none any more."""
    with suppress(OSError):
        return printable(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
    return ""


def environment_of(pid: int) -> frozenset[bytes]:
    """Return the variables a process was started with, as NAME=VALUE; none of one that is gone."""
    with suppress(OSError):
        return frozenset(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    return frozenset()
