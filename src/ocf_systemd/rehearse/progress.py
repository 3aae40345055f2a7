"""The progress and the results of a rehearsal, and the base class of the views that show them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ocf_systemd.agent.entry import INTERRUPTED
from ocf_systemd.core import check_result
from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.rehearse.facts import Measured
from ocf_systemd.rehearse.proposal import Proposal
from ocf_systemd.rehearse.scenarios import Scenario


@dataclass(slots=True)
class ScenarioRun:
    """A scenario and its result; times are in seconds since the rehearsal began, and None until they are known."""

    scenario: Scenario
    began_s: float | None = None
    ended_s: float | None = None
    result: CheckResult | None = None


@dataclass(slots=True)
class Progress:
    """A rehearsal while it runs, and its results once it is over.

    `activity` is what runs at the moment, `repetition` a text in front of that, such as `3 of 10: `. `restored` is the
    result of restoring the unit at the end. `elapsed_s` is the seconds that the rehearsal took, or None before its end.
    """

    unit: str
    hook: str | None = None
    clock: Callable[[], float] = time.monotonic
    runs: list[ScenarioRun] = field(default_factory=lambda: [ScenarioRun(scenario) for scenario in Scenario])
    activity: str = ""
    repetition: str = ""
    measured: Measured = field(default_factory=Measured)
    proposal: Proposal | None = None
    interrupted: bool = False
    restored: CheckResult | None = None
    elapsed_s: float | None = None
    _began: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Begin to measure the time."""
        self._began = self.clock()

    @property
    def now_s(self) -> float:
        """Seconds since the rehearsal began; once it is over, the seconds it took."""
        return self.clock() - self._began if self.elapsed_s is None else self.elapsed_s

    @property
    def results(self) -> list[CheckResult]:
        """The results so far, in the order of the scenarios."""
        return [result for result in (*(run.result for run in self.runs), self.restored) if result]

    def begin_action(self, name: str) -> None:
        """Set `activity` to the action that begins now."""
        self.activity = f"{self.repetition}{name}"

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0 without errors, 1 with errors, 130 if the rehearsal was interrupted."""
        return INTERRUPTED if self.interrupted else check_result.exit_code(self.results)


class View:
    """Shows a rehearsal; a method that a view does not override shows nothing."""

    def begin(self, progress: Progress) -> None:
        """Begin to show the rehearsal."""

    def show(self, result: CheckResult) -> None:
        """Show the result of a scenario that has just ended, or of the restoration."""

    def close(self, progress: Progress) -> None:
        """Show all results, when the rehearsal is over."""
