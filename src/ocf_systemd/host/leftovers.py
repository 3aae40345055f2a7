"""Ends leftovers: processes of a hook that are alive when the hook's command has ended.

An orphan is a process of a hook whose parent has ended; a survivor is alive despite SIGKILL (uninterruptible sleep).
A hook leaves an orphan if it starts a process in the background and exits, or forks twice. Linux makes the nearest
ancestor that is a child subreaper the new parent of an orphan. The agent's process is a child subreaper. So it finds
all leftovers among its descendants, and kills them before the action ends (docs/design/processes.md).
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
"""The number of checks after which a killed process that is still alive is left to the kernel."""

_UNINTERRUPTIBLE_CHECKS = 10  # the limit of checks that find every process in uninterruptible sleep
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def adopt_orphans() -> None:
    """Make this process a child subreaper: the new parent of orphans among its descendants (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def survivors_of(entries: Iterable[Entry]) -> tuple[Process, ...]:
    """Return which of these processes are still alive."""
    found = ((entry, find_process(entry.pid)) for entry in entries)
    return tuple(process for entry, process in found if process and process.started == entry.started)


class Leftover(Record):
    """A process that was sent SIGKILL, and its command line.

    The command line is empty if the process was already exiting by itself. In uninterruptible sleep it is not read: the
    process's name and pid replace it.
    """

    process: Process
    command_line: str


class Leftovers:
    """The leftover processes that were sent SIGKILL."""

    __slots__ = ("_seen", "_uninterruptible_checks")

    def __init__(self, seen: Iterable[Leftover] = ()) -> None:
        self._seen = {Entry(each.process.pid, each.process.started): each for each in seen}
        self._uninterruptible_checks = 0

    def kill(self, entries: Iterable[Entry]) -> bool:
        """Send SIGKILL to those of these processes that are alive; return False when further checks are useless."""
        alive = survivors_of(entries)
        for process in alive:
            entry = Entry(process.pid, process.started)
            if entry not in self._seen:
                # To read a command line takes a lock on the process's memory. In uninterruptible sleep, the process may
                # hold that lock.
                line = str(process) if process.is_uninterruptible else command_line(process.pid)
                self._seen[entry] = Leftover(process, line)
        send_signal(alive, SIGKILL)
        # One check does not prove that a process cannot be killed: any disk access is a short uninterruptible sleep.
        self._uninterruptible_checks += bool(alive) and all(process.is_uninterruptible for process in alive)
        return self._uninterruptible_checks < _UNINTERRUPTIBLE_CHECKS

    @property
    def survivors(self) -> tuple[Process, ...]:
        """The processes that are alive in spite of SIGKILL."""
        return survivors_of(self._seen)

    @property
    def ended(self) -> tuple[Leftover, ...]:
        """The processes that have ended after SIGKILL, without those that were already exiting by themselves."""
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
