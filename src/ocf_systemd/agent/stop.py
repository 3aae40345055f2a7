"""stop: makes systemd stop the unit, sends SIGKILL in time if needed, and waits until it is observed stopped.

docs/design/start-and-stop.md describes the life of a stop.
"""

from signal import SIGKILL, SIGTERM, Signals

import anyio

from ocf_systemd.agent.events import Escalated, Observed
from ocf_systemd.agent.observing import add_log_line, is_down, run_due_hooks, show_unit, warn_of_spared_processes
from ocf_systemd.agent.polling import before_explaining, before_observing, share, until_judged
from ocf_systemd.agent.request import Request
from ocf_systemd.agent.unit_files import take_back_drop_in
from ocf_systemd.core.judgement import Judgement, judge_stop
from ocf_systemd.core.observations import ActiveState, JobOutcome, JobResult, NoAnswer, Observation, UnitState
from ocf_systemd.core.ocf import ActionResult, ExitCode
from ocf_systemd.core.timeouts import (
    ESCALATION_PAUSE_MAX_S,
    FIRST_PAUSE_S,
    SHUTDOWN_CHECK_S,
    escalation_after_s,
    spare_stop_post_until,
)


class _Progress:
    """How far a stop is: the last state of the unit, and an event for a stop that systemd refuses."""

    __slots__ = ("refused", "unit")

    def __init__(self) -> None:
        self.unit: UnitState | NoAnswer = NoAnswer("not queried")
        self.refused = anyio.Event()


async def stop(request: Request) -> ActionResult:
    """Stop the unit and wait until it is observed stopped; then remove the drop-in."""
    began = anyio.current_time()
    escalate_at = began + escalation_after_s(request.deadline - began)
    progress, inner = _Progress(), before_explaining(request)
    async with anyio.create_task_group() as concurrently:
        if request.parameters.stop_escalate and request.parameters.unit.endswith(".service"):
            lead_s = request.deadline - escalate_at
            concurrently.start_soon(_escalate, inner, escalate_at, lead_s, progress.refused)
        limit = request.parameters.stop_poll_limit
        result = await until_judged(request, lambda: _poll(inner, progress), limit=limit)
        concurrently.cancel_scope.cancel()
    if result.code != ExitCode.SUCCESS:
        # If the unit is down, a hook caused the failure: add no log line.
        return result if is_down(progress.unit) else await add_log_line(result, request, progress.unit, began)
    warn_of_spared_processes(request, progress.unit)
    await take_back_drop_in(request, progress.unit)
    return result


async def _poll(request: Request, progress: _Progress) -> Judgement:
    job = await _stop_unit(request)
    if job.result is JobResult.MANUAL_REFUSED:
        progress.refused.set()
    progress.unit = await show_unit(request, share(request.deadline))
    return await _judge_stopped(request, progress.unit, job)


async def _stop_unit(request: Request) -> JobOutcome:
    async with anyio.create_task_group() as concurrently:
        concurrently.start_soon(_stop_ahead_of_pacemaker, request)
        job = await request.systemctl.stop(before_observing(request.deadline))
        concurrently.cancel_scope.cancel()
    return job


async def _stop_ahead_of_pacemaker(request: Request) -> None:
    """Run the unit's stop job at once as soon as Pacemaker itself is being stopped, as at the host's shutdown.

    Because of the drop-in, the unit's stop job waits for Pacemaker's, which waits for this stop. In all other cases the
    job must wait: a stop that ignores dependencies leaves units running that require this one. The check is repeated,
    because Pacemaker's stop job may be queued later than the unit's.
    """
    pause_s = SHUTDOWN_CHECK_S
    while True:
        await anyio.sleep(min(pause_s, request.parameters.poll_interval_s))
        if await request.systemctl.is_stopping_pacemaker(share(request.deadline)):
            unit = await show_unit(request, share(request.deadline))
            if isinstance(unit, UnitState) and unit.has_job and unit.active_state is not ActiveState.DEACTIVATING:
                await request.systemctl.stop_at_once(before_observing(request.deadline))
        pause_s *= 2


async def _judge_stopped(request: Request, unit: UnitState | NoAnswer, job: JobOutcome) -> Judgement:
    parameters = request.parameters
    verify = parameters.stop_verify and is_down(unit)
    hooks = await run_due_hooks(request, share(request.deadline)) if verify else ()
    observation = Observation(unit, hooks)
    request.reporter.report(Observed(observation))
    return judge_stop(observation, job, verify=parameters.stop_verify, protocol=parameters.monitor_hook_protocol)


async def _escalate(request: Request, at: float, lead_s: float, refused: anyio.Event) -> None:
    """Send SIGKILL to the processes that have not ended by then, again and again until the stop ends.

    If systemd refuses to stop the unit (RefuseManualStop=), SIGTERM comes at once, and SIGKILL `lead_s` seconds later,
    or at the escalation time if that is earlier. An ExecStopPost= that runs once the others are dead gets half of the
    time left before it is killed as well.
    """
    with anyio.CancelScope(deadline=at):
        await refused.wait()
        await _send_signal(request, SIGTERM)
        await anyio.sleep(lead_s)
    request.reporter.report(Escalated(request.parameters.unit))
    spare_until, pause_s = None, FIRST_PAUSE_S
    while True:
        unit = await show_unit(request, share(request.deadline))
        now = anyio.current_time()
        if isinstance(unit, UnitState) and unit.sub_state == "stop-post" and spare_until is None:
            spare_until = spare_stop_post_until(now, request.deadline)
        if isinstance(unit, UnitState) and (spare_until is None or now >= spare_until):
            request.unit_processes.send_signal(unit, SIGKILL)
        await anyio.sleep(pause_s)
        pause_s = min(pause_s * 2, ESCALATION_PAUSE_MAX_S)


async def _send_signal(request: Request, number: Signals) -> None:
    unit = await show_unit(request, share(request.deadline))
    if isinstance(unit, UnitState):
        request.unit_processes.send_signal(unit, number)
