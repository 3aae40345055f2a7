"""Ends leftovers: processes of a hook that are alive when the hook's command has ended.

A leftover whose parent has ended is an orphan; a survivor is alive despite SIGKILL (uninterruptible sleep).
A hook may start a process in the background and exit, or fork twice. Linux gives such an orphan to the nearest
ancestor that is a child subreaper, which an agent's process is: so all leftovers are found among its
descendants, and are killed before the action ends (docs/design/processes.md).
"""

import ctypes
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from signal import SIGKILL

from ocf_systemd.core.observations import Process
from ocf_systemd.core.records import Record
from ocf_systemd.host.procfs import Entry, command_line, descendants_of, find_process
from ocf_systemd.host.signals import send_signal

CHECK_PAUSE_S = 0.005
"""Seconds between two checks whether a killed process has ended."""

CHECKS_MAX = 40
"""Checks after which a killed process is left to the kernel."""

_UNINTERRUPTIBLE_CHECKS = 10  # the same for processes that are all in uninterruptible sleep
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def adopt_orphans() -> None:
    """Make this process a child subreaper: the new parent of orphans among its descendants (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def survivors_of(entries: Iterable[Entry]) -> tuple[Process, ...]:
    """Return those of these processes that are alive."""
    found = ((entry, find_process(entry.pid)) for entry in entries)
    return tuple(process for entry, process in found if process and process.started == entry.started)


class Leftover(Record):
    """A process and its command line, which is empty if the process was ending by itself."""

    process: Process
    command_line: str


class Leftovers:
    """The leftover processes that were sent SIGKILL."""

    __slots__ = ("_seen", "_uninterruptible_checks")

    def __init__(self, seen: Iterable[Leftover] = ()) -> None:
        self._seen = {Entry(each.process.pid, each.process.started): each for each in seen}
        self._uninterruptible_checks = 0

    def kill(self, entries: Iterable[Entry]) -> bool:
        """Send SIGKILL to those that are alive; return whether to check again."""
        alive = survivors_of(entries)
        for process in alive:
            entry = Entry(process.pid, process.started)
            if entry not in self._seen:
                # Reading it takes a lock of the process's memory, which one in uninterruptible sleep may hold.
                line = str(process) if process.is_uninterruptible else command_line(process.pid)
                self._seen[entry] = Leftover(process, line)
        send_signal(alive, SIGKILL)
        # Any disk access is an uninterruptible sleep as well, if a short one.
        self._uninterruptible_checks += bool(alive) and all(process.is_uninterruptible for process in alive)
        return self._uninterruptible_checks < _UNINTERRUPTIBLE_CHECKS

    @property
    def survivors(self) -> tuple[Process, ...]:
        """Those that are alive in spite of SIGKILL."""
        return survivors_of(self._seen)

    @property
    def ended(self) -> tuple[Leftover, ...]:
        """Those that have ended, except any that was ending by itself."""
        alive = {Entry(process.pid, process.started) for process in self.survivors}
        return tuple(each for entry, each in self._seen.items() if each.command_line and entry not in alive)


def end_leftovers() -> Leftovers:
    """Kill and reap all descendants of this process.

    Call it when no command runs any more: all descendants are leftovers then.
    """
    leftovers = Leftovers()
    for _ in range(CHECKS_MAX):
        descendants = [entry for entry in descendants_of(os.getpid()) if entry.pid != os.getpid()]
        if not _reap() or not leftovers.kill(descendants):
            break
        time.sleep(CHECK_PAUSE_S)
    return leftovers


def _reap() -> bool:
    """Reap all children that have ended; return whether any are left."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False
