"""Reads /proc: processes and their descendants, age, state, command line and environment (proc(5))."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ocf_systemd.core.observations import Process
from ocf_systemd.core.records import Record
from ocf_systemd.core.text import printable

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
"""Clock ticks in a second; /proc counts start times in these ticks."""


class Entry(Record):
    """A process; its start time in clock ticks distinguishes it from a later one of the same pid (proc_pid_stat(5))."""

    pid: int
    started: int

    @property
    def age_s(self) -> float:
        """How many seconds ago it was forked, to a clock tick. Start times count from boot, as CLOCK_BOOTTIME does."""
        return max(time.clock_gettime(time.CLOCK_BOOTTIME) - self.started / TICKS_PER_S, 0.0)


class Stat(Record):
    """A process as proc_pid_stat(5) describes it: name, state letter, parent, process group, number of threads."""

    name: str
    state: str
    parent: int
    group: int
    threads: int
    entry: Entry

    @property
    def is_alive(self) -> bool:
        """Whether any of its threads runs: its first thread may be a zombie while others run."""
        return self.state not in "ZX" or (self.state == "Z" and self.threads > 1)

    @property
    def is_uninterruptible(self) -> bool:
        """Whether it is in uninterruptible sleep: no signal ends it at the moment, not even SIGKILL."""
        return self.state == "D"


def read_stat(pid: int) -> Stat | None:
    """Return the status of a process; None: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = stat.partition(b"(")[2].rpartition(b")")  # the name may hold anything, parentheses too
    fields = rest.split()
    parent, group, threads, started = (int(fields[index]) for index in (1, 2, 17, 19))
    return Stat(printable(name), fields[0].decode(), parent, group, threads, Entry(pid, started))


def age_s(pid: int | None = None) -> float:
    """Return how many seconds ago a process was forked, this process by default; 0 if it is gone."""
    stat = read_stat(os.getpid() if pid is None else pid)
    return stat.entry.age_s if stat else 0.0


def ticks_now() -> int:
    """Return the current time in the unit of `Entry.started`."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_S)


def is_alive(entry: Entry) -> bool:
    """Return whether a process runs; one that has ended and waits to be reaped does not."""
    stat = read_stat(entry.pid)
    return stat is not None and stat.entry == entry and stat.is_alive


def find_process(pid: int) -> Process | None:
    """Return a process if it is alive; None: there is none, or it has ended and waits to be reaped.

    This reads nothing in /proc that a process in uninterruptible sleep could block, such as the command line.
    """
    stat = read_stat(pid)
    if stat is None or not stat.is_alive:
        return None
    return Process(pid, stat.entry.started, stat.name, is_uninterruptible=stat.is_uninterruptible)


def descendants_of(*pids: int) -> tuple[Entry, ...]:
    """Return these processes and all their descendants, each parent before its children."""
    children_of = _find_children()
    found: dict[Entry, None] = {}  # a set that keeps its order
    unvisited = list(pids)
    while unvisited:
        stat = read_stat(unvisited.pop())
        if stat and stat.entry not in found:
            found[stat.entry] = None
            unvisited += children_of(stat.entry.pid)
    return tuple(found)


def children_of(pid: int) -> list[int]:
    """Return the pids of a process's children, those that wait to be reaped included."""
    return _find_children()(pid)


def _find_children() -> Callable[[int], list[int]]:
    kernel_lists_them = os.path.exists("/proc/thread-self/children")  # noqa: PTH110  # called often, and pathlib is slow
    return _kernel_children if kernel_lists_them else _scanned_children()


def _kernel_children(pid: int) -> list[int]:
    """Return a process's children as the kernel lists them (proc_pid_task_children(5))."""
    listed = b""
    with suppress(OSError):  # the process ends meanwhile
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                listed += (thread / "children").read_bytes()
    return [int(child) for child in listed.split()]


def _scanned_children() -> Callable[[int], list[int]]:
    """Return a function that finds a process's children on a kernel without CONFIG_PROC_CHILDREN."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[1-9]*"):
        if stat := read_stat(int(path.name)):
            children.setdefault(stat.parent, []).append(stat.entry.pid)
    return lambda pid: children.get(pid, [])


def command_line(pid: int) -> str:
    """Return a process's command line, safe to display; empty if it has none."""
    with suppress(OSError):
        return printable(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "))
    return ""


def environment_of(pid: int) -> frozenset[bytes]:
    """Return the variables with which a process was started, as NAME=VALUE; none if they cannot be read."""
    with suppress(OSError):
        return frozenset(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
    return frozenset()
