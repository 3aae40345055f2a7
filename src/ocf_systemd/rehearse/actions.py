"""Runs the agent's actions for a rehearsal, in this process, and keeps the result and the times of each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import anyio

from ocf_systemd.agent.actions import perform
from ocf_systemd.agent.environment import pacemaker_environment
from ocf_systemd.agent.events import Purpose
from ocf_systemd.agent.request import Request
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.core.observations import Exited, HookOutcome, TimedOut, UnitState
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.parameters import Parameters, read_operation, read_parameters
from ocf_systemd.host import processes
from ocf_systemd.host.hooks import run_hooks
from ocf_systemd.rehearse.facts import ActionRun, Measured

CHECK_LEVEL = "OCF_CHECK_LEVEL"


@dataclass(frozen=True, slots=True)
class Call:
    """What to rehearse: parameters by name, and the times of the operations."""

    options: Mapping[str, str]
    operations: Operations = field(default_factory=Operations)

    def environment(self, action: Action, timeout_s: float | None = None) -> dict[str, str]:
        """Return the environment that Pacemaker gives an action; `timeout_s` replaces the timeout of the operation."""
        overridden = {} if timeout_s is None else {str(action): timeout_s}
        options = {name: value for name, value in self.options.items() if name != CHECK_LEVEL}
        if action is Action.MONITOR and (level := self.check_level):
            options[CHECK_LEVEL] = str(level)
        operations = replace(self.operations, chosen={**self.operations.chosen, **overridden})
        return pacemaker_environment(action, options, operations)

    @property
    def check_level(self) -> int:
        """The monitor's OCF_CHECK_LEVEL, which no other action gets: as chosen, but high enough for the hook to run."""
        chosen = read_operation(self.options).check_level
        return max(chosen, self.parameters.monitor_hook_level if self.parameters.monitor_hook else 0)

    @property
    def parameters(self) -> Parameters:
        """The parameters. Raises ParameterError."""
        return read_parameters(pacemaker_environment(Action.VALIDATE_ALL, self.options, self.operations))


@dataclass(slots=True)
class Actions:
    """Runs actions, also concurrently. `on_begin` is called with each action's name, `runs` has those that ended."""

    call: Call
    parameters: Parameters
    on_begin: Callable[[str], None]
    runs: list[ActionRun] = field(default_factory=list)

    async def run(self, action: Action, timeout_s: float | None = None) -> ActionRun:
        """Run an action as Pacemaker does, until it has a result."""
        self.on_begin(str(action))
        environment = self.call.environment(action, timeout_s)
        operation = read_operation(environment)
        deadline = operation.deadline(anyio.current_time())
        timeline = Timeline(action, self.parameters.unit)
        request = Request(action, self.parameters, operation, deadline, environment, timeline, processes.run)
        result = await perform(request)
        run = _action_run(timeline, result, has_limit=self.parameters.monitor_hook_timeout_s is not None)
        self.runs.append(run)
        return run

    async def run_twice(self, action: Action) -> tuple[ActionRun, ActionRun]:
        """Run an action twice, one run after the other."""
        return await self.run(action), await self.run(action)

    async def run_concurrently(self, action: Action) -> tuple[ActionRun, ...]:
        """Run an action twice at the same time."""
        runs: list[ActionRun] = []

        async def run() -> None:
            runs.append(await self.run(action))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            tasks.start_soon(run)
        return tuple(runs)

    async def run_hooks_alone(self) -> tuple[HookOutcome, ...]:
        """Run only the hooks, as a monitor does, but whatever the state of the unit is."""
        self.on_begin("hook")
        environment = self.call.environment(Action.MONITOR)
        deadline = read_operation(environment).deadline(anyio.current_time())
        return await run_hooks(self.parameters, environment, processes.run, deadline)

    def measured(self, hang: ActionRun | None) -> Measured:
        """Return the longest times of successful actions; `hang` is the last monitor during a hang."""
        good = [run for run in self.runs if run.is_success]
        starts = [run for run in good if run.action is Action.START]
        monitors = [run for run in good if run.action is Action.MONITOR]
        detected = hang if hang and not hang.reports_running else None
        return Measured(
            start_s=_longest(run.elapsed_s for run in starts),
            ready_s=_longest(run.hook_wait_s for run in starts),
            stop_s=_longest(run.elapsed_s for run in good if run.action is Action.STOP),
            monitor_s=_longest(run.elapsed_s for run in monitors),
            hook_s=_longest(run.hook_s for run in monitors),
            hang_s=detected.elapsed_s if detected else None,
            hook_was_ended=detected is not None and detected.hook_timed_out,
        )


def _longest(times_s: Iterable[float | None]) -> float | None:
    return max((time_s for time_s in times_s if time_s is not None), default=None)


def _action_run(timeline: Timeline, result: ActionResult, *, has_limit: bool) -> ActionRun:
    """Return the facts of an action that ended; `has_limit` means that monitor_hook_timeout is set."""
    hooks = [span for span in timeline.spans if span.purpose is Purpose.HOOK]
    states = [(at_s, state) for at_s, state in timeline.states if isinstance(state, UnitState)]
    return ActionRun(
        timeline.action,
        result,
        timeline.elapsed_s,
        active_after_s=next((at_s for at_s, state in states if state.is_running), None),
        hook_s=_longest(span.outcome.elapsed_s for span in hooks if isinstance(span.outcome, Exited)),
        hook_timed_out=not has_limit and any(isinstance(span.outcome, TimedOut) for span in hooks),
        ended_hook=any(span.outcome is None or isinstance(span.outcome, TimedOut) for span in hooks),
        escalated=timeline.escalated,
        unit_result=states[-1][1].result if states else "",
    )
