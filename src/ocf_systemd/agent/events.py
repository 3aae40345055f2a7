"""The events of an action, and the `Reporter` protocol of what receives them: the log, a trace, debug mode."""

from enum import StrEnum
from signal import Signals
from typing import Protocol

from ocf_systemd.core.observations import CommandOutcome, NoAnswer, Observation, UnitState
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.core.records import Record
from ocf_systemd.core.text import printable
from ocf_systemd.host.processes import Command


class Purpose(StrEnum):
    """What a command is run for."""

    SYSTEMD = "systemd"
    HOOK = "hook"


class ActionStarted(Record):
    """An action has started; `timeout_s` is Pacemaker's timeout, in seconds.

    `time_s` is the time left until the agent deadline. By then, a little before the timeout, the action has a result.
    """

    action: Action
    unit: str
    time_s: float
    timeout_s: float


class CommandStarted(Record):
    """A command is about to start; two such events are equal only if they are the same object."""

    purpose: Purpose
    command: Command

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class CommandEnded(Record):
    """A command has ended; `outcome` is None if the agent ended the command because its result was not needed."""

    began: CommandStarted
    outcome: CommandOutcome | None


class UnitObserved(Record):
    """Systemd reported the unit's state, or gave no answer; hooks may still be running."""

    unit: UnitState | NoAnswer


class Observed(Record):
    """The unit and its hooks were observed; the action's result depends on this observation."""

    observation: Observation


class Waiting(Record):
    """The action has no result yet, and polls (observes) again after a pause of `pause_s` seconds.

    `result_so_far` is the result that it returns if the deadline comes first.
    """

    result_so_far: ActionResult
    pause_s: float


class StillWaiting(Record):
    """The action waits because of `reason`; it has `left_s` seconds to its deadline. `timeout_s` is Pacemaker's."""

    reason: str
    left_s: float
    timeout_s: float

    @property
    def text(self) -> str:
        """One line for people."""
        return f"waiting: {self.reason}; {max(self.left_s, 0.0):.0f} s left of {self.timeout_s:g} s"


class Notice(Record):
    """The action has changed something on the host."""

    text: str


class WarningNotice(Record):
    """There is a problem, but the action continues; the log has `details`, often confidential, only at level debug."""

    text: str
    details: str = ""


class Escalated(Record):
    """A stop sends SIGKILL to the processes of the unit."""

    unit: str


class Interrupted(Record):
    """A signal ends the action early."""

    action: Action
    signal: Signals

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{self.action} interrupted by {self.signal.name}"


class ActionEnded(Record):
    """The action has ended with a result."""

    action: Action
    result: ActionResult


Event = (
    ActionStarted
    | CommandStarted
    | CommandEnded
    | UnitObserved
    | Observed
    | Waiting
    | StillWaiting
    | Notice
    | WarningNotice
    | Escalated
    | Interrupted
    | ActionEnded
)


def command_label(purpose: Purpose, command: Command) -> str:
    """Return a short name of a command for people: `systemctl show`, `journalctl` or `hook smtp`."""
    first, *others = command.arguments
    if purpose is Purpose.HOOK:
        return f"hook {printable(first.rsplit('/', 1)[-1])}"
    verb = next((argument for argument in others if not argument.startswith("-")), "")
    return first if first == "journalctl" else f"{first} {verb}"


class Reporter(Protocol):
    """Receives the events of an action as they happen."""

    def report(self, event: Event) -> None:
        """Receive an event. Must neither block nor raise."""
        ...
