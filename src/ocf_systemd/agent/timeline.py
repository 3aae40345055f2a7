"""What happened in an action and when, for the views of debug mode and for rehearsals."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from ocf_systemd.agent.events import (
    ActionEnded,
    ActionStarted,
    CommandEnded,
    CommandStarted,
    Escalated,
    Event,
    Interrupted,
    Notice,
    Observed,
    Purpose,
    StillWaiting,
    UnitObserved,
    Waiting,
    WarningNotice,
)
from ocf_systemd.core.observations import CommandOutcome, NoAnswer, UnitState
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.host.processes import Command


@dataclass(slots=True)
class Span:
    """When a command began and ended, in seconds since the action began; `ended_s` is None while the command runs."""

    command: Command
    purpose: Purpose
    began_s: float
    ended_s: float | None = None
    outcome: CommandOutcome | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A message, `at_s` seconds after the action began."""

    at_s: float
    text: str
    is_warning: bool = False
    is_waiting: bool = False


@dataclass(slots=True)
class Timeline:
    """A reporter that keeps all events, with times in seconds since the action began.

    `states` contains only changes of the unit's state; `observations` counts how often unit and hooks were observed.
    `time_s` and `timeout_s` are those of `ActionStarted`.
    """

    action: Action
    unit: str
    clock: Callable[[], float] = time.monotonic
    began: float = 0.0
    time_s: float = 0.0
    timeout_s: float = 0.0
    spans: list[Span] = field(default_factory=list)
    states: list[tuple[float, UnitState | NoAnswer]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    observations: int = 0
    waiting_for: str = ""
    result: ActionResult | None = None
    elapsed_s: float = 0.0
    interrupted: bool = False
    escalated: bool = False
    _running: dict[CommandStarted, Span] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin now, not at `ActionStarted`: an action with wrong parameters has a result, but no such event."""
        self.began = self.clock()

    @property
    def now_s(self) -> float:
        """Seconds since the action began; once it has its result, the seconds it took."""
        return self.clock() - self.began if self.result is None else self.elapsed_s

    def report(self, event: Event) -> None:
        """Keep an event."""
        now_s = self.clock() - self.began
        match event:
            case ActionStarted(unit=unit, time_s=time_s, timeout_s=timeout_s):
                self.unit, self.time_s, self.timeout_s = unit, time_s, timeout_s
            case CommandStarted(purpose, command):
                self._running[event] = span = Span(command, purpose, now_s)
                self.spans.append(span)
            case CommandEnded(began, outcome):
                span = self._running.pop(began)
                span.ended_s, span.outcome = now_s, outcome
            case UnitObserved(unit):
                if not self.states or self.states[-1][1] != unit:
                    self.states.append((now_s, unit))
            case Observed():
                self.observations += 1
            case Waiting(so_far):
                self.waiting_for = so_far.reason or ""
            case StillWaiting(reason=reason, text=text):
                self.waiting_for = reason
                self.notes.append(Note(now_s, text, is_waiting=True))
            case Notice() | WarningNotice() | Escalated() | Interrupted():
                self._note(now_s, event)
            case ActionEnded(result=result):
                self.result, self.elapsed_s = result, now_s

    def _note(self, now_s: float, event: Notice | WarningNotice | Escalated | Interrupted) -> None:
        match event:
            case Notice(text):
                self.notes.append(Note(now_s, text))
            case WarningNotice(text, details):
                self.notes.append(Note(now_s, f"{text}: {details}" if details else text, is_warning=True))
            case Escalated(unit):
                self.escalated = True
                text = f"{unit} does not stop: sending SIGKILL to its processes"
                self.notes.append(Note(now_s, text, is_warning=True))
            case Interrupted(signal=number):
                self.interrupted = True
                self.notes.append(Note(now_s, f"interrupted by {number.name}", is_warning=True))
            case _:
                assert_never(event)
