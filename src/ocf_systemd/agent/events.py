"""Who is told what an action sees and does: the `Reporter` protocol, its facts, and the log of Pacemaker's people.

The log is written as ocf-shellfuncs writes it. Nothing here decides anything, and nothing here may fail an action.
"""

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
    """An action began; `time_s` is what it has until its own deadline, `timeout_s` what Pacemaker grants."""

    action: Action
    unit: str
    time_s: float
    timeout_s: float


class CommandStarted(Record):
    """A command is about to start; each is itself alone, whatever it has in common with others."""

    purpose: Purpose
    command: Command

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class CommandEnded(Record):
    """A command ended; no outcome: it was ended because its answer no longer mattered."""

    began: CommandStarted
    outcome: CommandOutcome | None


class UnitObserved(Record):
    """Systemd said what state the unit is in, or did not; hooks may still be running."""

    unit: UnitState | NoAnswer


class Observed(Record):
    """The unit and its hooks were looked at: this is what will be judged."""

    observation: Observation


class Waiting(Record):
    """There is no result yet: the next look comes after a pause, in seconds."""

    result_so_far: ActionResult
    pause_s: float


class Notice(Record):
    """Something was done to the host that the log should tell."""

    text: str


class WarningNotice(Record):
    """Something is not as it should be, and the action goes on."""

    text: str


class Escalated(Record):
    """A stop sends SIGKILL to the processes of the unit."""

    unit: str


class Interrupted(Record):
    """A signal ends the action early."""

    action: Action
    signal: Signals


class ActionEnded(Record):
    """The action has its result."""

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
    """Receives the facts of an action as they come."""

    def report(self, event: Event) -> None:
        """Take note of a fact. Must neither block nor raise."""
        ...
