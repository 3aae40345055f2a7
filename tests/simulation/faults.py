"""What goes wrong between the agent and systemd, as data: calls that fail, and what other people do meanwhile."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from enum import StrEnum
from signal import SIGKILL, SIGSEGV
from typing import TYPE_CHECKING

from ocf_systemd.core.observations import CommandOutcome, Exited, NotStarted, Signalled

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one call of systemctl.

    `reaches`: the request has its effect all the same. `answer` is what comes instead of systemd's own; none: the
    call hangs until its time is up. `late_s` is how much later the true answer comes.
    """

    name: str
    reaches: bool = True
    answer: CommandOutcome | None = None
    late_s: float = 0.0
    spares: str = ""


def _exits(code: int, stderr: str = "", stdout: str = "") -> Exited:
    return Exited(0.0, stdout.encode(), stderr.encode(), code=code)


def not_started(number: int) -> NotStarted:
    """Return what comes of a command that the kernel does not start."""
    return NotStarted(number, os.strerror(number))


_RESET = _exits(1, "Failed to wait for response: Connection reset by peer\n")

FAULTS = (
    Fault("the request is lost", reaches=False, answer=_RESET),
    Fault("the answer is lost", answer=_RESET),
    Fault("no descriptor is left", reaches=False, answer=not_started(errno.EMFILE)),
    Fault("no process is left", reaches=False, answer=not_started(errno.EAGAIN)),
    Fault("no memory is left", reaches=False, answer=not_started(errno.ENOMEM)),
    Fault("it dies before its request", reaches=False, answer=Signalled(0.0, signal=SIGSEGV)),
    Fault("it dies before its output", answer=Signalled(0.0, signal=SIGKILL)),
    Fault("it hangs before its request", reaches=False),
    Fault("it hangs before its output"),
    Fault("the answer is late", late_s=0.3),
    Fault("the answer is very late", late_s=4.0),
    # As systemctl does in what it takes for a chroot; a daemon-reload would look like one that was done.
    Fault("it ignores the request", reaches=False, answer=_exits(0, "Running in chroot, ignoring request.\n"),
          spares="daemon-reload"),
    Fault("half an answer", reaches=False, answer=_exits(0, stdout="LoadState=loaded\nActiveSt"),
          spares="daemon-reload"),
    Fault("access is denied", reaches=False, answer=_exits(4, "Failed to do it: Access denied\n"), spares="show"),
)  # fmt: skip


class Deed(StrEnum):
    """What others do to the host."""

    START = "somebody starts the unit"
    STOP = "somebody stops the unit"
    KILL = "somebody kills the unit"
    CANCEL = "somebody cancels the unit's job"
    RESET_FAILED = "somebody resets the unit's failure"
    DAEMON_RELOAD = "somebody reloads systemd"
    REMOVE_FILE = "somebody removes the unit's file and reloads systemd"
    MASK = "somebody masks the unit"
    PUT_FILE = "somebody puts the unit's file back"
    REEXECUTE = "systemd re-executes"
    STUN = "systemd is busy for a while"
    HANG = "systemd hangs for good"
    REMOVE_DROP_IN = "somebody removes the drop-in, and does not tell systemd"
    LAY_FILE = "the unit's file appears, without a daemon-reload"
    RESTART_DEPENDENCY = "a unit that this one requires is restarted"
    LOSE = "systemd takes the unit for inactive while its main process lives"
    SHUT_DOWN = "the host shuts down"


@dataclass
class Weather:
    """How often calls fail, as it comes; once it has cleared up, none does."""

    rate: float
    chance: Random

    def strike(self, verb: str) -> Fault | None:
        """Draw the fault of a call."""
        if not self.rate or self.chance.random() >= self.rate:
            return None
        fault = self.chance.choice(FAULTS)
        return None if fault.spares == verb else fault
