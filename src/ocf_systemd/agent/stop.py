"""stop: makes systemd stop the unit, sends SIGKILL in time if needed, and waits until it is observed stopped.

docs/design/start-and-stop.md describes the life of a stop.
"""

from signal import SIGKILL, SIGTERM

import anyio

from ocf_systemd.agent.events import Escalated, Observed
from ocf_systemd.agent.observing import add_log_line, run_due_hooks, show_unit, warn_of_processes_left_running
from ocf_systemd.agent.polling import attempt_deadline, job_deadline, until_judged, with_time_for_log_line
from ocf_systemd.agent.request import Request
from ocf_systemd.agent.unit_files import unload_drop_in
from ocf_systemd.core.judgement import Judgement, judge_stop
from ocf_systemd.core.observations import ActiveState, JobOutcome, JobResult, NoAnswer, Observation, UnitState
from ocf_systemd.core.ocf import ActionResult, ExitCode
from ocf_systemd.core.timeouts import (
    ESCALATION_PAUSE_MAX_S,
    FIRST_PAUSE_S,
    SHUTDOWN_CHECK_S,
    escalation_after_s,
    stop_post_kill_time,
)


class _Progress:
    """How far a stop is: the last state of the unit, and an event that is set if systemd refuses to stop the unit."""

    __slots__ = ("is_refused", "unit")

    def __init__(self) -> None:
        self.unit: UnitState | NoAnswer = NoAnswer("not queried")
        self.is_refused = anyio.Event()


async def stop(request: Request) -> ActionResult:
    """Stop the unit and wait until it is observed stopped; then remove the agent's drop-in."""
    began = anyio.current_time()
    escalate_at = began + escalation_after_s(request.deadline - began)
    progress = _Progress()
    poll_request = with_time_for_log_line(request)
    async with anyio.create_task_group() as concurrently:
        if request.parameters.stop_escalate and request.parameters.unit.endswith(".service"):
            kill_margin_s = request.deadline - escalate_at
            concurrently.start_soon(_escalate, poll_request, escalate_at, kill_margin_s, progress.is_refused)
        limit = request.parameters.stop_poll_limit
        result = await until_judged(poll_request, lambda: _poll(poll_request, progress), limit=limit)
        concurrently.cancel_scope.cancel()
    if result.code != ExitCode.SUCCESS:
        # If the unit is down, a hook or a queued job caused the failure: the unit's log would not explain it.
        return result if progress.unit.is_down else await add_log_line(result, request, progress.unit, began)
    warn_of_processes_left_running(request, progress.unit)
    await unload_drop_in(request, progress.unit)
    return result


async def _poll(request: Request, progress: _Progress) -> Judgement:
    job = await _stop_unit(request)
    if job.result is JobResult.REFUSE_MANUAL:
        progress.is_refused.set()
    progress.unit = await show_unit(request, attempt_deadline(request.deadline))
    parameters = request.parameters
    hooks_are_due = parameters.stop_verify and progress.unit.is_down
    hooks = await run_due_hooks(request, attempt_deadline(request.deadline)) if hooks_are_due else ()
    observation = Observation(progress.unit, hooks)
    request.reporter.report(Observed(observation))
    return judge_stop(observation, job, verify=parameters.stop_verify, protocol=parameters.monitor_hook_protocol)


async def _stop_unit(request: Request) -> JobOutcome:
    async with anyio.create_task_group() as concurrently:
        concurrently.start_soon(_stop_ahead_of_pacemaker, request)
        job = await request.systemctl.stop(job_deadline(request.deadline))
        concurrently.cancel_scope.cancel()
    return job


async def _stop_ahead_of_pacemaker(request: Request) -> None:
    """Make systemd run the unit's stop job at once when Pacemaker itself is being stopped, as at the host's shutdown.

    The agent's drop-in makes the unit's stop job wait for Pacemaker's stop job, which waits for this action. In all
    other cases the unit's job must wait: a stop that ignores dependencies leaves units running that require this unit.
    The check is repeated, because Pacemaker's stop job may be queued later than the unit's.
    """
    pause_s = SHUTDOWN_CHECK_S
    while True:
        await anyio.sleep(min(pause_s, request.parameters.poll_interval_s))
        if await request.systemctl.is_stopping_pacemaker(attempt_deadline(request.deadline)):
            unit = await show_unit(request, attempt_deadline(request.deadline))
            if isinstance(unit, UnitState) and unit.has_job and unit.active_state is not ActiveState.DEACTIVATING:
                await request.systemctl.stop_at_once(job_deadline(request.deadline))
        pause_s *= 2


async def _escalate(request: Request, at: float, kill_margin_s: float, is_refused: anyio.Event) -> None:
    """Send SIGKILL to the unit's processes from the escalation time `at` on, repeatedly until the stop ends.

    An ExecStopPost= command is killed later, at `stop_post_kill_time`. If systemd refuses to stop the unit
    (RefuseManualStop=), the agent sends SIGTERM at once. SIGKILL then follows `kill_margin_s` seconds later or at `at`,
    whichever comes first.
    """
    with anyio.CancelScope(deadline=at):  # normally systemd does not refuse, and this waits until `at`
        await is_refused.wait()
        unit = await show_unit(request, attempt_deadline(request.deadline))
        if isinstance(unit, UnitState):
            request.unit_processes.send_signal(unit, SIGTERM)
        await anyio.sleep(kill_margin_s)
    kill_stop_post_at, pause_s, is_reported = None, FIRST_PAUSE_S, False
    while True:
        unit = await show_unit(request, attempt_deadline(request.deadline))
        now = anyio.current_time()
        if isinstance(unit, UnitState) and unit.sub_state == "stop-post" and kill_stop_post_at is None:
            kill_stop_post_at = stop_post_kill_time(now, request.deadline)
        if isinstance(unit, UnitState) and (kill_stop_post_at is None or now >= kill_stop_post_at):
            if not is_reported and not unit.is_down:  # if the unit is down, a hook delays the end of the stop
                request.reporter.report(Escalated(request.parameters.unit))
                is_reported = True
            request.unit_processes.send_signal(unit, SIGKILL)
        await anyio.sleep(pause_s)
        pause_s = min(pause_s * 2, ESCALATION_PAUSE_MAX_S)
