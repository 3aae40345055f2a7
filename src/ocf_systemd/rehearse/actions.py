"""Runs the agent's own actions for a rehearsal, in this process, and keeps what came of each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import anyio

from ocf_systemd.agent.actions import perform
from ocf_systemd.agent.environment import pacemaker_environment
from ocf_systemd.agent.events import Purpose
from ocf_systemd.agent.request import Request
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.core.observations import Exited, HookOutcome, TimedOut, UnitState
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.core.parameters import Parameters, read_operation, read_parameters
from ocf_systemd.host import processes
from ocf_systemd.host.hooks import run_hooks
from ocf_systemd.rehearse.facts import Done, Measured

CHECK_LEVEL = "OCF_CHECK_LEVEL"
_TIMEOUT_S = 20.0  # of all but start and stop, as the metadata advertises


@dataclass(frozen=True, slots=True)
class Call:
    """What to rehearse: parameters by name, and the seconds that start and stop are granted."""

    options: Mapping[str, str]
    timeout_s: float

    def environment(self, action: Action, timeout_s: float | None = None) -> dict[str, str]:
        """Return what Pacemaker would give an action."""
        granted_s = self.timeout_s if action in {Action.START, Action.STOP} else _TIMEOUT_S
        options = {name: value for name, value in self.options.items() if name != CHECK_LEVEL}
        if action is Action.MONITOR and (level := self.check_level):
            options[CHECK_LEVEL] = str(level)
        return pacemaker_environment(action, options, timeout_s or granted_s)

    @property
    def check_level(self) -> int:
        """The level of the monitor, which no other operation has: as given, or as the hook needs it to run at all."""
        given = read_operation(self.options).check_level
        return max(given, self.parameters.monitor_hook_level if self.parameters.monitor_hook else 0)

    @property
    def parameters(self) -> Parameters:
        """The parameters, read. Raises ParameterError."""
        return read_parameters(pacemaker_environment(Action.VALIDATE_ALL, self.options, _TIMEOUT_S))


@dataclass(slots=True)
class Agent:
    """Performs actions, several at once too, and remembers them."""

    call: Call
    parameters: Parameters
    tell: Callable[[str], None]
    done: list[Done] = field(default_factory=list)

    async def perform(self, action: Action, timeout_s: float | None = None) -> Done:
        """Perform an action as Pacemaker would have it, to its result."""
        self.tell(str(action))
        environment = self.call.environment(action, timeout_s)
        operation = read_operation(environment)
        deadline = operation.deadline(anyio.current_time())
        timeline = Timeline(action, self.parameters.unit)
        request = Request(action, self.parameters, operation, deadline, environment, timeline, processes.run)
        result = await perform(request)
        done = _done(timeline, result, has_limit=self.parameters.monitor_hook_timeout_s is not None)
        self.done.append(done)
        return done

    async def twice(self, action: Action) -> tuple[Done, Done]:
        """Perform an action, and again."""
        return await self.perform(action), await self.perform(action)

    async def two_at_once(self, action: Action) -> tuple[Done, ...]:
        """Perform an action for two callers at the same moment."""
        dones: list[Done] = []

        async def one() -> None:
            dones.append(await self.perform(action))

        async with anyio.create_task_group() as callers:
            callers.start_soon(one)
            callers.start_soon(one)
        return tuple(dones)

    async def hooks_alone(self) -> tuple[HookOutcome, ...]:
        """Run the hooks without asking systemd for anything."""
        self.tell("the hook")
        environment = self.call.environment(Action.MONITOR)
        deadline = read_operation(environment).deadline(anyio.current_time())
        return await run_hooks(self.parameters, environment, processes.run, deadline)

    def measured(self, hang: Done | None) -> Measured:
        """Return the longest times of what went well, and of a hang that was noticed."""
        good = [done for done in self.done if done.is_success]
        starts = [done for done in good if done.action is Action.START]
        monitors = [done for done in good if done.action is Action.MONITOR]
        noticed = hang if hang and not hang.says_running else None
        return Measured(
            start_s=_longest(done.elapsed_s for done in starts),
            ready_s=_longest(done.ready_s for done in starts),
            stop_s=_longest(done.elapsed_s for done in good if done.action is Action.STOP),
            monitor_s=_longest(done.elapsed_s for done in monitors),
            hook_s=_longest(done.hook_s for done in monitors),
            hang_s=noticed.elapsed_s if noticed else None,
            hook_was_cut=noticed is not None and noticed.hook_cut,
        )


def _longest(times_s: Iterable[float | None]) -> float | None:
    return max((time_s for time_s in times_s if time_s is not None), default=None)


def _done(timeline: Timeline, result: ActionResult, *, has_limit: bool) -> Done:
    hooks = [span for span in timeline.spans if span.purpose is Purpose.HOOK]
    states = [(at_s, state) for at_s, state in timeline.states if isinstance(state, UnitState)]
    return Done(
        timeline.action,
        result,
        timeline.elapsed_s,
        active_after_s=next((at_s for at_s, state in states if state.is_running), None),
        hook_s=_longest(span.outcome.elapsed_s for span in hooks if isinstance(span.outcome, Exited)),
        hook_cut=not has_limit and any(isinstance(span.outcome, TimedOut) for span in hooks),
        sent_kill=timeline.escalated,
        unit_result=states[-1][1].result if states else "",
    )
