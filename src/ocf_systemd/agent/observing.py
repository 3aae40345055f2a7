"""Observes the unit and its hooks, concurrently; nothing on the host is changed."""

import anyio

from ocf_systemd.agent.events import Observed, Purpose, UnitObserved, WarningNotice
from ocf_systemd.agent.polling import Pauses, attempt_deadline
from ocf_systemd.agent.request import Request
from ocf_systemd.core.judgement import judge_host, judge_no_answer, with_log_line
from ocf_systemd.core.observations import HookOutcome, NoAnswer, Observation, UnitState
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.timeouts import LOG_LINE_S
from ocf_systemd.host.hooks import check_access, check_hooks, raise_shortage, run_hooks


async def observe(request: Request, *, with_hooks: bool, gated: bool = False, is_last_try: bool = False) -> Observation:
    """Query systemd and run the hooks concurrently; if the unit does not run, end the hooks and drop their outcomes.

    If `gated`, the hooks start only once the unit is known to run, as with monitor_hook_order=gated. If
    `is_last_try`, they have all the time until the deadline; otherwise they leave time for another try.
    """
    hooks: tuple[HookOutcome, ...] = ()

    async def run_all() -> None:
        nonlocal hooks
        hooks = await run_due_hooks(request, request.deadline if is_last_try else attempt_deadline(request.deadline))

    gated = gated or request.parameters.gated
    async with anyio.create_task_group() as concurrently:
        if with_hooks and not gated:
            concurrently.start_soon(run_all)
        unit = await show_unit(request, attempt_deadline(request.deadline))
        if not unit.is_running:
            concurrently.cancel_scope.cancel()
        elif with_hooks and gated:
            await run_all()
    observation = Observation(unit, hooks if unit.is_running else ())
    request.reporter.report(Observed(observation))
    return observation


async def run_due_hooks(request: Request, deadline: float) -> tuple[HookOutcome, ...]:
    """Run the hooks until `deadline`, or each for monitor_hook_timeout at most if that parameter is set."""
    if request.parameters.monitor_hook_timeout_s is not None:
        deadline = request.deadline  # each hook has its own limit, and need not leave time for another try
    run = request.reporting_runner(Purpose.HOOK)
    outcomes = await run_hooks(
        request.parameters, request.environment, run, deadline, run_directory=request.run_directory
    )
    if request.raises_shortage:
        raise_shortage(outcomes)
    return outcomes


async def show_unit(request: Request, deadline: float) -> UnitState | NoAnswer:
    """Query the unit's state once."""
    unit = await request.systemctl.show(deadline)
    request.reporter.report(UnitObserved(unit))
    return unit


async def query_unit(request: Request) -> UnitState | ActionResult:
    """Query the unit's state until systemd answers; return a result if it does not answer before the deadline."""
    pauses = Pauses(request)
    while isinstance(unit := await show_unit(request, attempt_deadline(request.deadline)), NoAnswer):
        result = judge_no_answer(unit)
        if not await pauses.wait(result):
            return result
    return unit


async def validate(request: Request, unit: UnitState | ActionResult) -> UnitState | ActionResult:
    """Return the unit's state if this host has all that the parameters name; else a result that names what it lacks."""
    if isinstance(unit, ActionResult):
        return unit
    run, deadline = request.reporting_runner(Purpose.HOOK), attempt_deadline(request.deadline)
    problems = check_hooks(request.parameters, request.environment)
    problems = problems or await check_access(request.parameters, request.environment, run, deadline)
    if request.raises_shortage:
        raise_shortage(problems)
    result = judge_host(unit, problems)
    return unit if result.code == ExitCode.SUCCESS else result


async def add_log_line(
    result: ActionResult, request: Request, unit: UnitState | NoAnswer, began: float
) -> ActionResult:
    """Add the last log line since `began` to a result that the unit caused: the unit's line, or PID 1's about it."""
    if not isinstance(unit, UnitState):
        return result
    now = anyio.current_time()
    # For a stop, the reason already contains what PID 1 logs about the unit.
    read = request.systemctl.last_log_line if request.action is Action.STOP else request.systemctl.last_log_line_about
    return with_log_line(result, await read(unit.id, now - began, min(now + LOG_LINE_S, request.deadline)))


def warn_of_processes_left_running(request: Request, unit: UnitState | NoAnswer) -> None:
    """Warn of processes that a stopped unit leaves running because of its KillMode=."""
    if isinstance(unit, UnitState) and unit.details and unit.left_running:
        left = ", ".join(map(str, unit.left_running))
        request.reporter.report(WarningNotice(f"KillMode={unit.details.kill_mode} of {unit.id} leaves {left} running"))
