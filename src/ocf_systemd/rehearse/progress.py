"""What a rehearsal has come to so far: the record that every view is drawn from."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ocf_systemd.agent.entry import INTERRUPTED
from ocf_systemd.core.ocf import ExitCode
from ocf_systemd.rehearse.facts import Measured
from ocf_systemd.rehearse.proposal import Proposal
from ocf_systemd.rehearse.scenarios import Failed, Outcome, Passed, Scene, Skipped


@dataclass(slots=True)
class Step:
    """A scene's place in a rehearsal; times are seconds since the rehearsal began, None: not yet."""

    scene: Scene
    began_s: float | None = None
    ended_s: float | None = None
    outcome: Outcome | None = None


@dataclass(slots=True)
class Record:
    """A rehearsal as it goes.

    `now` says what is being done at the moment, `count_of` which time, `not_put_back` what could not be undone.
    """

    unit: str
    hook: str | None = None
    clock: Callable[[], float] = time.monotonic
    steps: list[Step] = field(default_factory=lambda: [Step(scene) for scene in Scene])
    now: str = ""
    count_of: str = ""
    measured: Measured = field(default_factory=Measured)
    proposal: Proposal | None = None
    interrupted: bool = False
    not_put_back: str = ""
    elapsed_s: float | None = None
    _began: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Begin now."""
        self._began = self.clock()

    @property
    def now_s(self) -> float:
        """Seconds since the rehearsal began; once it is over, the seconds it took."""
        return self.clock() - self._began if self.elapsed_s is None else self.elapsed_s

    def tell(self, what: str) -> None:
        """Note what is being done."""
        self.now = f"{self.count_of}{what}"

    def count(self, kind: type[Passed] | type[Failed] | type[Skipped]) -> int:
        """Return how many scenes came to an outcome of that kind."""
        return sum(isinstance(step.outcome, kind) for step in self.steps)

    @property
    def exit_code(self) -> int:
        """0 only when all passed that could be played, and all is as it was before."""
        if self.interrupted:
            return INTERRUPTED
        complete = all(isinstance(step.outcome, Passed | Skipped) for step in self.steps)
        return ExitCode.SUCCESS if complete and not self.not_put_back else ExitCode.ERR_GENERIC


class View(Protocol):
    """Shows a rehearsal."""

    def begin(self, record: Record) -> None:
        """Begin to show it."""
        ...

    def ended(self, record: Record, step: Step) -> None:
        """Show what a scene came to."""
        ...

    def close(self, record: Record) -> None:
        """Show what all came to."""
        ...
