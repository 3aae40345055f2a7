"""The actions: observe, judge, act, until there is a result or the deadline is reached.

Each action is a re-entrant coroutine: it takes all that it needs as arguments, keeps no state between calls and never
ends the process. So one process may run many actions at once. start and stop have modules of their own, which a monitor
does not import.
"""

from typing import assert_never

import anyio

from ocf_systemd.agent.events import ActionEnded, ActionStarted, WarningNotice
from ocf_systemd.agent.observing import observe, query_unit, validate, warn_of_processes_left_running
from ocf_systemd.agent.polling import WaitingReporter, job_deadline, until_judged
from ocf_systemd.agent.request import Request
from ocf_systemd.core.judgement import (
    PASSING_CODES,
    Judgement,
    KeepWaiting,
    judge_monitor,
    judge_no_answer,
    judge_reload,
    judge_reload_request,
    judge_unbooted,
)
from ocf_systemd.core.observations import JobOutcome, JobResult, NoAnswer, Observation
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.records import replace
from ocf_systemd.host.systemctl import is_booted

HOST_CHECK_LEVEL = 10
"""From this OCF_CHECK_LEVEL on, validate-all checks this host as well (OCF 1.1, Validate-All)."""

_MAY_BLOCK = frozenset({Action.START, Action.STOP, Action.RELOAD, Action.RELOAD_AGENT})
"""The actions in which one command, such as `systemctl start`, may wait for systemd for a long time."""


async def perform(request: Request) -> ActionResult:
    """Perform an action and return its result by the agent deadline, or at most half of the reserve later."""
    time_s = request.deadline - anyio.current_time()
    waiting = WaitingReporter(request.reporter, request.deadline, request.operation.timeout_s)
    request = replace(request, reporter=waiting)
    request.reporter.report(ActionStarted(request.action, request.parameters.unit, time_s, request.operation.timeout_s))
    for warning in request.operation.warnings:
        request.reporter.report(WarningNotice(warning))
    result = ActionResult(ExitCode.ERR_GENERIC, f"{request.action} of {request.parameters.unit} ran out of time")
    # Each command ends by the agent deadline. This scope limits what the action does between two commands, to half of
    # the reserve, which is the time from the agent deadline to Pacemaker's timeout.
    with anyio.CancelScope(deadline=request.deadline + request.operation.reserve_s / 2):
        if not _can_dispatch(request):
            result = judge_unbooted(request.action)
        elif request.action in _MAY_BLOCK:
            async with anyio.create_task_group() as concurrently:
                concurrently.start_soon(waiting.report_blocked)
                result = await _dispatch(request)
                concurrently.cancel_scope.cancel()
        else:
            result = await _dispatch(request)
    request.reporter.report(ActionEnded(request.action, result))
    return result


def _can_dispatch(request: Request) -> bool:
    validates_values = request.action is Action.VALIDATE_ALL and request.operation.check_level < HOST_CHECK_LEVEL
    return validates_values or is_booted(request.run_directory)


async def _dispatch(request: Request) -> ActionResult:
    match request.action:
        case Action.START:
            from ocf_systemd.agent.start import start

            return await start(request)
        case Action.STOP:
            from ocf_systemd.agent.stop import stop

            return await stop(request)
        case Action.MONITOR:
            return await monitor(request, probe=request.operation.is_probe)
        case Action.RELOAD:
            return await reload(request)
        case Action.RELOAD_AGENT:
            return await reload_agent(request)
        case Action.VALIDATE_ALL:
            return await validate_all(request)
        case Action.META_DATA:
            raise AssertionError("meta-data needs no systemd and is answered before")
        case _:
            assert_never(request.action)


async def monitor(request: Request, *, probe: bool) -> ActionResult:
    """Query systemd and run the hooks; a probe runs them only once the unit is known to be active.

    Otherwise a hook that connects to a socket-activated service would start it on every node that Pacemaker probes.
    """
    tries_left = request.parameters.monitor_hook_retries
    was_not_running = False  # if True, the next poll runs the hooks only once the unit runs
    observation = Observation(NoAnswer("not queried"))

    async def poll() -> Judgement:
        nonlocal tries_left, was_not_running, observation
        gated = was_not_running or probe
        observation = await observe(request, with_hooks=request.has_due_hook, gated=gated, is_last_try=tries_left == 0)
        judgement = judge_monitor(observation, probe=probe, protocol=request.parameters.monitor_hook_protocol)
        was_not_running = not observation.unit.is_running
        if was_not_running or not tries_left or isinstance(judgement, KeepWaiting) or judgement.code in PASSING_CODES:
            return judgement
        tries_left -= 1
        return KeepWaiting(judgement, spaced=True)

    result = await until_judged(request, poll)
    if result.code == ExitCode.NOT_RUNNING:
        warn_of_processes_left_running(request, observation.unit)
    return result


async def reload(request: Request) -> ActionResult:
    """Make the unit reload its configuration, then wait until unit and hooks report that it runs."""
    unit = await query_unit(request)
    if isinstance(unit, ActionResult):
        return unit
    if not unit.is_running:
        settled = await monitor(request, probe=False)
        if settled.code not in PASSING_CODES:
            return settled
        # The unit was starting, possibly with the old configuration, so it must still reload.
    refusal = judge_reload_request(unit)
    if refusal.code != ExitCode.SUCCESS:
        return refusal
    job: JobOutcome | None = None

    async def poll() -> Judgement:
        nonlocal job
        if job is None or job.result is JobResult.LOST:
            job = await request.systemctl.reload(job_deadline(request.deadline))
        observation = await observe(request, with_hooks=request.has_hook, gated=job.result is not JobResult.DONE)
        return judge_reload(observation, job, request.parameters.monitor_hook_protocol)

    return await until_judged(request, poll)


async def reload_agent(request: Request) -> ActionResult:
    """Apply changed parameters without a restart: validate them, then write or remove the agent's drop-in."""
    from ocf_systemd.agent.unit_files import DropInState, load_drop_in, write_drop_in

    unit = await validate(request, await query_unit(request))
    if isinstance(unit, ActionResult):
        return unit
    drop_in = write_drop_in(request, unit) if unit.is_running else DropInState.APPLIED
    if isinstance(drop_in, ActionResult):
        return drop_in

    async def poll() -> Judgement:
        why = await load_drop_in(request) if drop_in is DropInState.PENDING else ""
        return KeepWaiting(judge_no_answer(NoAnswer(why))) if why else ActionResult(ExitCode.SUCCESS)

    return await until_judged(request, poll)


async def validate_all(request: Request) -> ActionResult:
    """Return success, as wrong parameters do not get here; from check level 10 on, check this host as a start does."""
    if request.operation.check_level < HOST_CHECK_LEVEL:
        return ActionResult(ExitCode.SUCCESS)
    unit = await validate(request, await query_unit(request))
    return unit if isinstance(unit, ActionResult) else ActionResult(ExitCode.SUCCESS)
