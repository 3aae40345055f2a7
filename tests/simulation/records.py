"""What a history leaves behind to be held against the promise: frozen, and true by construction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocf_systemd.observations import DOWN_STATES, RUNNING_STATES, ActiveState, LoadState
from tests.simulation.timeline import FOREVER

if TYPE_CHECKING:
    from signal import Signals

    from ocf_systemd.observations import CommandOutcome
    from ocf_systemd.ocf import Action, Verdict
    from ocf_systemd.parameters import Operation, Parameters
    from tests.simulation.plans import Plan, Step


@dataclass(frozen=True, slots=True)
class Glimpse:
    """The unit's true state at the moment in which systemd answered a `systemctl show`."""

    load: LoadState
    active: ActiveState
    has_job: bool
    can_reload: bool

    @property
    def is_running(self) -> bool:
        return self.active in RUNNING_STATES

    @property
    def is_down(self) -> bool:
        return self.active in DOWN_STATES

    @property
    def cannot_start(self) -> bool:
        """Whether there is nothing that could be started."""
        return self.load is LoadState.MASKED or (
            self.load in {LoadState.NOT_FOUND, LoadState.BAD_SETTING} and not self.is_running
        )


@dataclass(slots=True)
class Call:
    """A command that an action ran: `hook` or the verb of systemctl, and what the world did with it.

    `outcome` is None while it runs and when it was cancelled. A glimpse is kept of a `show` whose answer arrived,
    and whether systemd knew the drop-in when it took the request, if it did.
    """

    verb: str
    program: str
    began: float
    deadline: float
    ended: float = FOREVER
    outcome: CommandOutcome | None = None
    glimpse: Glimpse | None = None
    knew_drop_in: bool | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand at a moment: the unit, how long its present state still lasts, the drop-in on disk and known."""

    glimpse: Glimpse
    settles_in_s: float
    drop_in_stands: bool
    drop_in_is_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an action was asked, what it did and said, and the truth about the world meanwhile.

    No verdict: a signal interrupted it. `states` are all that the unit was in meanwhile; `in_quiet` says that nothing
    went wrong and nobody else did anything, `is_undisturbed` no more than the latter.
    """

    plan: Plan
    step: Step
    parameters: Parameters
    began: float
    deadline: float
    ended: float
    verdict: Verdict | None
    interrupted_by: Signals | None
    interrupted_at: float
    awaits: int
    calls: tuple[Call, ...]
    left_running: int
    before: Standing
    after: Standing
    states: frozenset[ActiveState]
    in_quiet: bool
    is_undisturbed: bool

    @property
    def action(self) -> Action:
        return self.step.action

    @property
    def operation(self) -> Operation:
        return self.step.operation

    @property
    def time_s(self) -> float:
        """How long it had by its own deadline."""
        return self.deadline - self.began

    @property
    def took_s(self) -> float:
        return self.ended - self.began

    def of(self, *verbs: str) -> list[Call]:
        """Return its calls of some verbs, in order."""
        return [call for call in self.calls if call.verb in verbs]
