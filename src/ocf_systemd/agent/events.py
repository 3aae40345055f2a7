"""The events of an action, and the `Reporter` protocol that receives them: the log, a trace, debug mode."""

from enum import StrEnum
from signal import Signals
from typing import Protocol

from ocf_systemd.core.observations import CommandOutcome, NoAnswer, Observation, UnitState
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.core.records import Record
from ocf_systemd.host.processes import Command


class Purpose(StrEnum):
    """What a command is run for."""

    SYSTEMD = "systemd"
    HOOK = "hook"


class ActionStarted(Record):
    """An action has started; `time_s` is the time to the agent deadline, `timeout_s` Pacemaker's timeout."""

    action: Action
    unit: str
    time_s: float
    timeout_s: float


class CommandStarted(Record):
    """A command is about to start; two of these are equal only if they are the same object."""

    purpose: Purpose
    command: Command

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class CommandEnded(Record):
    """A command has ended; no outcome: it was ended because its result was no longer needed."""

    began: CommandStarted
    outcome: CommandOutcome | None


class UnitObserved(Record):
    """Systemd reported the unit's state, or did not; hooks may still be running."""

    unit: UnitState | NoAnswer


class Observed(Record):
    """The unit and its hooks were observed: this is what will be judged."""

    observation: Observation


class Waiting(Record):
    """There is no result yet: the next poll comes after a pause, in seconds."""

    result_so_far: ActionResult
    pause_s: float


class Notice(Record):
    """The action has changed something on the host."""

    text: str


class WarningNotice(Record):
    """There is a problem, and the action continues; `details` may be confidential: only level debug has them."""

    text: str
    details: str = ""


class Escalated(Record):
    """A stop sends SIGKILL to the processes of the unit."""

    unit: str


class Interrupted(Record):
    """A signal ends the action early."""

    action: Action
    signal: Signals


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
    | Notice
    | WarningNotice
    | Escalated
    | Interrupted
    | ActionEnded
)


class Reporter(Protocol):
    """Receives the events of an action as they happen."""

    def report(self, event: Event) -> None:
        """Receive an event. Must neither block nor raise."""
        ...
