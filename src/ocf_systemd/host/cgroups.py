"""Finds the processes of a unit by its control group, also while the unit is inactive, and sends signals to them.

docs/design/start-and-stop.md describes when a unit counts as stopped.

Sources: the kernel's cgroup-v2.rst; systemd's cgroup-util.c for the path of a unit's group; proc_pid_stat(5).
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Protocol

from ocf_systemd.core.observations import Process, UnitDetails, UnitState
from ocf_systemd.core.records import Record, replace
from ocf_systemd.host.procfs import TICKS_PER_S, find_process
from ocf_systemd.host.signals import send_signal

# Where systemd has the groups of units: with cgroup version 2; with versions 1 and 2 together (hybrid); with version 1.
_HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
_SYSTEM_SLICE = "system.slice"
# systemd puts "_" before unit names that could be names of the kernel's own files in a group (cg_needs_escape()).
_ESCAPED_NAMES = frozenset({"notify_on_release", "release_agent", "tasks"})
_ESCAPED_PREFIXES = frozenset({"cgroup", "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids"})
_START_TOLERANCE_TICKS = 2  # clock ticks, allowed for rounding


class UnitProcesses(Protocol):
    """Access to the processes of units; `Cgroups` is the real one."""

    def find(self, unit: UnitState) -> UnitState:
        """Return the state of an inactive or failed unit, completed with those of its processes that are alive."""
        ...

    def send_signal(self, unit: UnitState, number: signal.Signals) -> None:
        """Send a signal to each process of a unit."""
        ...


class Cgroups(Record):
    """The control groups of this host, below the mount points in `hierarchies`."""

    hierarchies: tuple[str, ...] = _HIERARCHIES

    def find(self, unit: UnitState) -> UnitState:
        """Return the state of an inactive or failed unit, completed with those of its processes that are alive.

        If systemd has unloaded the unit and loaded it again, the unit has no ControlGroup: the processes are searched
        where systemd would create its group. If the unit's file has become a link to the file of another unit, systemd
        reports the Id of that other unit, but the processes are still in the group of the unit's own name.
        """
        if unit.details is None or not unit.details.kill_mode:
            return unit  # a unit of a type that has no processes
        main = _main_process(unit.details)
        others = (process for process in self._alive(unit) if main is None or process.pid != main.pid)
        return replace(unit, main_process=main, processes=tuple(others))

    def send_signal(self, unit: UnitState, number: signal.Signals) -> None:
        """Send a signal to the main process of a unit, and to each process in its control group, once.

        The signals are sent by pid, not with `systemctl kill`: that command writes cgroup.kill from systemd 257 on, and
        then many kernels (6.12.16 and later) also kill what starts in that group afterwards, such as ExecStopPost=.
        """
        main = _main_process(unit.details) if unit.details else None
        send_signal({*self._alive(unit), *((main,) if main else ())}, number)

    def pids(self, control_group: str) -> list[int]:
        """Return the pids in a control group, named by its ControlGroup path, and in the groups below it."""
        return [pid for hierarchy in self.hierarchies for pid in _pids_below(hierarchy + control_group)]

    def _alive(self, unit: UnitState) -> Iterator[Process]:
        pids = dict.fromkeys(pid for group in self._groups(unit) for pid in self.pids(group))
        yield from filter(None, map(find_process, pids))

    @staticmethod
    def _groups(unit: UnitState) -> Iterable[str]:
        """Return the groups that may have a unit's processes: its ControlGroup, and the group of each of its names."""
        details = unit.details or UnitDetails(unit.unit)
        names = dict.fromkeys((details.id, unit.unit, *details.names))
        groups = [details.control_group] if details.control_group else []
        groups += [f"{_slice_path(slice_)}/{_escaped(name)}" for name in names for slice_ in _slices(details, name)]
        return dict.fromkeys(groups)


def _slices(details: UnitDetails, name: str) -> Iterable[str]:
    """Return the slices that a unit's group may be in: its Slice, or else the defaults (unit_set_default_slice())."""
    if details.slice:
        return (details.slice,)
    prefix, is_instance, _ = name.partition("@")
    escaped = prefix.replace("-", "\\x2d")
    return (_SYSTEM_SLICE, f"system-{escaped}.slice") if is_instance else (_SYSTEM_SLICE,)


def _slice_path(name: str) -> str:
    """Return the path of a slice's group: each dash in the slice's name begins a new level (systemd.slice(5))."""
    stem = name.removesuffix(".slice")
    if stem == "-":
        return ""
    parts = stem.split("-")
    names = ("-".join(parts[:count]) for count in range(1, len(parts) + 1))
    return "".join(f"/{_escaped(f'{name}.slice')}" for name in names)


def _escaped(name: str) -> str:
    first, dot, _ = name.partition(".")
    needs_escape = name.startswith(("_", ".")) or name in _ESCAPED_NAMES or (dot and first in _ESCAPED_PREFIXES)
    return f"_{name}" if needs_escape else name


def _pids_below(path: str) -> Iterator[int]:
    """Yield the pids in a control group and in the groups below it, which a unit with Delegate= may have."""
    for directory, _, _ in os.walk(path):  # os.walk() ignores directories that are removed meanwhile
        with suppress(OSError, ValueError), open(f"{directory}/cgroup.procs", "rb") as file:  # noqa: PTH123
            yield from (int(pid) for pid in file.read().split() if pid != b"0")  # 0: of another pid namespace


def _main_process(details: UnitDetails) -> Process | None:
    """Return the unit's main process if it is alive; None: it has ended, even if a later process has its pid.

    systemd takes its time stamp after the fork: when it has forked the process itself, or when it has learned the pid
    (PIDFile=). A process of that pid that started after the time stamp is therefore a later one.
    """
    process = find_process(details.main_pid) if details.main_pid else None
    if process is None or not details.main_started_us:
        return None
    # starttime counts the time in suspend, the time stamp does not.
    suspended_s = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    latest = (details.main_started_us / 1e6 + suspended_s) * TICKS_PER_S + _START_TOLERANCE_TICKS
    return process if process.started <= latest else None
