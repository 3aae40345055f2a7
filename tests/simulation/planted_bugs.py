"""Bugs to be planted in the agent, each of another kind: what a search is worth shows in how soon it finds them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import trio

from ocf_systemd.agent import actions, observing, polling, run, start, stop, unit_files
from ocf_systemd.core import hook_protocol, timeouts, unit_properties
from ocf_systemd.core.judgement import Judgement, judge_hooks, judge_monitor, judge_start, judge_stop
from ocf_systemd.core.observations import JobOutcome, JobResult, NoAnswer, Observation, UnitState
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.parameters import Operation, Parameters, read_leniently
from ocf_systemd.core.records import replace
from ocf_systemd.host import hooks
from ocf_systemd.host.drop_in import drop_in_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    from ocf_systemd.agent.events import Reporter
    from ocf_systemd.agent.request import Request
    from ocf_systemd.core.hook_protocol import HookProtocol


@dataclass(frozen=True, slots=True)
class Bug:
    """What to put in place of a name in the modules of the agent that have it."""

    report: str
    name: str
    instead: object
    modules: tuple[ModuleType, ...] = (actions, start, stop, observing, polling, unit_files)

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Put the bug into the agent for the time of the block."""
        right = {module: getattr(module, self.name) for module in self.modules if hasattr(module, self.name)}
        assert right, f"there is no {self.name}"
        for module in right:
            setattr(module, self.name, self.instead)
        try:
            yield
        finally:
            for module, value in right.items():
                setattr(module, self.name, value)


_escalate = stop._escalate  # noqa: SLF001
_observe = observing.observe
_reload_daemon = unit_files.reload_daemon
_write_drop_in = unit_files.write_drop_in
_stop = stop.stop
_stop_unit = stop._stop_unit  # noqa: SLF001


def _judge_silence_as_stopped(observed: Observation, *, probe: bool, protocol: HookProtocol) -> Judgement:
    if isinstance(observed.unit, NoAnswer):
        return ActionResult(ExitCode.NOT_RUNNING, observed.unit.why)
    return judge_monitor(observed, probe=probe, protocol=protocol)


def _judge_probe_as_monitor(observed: Observation, *, probe: bool, protocol: HookProtocol) -> Judgement:
    is_running = isinstance(observed.unit, UnitState) and observed.unit.is_running
    return judge_monitor(observed, probe=probe and not is_running, protocol=protocol)


def _judge_without_job(observed: Observation, *, probe: bool, protocol: HookProtocol) -> Judgement:
    unit = observed.unit if isinstance(observed.unit, NoAnswer) else replace(observed.unit, has_job=False)
    return judge_monitor(replace(observed, unit=unit), probe=probe, protocol=protocol)


def _without_processes(observed: Observation) -> Observation:
    if isinstance(observed.unit, NoAnswer):
        return observed
    return replace(observed, unit=replace(observed.unit, main_process=None, processes=()))


def _judge_without_processes(observed: Observation, *, probe: bool, protocol: HookProtocol) -> Judgement:
    return judge_monitor(_without_processes(observed), probe=probe, protocol=protocol)


def _judge_stop_without_processes(
    observed: Observation, job: JobOutcome, *, verify: bool, protocol: HookProtocol
) -> Judgement:
    return judge_stop(_without_processes(observed), job, verify=verify, protocol=protocol)


class _EndlessPatience:
    def __init__(self, request: Request, limit: int = 0) -> None:
        self._request, self._looks_left = request, limit or None

    async def wait(self, so_far: ActionResult, *, spaced: bool = False) -> bool:  # noqa: ARG002
        if self._looks_left is not None:
            self._looks_left -= 1
        await anyio.sleep(self._request.parameters.poll_interval_s)
        return self._looks_left != 0


class _Impatience(polling.Pauses):
    async def wait(self, so_far: ActionResult, *, spaced: bool = False) -> bool:  # noqa: ARG002
        return await super().wait(so_far)


class _NoRetries(polling.Pauses):
    async def wait(self, so_far: ActionResult, *, spaced: bool = False) -> bool:
        return not spaced and await super().wait(so_far)


def _judge_stop_by_exit_code(
    observed: Observation, job: JobOutcome, *, verify: bool, protocol: HookProtocol
) -> Judgement:
    if job.result is JobResult.DONE:
        return ActionResult(ExitCode.SUCCESS)
    return judge_stop(observed, job, verify=verify, protocol=protocol)


def _judge_start_by_hook(observed: Observation, job: JobOutcome, protocol: HookProtocol) -> Judgement:
    if isinstance(observed.unit, UnitState) and observed.unit.is_running:
        return judge_hooks(observed.hooks, protocol)
    return judge_start(observed, job, protocol)


def _judge_start_by_request(observed: Observation, job: JobOutcome, protocol: HookProtocol) -> Judgement:
    lost = job.result is JobResult.LOST
    return judge_start(observed, JobOutcome(JobResult.FAILED, job.message) if lost else job, protocol)


def _write_by_disk(request: Request, unit: UnitState) -> unit_files.DropInState | ActionResult:
    path = drop_in_path(request.parameters.unit, request.run_directory)
    if path.exists() is request.parameters.order_at_shutdown:
        return unit_files.DropInState.APPLIED
    return _write_drop_in(request, unit)


async def _reload_daemon_carelessly(request: Request, is_settled: Callable[[UnitState], bool], deadline: float) -> str:
    await _reload_daemon(request, is_settled, deadline)
    return ""


async def _reload_daemon_always(request: Request, _: Callable[[UnitState], bool], deadline: float) -> str:
    return await request.systemctl.daemon_reload(deadline)


async def _reload_before_stop(request: Request) -> JobOutcome:
    await request.systemctl.daemon_reload(request.deadline)
    return await _stop_unit(request)


async def _fail_for_reload(request: Request) -> ActionResult:
    result = await _stop(request)
    if result.code == ExitCode.SUCCESS and (why := await request.systemctl.daemon_reload(request.deadline)):
        return ActionResult(ExitCode.ERR_GENERIC, why)
    return result


async def _stop_at_once(request: Request) -> JobOutcome:
    return await request.systemctl.stop_at_once(request.deadline)


async def _stop_behind_pacemaker(_: Request) -> None:
    pass


async def _stop_in_background(request: Request) -> JobOutcome:
    trio.lowlevel.spawn_system_task(_stop_later, request)
    await anyio.lowlevel.checkpoint()
    return JobOutcome(JobResult.PENDING)


async def _stop_later(request: Request) -> None:
    await anyio.sleep(0.05)
    await request.systemctl.stop(anyio.current_time() + 1)


async def _never_escalate(request: Request, at: float, lead_s: float, refused: anyio.Event) -> None:
    pass


async def _escalate_when_refused(request: Request, at: float, lead_s: float, refused: anyio.Event) -> None:
    with anyio.CancelScope(deadline=at):
        await refused.wait()
    await _escalate(request, anyio.current_time(), lead_s, anyio.Event())


def _main_pid(properties: Mapping[str, str]) -> int:
    return int(properties["MainPID"])


def _escalate_halfway(budget_s: float) -> float:
    return budget_s / 2


def _try_beyond(_now: float, deadline: float) -> float:
    return deadline + 0.5


async def _observe_at_once(
    request: Request, *, with_hooks: bool, gated: bool = False, is_last_try: bool = False
) -> Observation:
    del gated
    return await _observe(request, with_hooks=with_hooks, is_last_try=is_last_try)


async def _observe_by_level(
    request: Request, *, with_hooks: bool, gated: bool = False, is_last_try: bool = False
) -> Observation:
    due = with_hooks and request.has_due_hook
    return await _observe(request, with_hooks=due, gated=gated, is_last_try=is_last_try)


def _fail_for_any_problem(
    action: Action, _: Operation, environment: Mapping[str, str], reporter: Reporter
) -> Parameters | ActionResult:
    del action, reporter
    parameters, problems = read_leniently(environment)
    return ActionResult(ExitCode.ERR_CONFIGURED, "; ".join(problems)) if problems else parameters


def _pass_over_problems(
    action: Action, _: Operation, environment: Mapping[str, str], reporter: Reporter
) -> Parameters | ActionResult:
    del action, reporter
    return read_leniently(environment)[0]


def _warn_of_nothing(request: Request, unit: UnitState | NoAnswer) -> None:
    pass


BUGS = {
    "a 7 while systemd does not answer": Bug("systemd had not answered", "judge_monitor", _judge_silence_as_stopped),
    "a 7 while a start job is queued": Bug("a job was queued", "judge_monitor", _judge_without_job),
    "a 7 while a process is alive": Bug("a process of the unit was alive", "judge_monitor", _judge_without_processes),
    "a probe that returns a hook's code for a unit that runs": Bug(
        "a probe of a unit that was active", "judge_monitor", _judge_probe_as_monitor
    ),
    "a probe that runs its hook at once": Bug("ran a hook of a probe", "observe", _observe_at_once),
    "a poll past the deadline": Bug("after the agent deadline", "Pauses", _EndlessPatience),
    "a hook that is tried again at once": Bug("tried a hook again", "Pauses", _Impatience),
    "a hook that is not tried again": Bug("gave up", "Pauses", _NoRetries),
    "a hook that is started although its last run cannot be killed": Bug(
        "whose last run cannot be killed", "find_survivor", lambda *_, **__: None, (hooks,)
    ),
    "a hook's code for the promoted role": Bug(
        "the last look means 1", "_PROMOTED", frozenset[int](), (hook_protocol,)
    ),
    "a stop that trusts systemctl's exit code": Bug("reported the unit down", "judge_stop", _judge_stop_by_exit_code),
    "a stop that ignores live processes": Bug(
        "a process of the unit was alive", "judge_stop", _judge_stop_without_processes
    ),
    "a main process that is forgotten once systemd has given up on it": Bug(
        "a process of the unit", "_main_pid", _main_pid, (unit_properties,)
    ),
    "a stop without a warning of what it leaves running": Bug(
        "warned 0 times", "warn_of_processes_left_running", _warn_of_nothing
    ),
    "a start that returns the hook's code": Bug("", "judge_start", _judge_start_by_hook),
    "a start that takes a lost request for a failed job": Bug("gave up", "judge_start", _judge_start_by_request),
    "a start that runs hooks of its check level alone": Bug("not every hook passed", "observe", _observe_by_level),
    "a start that does not look for a new unit file": Bug(
        "has not read its unit files",
        "query_unit_file",
        observing.query_unit,
    ),
    "a start without a warning of Restart=": Bug("warned 0 times", "_warn_of_restart", _warn_of_nothing),
    "a drop-in that systemd never loads after a kill": Bug("drop-in", "write_drop_in", _write_by_disk),
    "a daemon-reload whose failure does not matter": Bug(
        "before the drop-in was in force", "reload_daemon", _reload_daemon_carelessly
    ),
    "a daemon-reload of every action": Bug("it knew all that was wanted", "reload_daemon", _reload_daemon_always),
    "a daemon-reload before the stop": Bug("before the unit was observed down", "_stop_unit", _reload_before_stop),
    "a daemon-reload that fails the stop": Bug("failed after the unit was down", "stop", _fail_for_reload),
    "a stop that always ignores dependencies": Bug("was not shutting down", "_stop_unit", _stop_at_once),
    "a stop that waits for Pacemaker": Bug("expected 0", "_stop_ahead_of_pacemaker", _stop_behind_pacemaker),
    "a stop that never escalates": Bug("expected 0", "_escalate", _never_escalate),
    "a stop that escalates too early": Bug("killed the unit", "escalation_after_s", _escalate_halfway),
    "a stop that kills at once what refuses it": Bug("killed the unit", "_escalate", _escalate_when_refused),
    "a command that may outlast its action": Bug("was given until", "attempt_deadline", _try_beyond, (timeouts,)),
    "a request that outlives its action": Bug("after its end", "_stop_unit", _stop_in_background),
    "a stop that fails for a wrong parameter": Bug(
        "failed for a wrong parameter", "parameters_or_result", _fail_for_any_problem, (run,)
    ),
    "a start with wrong parameters": Bug(
        "wrong parameters mean 6", "parameters_or_result", _pass_over_problems, (run,)
    ),
    "a host without systemd that is not noticed": Bug("on a host without systemd", "_can_dispatch", lambda _: True),
}
"""By what they do; `report` is part of what the broken rule reports."""
