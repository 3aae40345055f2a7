"""What a history leaves behind to be held against the guarantees: frozen, and true by construction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocf_systemd.core.observations import DOWN_STATES, RUNNING_STATES, ActiveState, LoadState
from ocf_systemd.core.ocf import Action
from tests.simulation.hooks import Place
from tests.simulation.timeline import FOREVER

if TYPE_CHECKING:
    from signal import Signals

    from ocf_systemd.core.observations import CommandOutcome
    from ocf_systemd.core.ocf import ActionResult
    from ocf_systemd.core.parameters import Operation, Parameters
    from tests.simulation.plans import Plan, Step
    from tests.simulation.units import Outlook


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """The unit's true state at the moment in which systemd replied to a `systemctl show`.

    `remains` is whether a process of it was alive, once the answer had arrived, that must not be when the unit is
    inactive, `leaves` whether any process was; `keeps_restarts` whether its own Restart= was in force.
    """

    load: LoadState
    active: ActiveState
    has_job: bool
    can_reload: bool
    knows_drop_in: bool
    keeps_restarts: bool
    remains: bool
    leaves: bool

    @property
    def is_running(self) -> bool:
        return self.active in RUNNING_STATES

    @property
    def is_inactive(self) -> bool:
        return self.active in DOWN_STATES

    @property
    def is_down(self) -> bool:
        """Whether it is stopped: nothing of it is alive, and nothing is going to start it."""
        return self.is_inactive and not self.has_job and not self.remains

    @property
    def cannot_start(self) -> bool:
        """Whether there is nothing that could be started."""
        return self.load is LoadState.MASKED or (
            self.load in {LoadState.NOT_FOUND, LoadState.BAD_SETTING} and not self.is_running
        )


@dataclass(slots=True)
class Call:
    """A command that an action ran: `hook` or the verb of systemctl, and what the world did with it.

    `outcome` is None while it runs and when it was cancelled. A glimpse is kept of a `show` whose answer arrived. When
    its request was sent, and when systemd took it, is noted even if that is after its end; whether systemd knew the
    drop-in then, how it had loaded the unit, and whether the host was shutting down, only if it was before.
    """

    verb: str
    program: str
    began: float
    deadline: float
    ended: float = FOREVER
    outcome: CommandOutcome | None = None
    glimpse: Glimpse | None = None
    sent_at: float = FOREVER
    taken_at: float = FOREVER
    knew_drop_in: bool | None = None
    knew_load: LoadState | None = None
    at_shutdown: bool = False


@dataclass(frozen=True, slots=True)
class SentSignal:
    """A signal that an action sent to the processes of the unit."""

    at: float
    number: Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand at a moment: the unit, its processes, its file, the drop-in on disk and known, and the host.

    `settles_in_s` is how long the unit's present state still lasts.
    """

    glimpse: Glimpse
    settles_in_s: float
    drop_in_stands: bool
    drop_in_is_known: bool
    file: LoadState
    is_shutting_down: bool
    outlooks: tuple[Outlook, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An action's request, calls and result, and the true state of the host meanwhile.

    No result: a signal interrupted it. The parameters are those that it had, wrong ones replaced by their defaults;
    not `was_performed`: they decided by themselves. `stuck` are the hooks with a process that cannot be killed, and
    since when. `states` are all that the unit was in meanwhile; `in_quiet` says
    that nothing went wrong and nobody else did anything, `is_undisturbed` no more than the latter, `is_untroubled` no
    more than the former.
    """

    plan: Plan
    step: Step
    parameters: Parameters
    was_performed: bool
    began: float
    deadline: float
    ended: float
    result: ActionResult | None
    interrupted_by: Signals | None
    interrupted_at: float
    awaits: int
    calls: tuple[Call, ...]
    signals: tuple[SentSignal, ...]
    warnings: tuple[str, ...]
    stuck: tuple[tuple[str, float], ...]
    left_running: int
    before: Standing
    after: Standing
    states: frozenset[ActiveState]
    in_quiet: bool
    is_undisturbed: bool
    is_untroubled: bool

    @property
    def action(self) -> Action:
        return self.step.action

    @property
    def operation(self) -> Operation:
        return self.step.operation

    @property
    def is_probe(self) -> bool:
        """Whether it is a probe: a monitor without an interval, or with role=Stopped."""
        operation = self.operation
        return self.action is Action.MONITOR and (not operation.is_recurring or operation.expects_stopped)

    @property
    def place(self) -> Place:
        """Where the hooks lie that count: nowhere, if the parameter that names them does not."""
        return self.plan.place if self.parameters.monitor_hook is not None else Place.NOWHERE

    @property
    def time_s(self) -> float:
        """How long it had by the agent deadline."""
        return self.deadline - self.began

    @property
    def escalation_s(self) -> float:
        """How long before the agent deadline a stop may send SIGKILL."""
        return min(5.0, self.time_s / 4)

    @property
    def took_s(self) -> float:
        return self.ended - self.began

    def of(self, *verbs: str) -> list[Call]:
        """Return its calls of some verbs, in order."""
        return [call for call in self.calls if call.verb in verbs]
