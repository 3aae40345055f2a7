"""What happened in an action and when: the record that every view of debug mode is drawn from."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from ocf_systemd.agent.events import (
    ActionBegan,
    CommandBegan,
    CommandEnded,
    Escalated,
    Fact,
    Interrupted,
    Judged,
    Looked,
    Noted,
    Purpose,
    UnitSeen,
    Waiting,
    Warned,
)
from ocf_systemd.core.observations import CommandOutcome, NoAnswer, UnitState
from ocf_systemd.core.ocf import Action, Verdict
from ocf_systemd.host.processes import Command


@dataclass(slots=True)
class Span:
    """A command's time, in seconds since the action began; `ended_s` is None while it runs."""

    command: Command
    purpose: Purpose
    began_s: float
    ended_s: float | None = None
    outcome: CommandOutcome | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something to tell that took no time."""

    at_s: float
    text: str
    is_warning: bool = False


@dataclass(slots=True)
class Timeline:
    """A reporter that keeps all it is told, with times in seconds since the action began."""

    action: Action
    unit: str
    clock: Callable[[], float] = time.monotonic
    began: float = 0.0
    time_s: float = 0.0
    timeout_s: float = 0.0
    spans: list[Span] = field(default_factory=list)
    states: list[tuple[float, UnitState | NoAnswer]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    looks: int = 0
    waiting_for: str = ""
    verdict: Verdict | None = None
    elapsed_s: float = 0.0
    interrupted: bool = False
    escalated: bool = False
    _running: dict[CommandBegan, Span] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin now: an action may have its verdict before it began, when its parameters are wrong."""
        self.began = self.clock()

    @property
    def now_s(self) -> float:
        """Seconds since the action began; once it has its verdict, the seconds it took."""
        return self.clock() - self.began if self.verdict is None else self.elapsed_s

    def report(self, fact: Fact) -> None:
        """Keep a fact."""
        now_s = self.clock() - self.began
        match fact:
            case ActionBegan(unit=unit, time_s=time_s, timeout_s=timeout_s):
                self.unit, self.time_s, self.timeout_s = unit, time_s, timeout_s
            case CommandBegan(purpose, command):
                self._running[fact] = span = Span(command, purpose, now_s)
                self.spans.append(span)
            case CommandEnded(began, outcome):
                span = self._running.pop(began)
                span.ended_s, span.outcome = now_s, outcome
            case UnitSeen(unit):
                if not self.states or self.states[-1][1] != unit:
                    self.states.append((now_s, unit))
            case Looked():
                self.looks += 1
            case Waiting(so_far):
                self.waiting_for = so_far.reason or ""
            case Noted() | Warned() | Escalated() | Interrupted():
                self._note(now_s, fact)
            case Judged(verdict=verdict):
                self.verdict, self.elapsed_s = verdict, now_s

    def _note(self, now_s: float, fact: Noted | Warned | Escalated | Interrupted) -> None:
        match fact:
            case Noted(text):
                self.notes.append(Note(now_s, text))
            case Warned(text):
                self.notes.append(Note(now_s, text, is_warning=True))
            case Escalated(unit):
                self.escalated = True
                self.notes.append(
                    Note(now_s, f"{unit} does not stop: sending SIGKILL to its processes", is_warning=True)
                )
            case Interrupted(signal=number):
                self.interrupted = True
                self.notes.append(Note(now_s, f"interrupted by {number.name}", is_warning=True))
            case _:
                assert_never(fact)
