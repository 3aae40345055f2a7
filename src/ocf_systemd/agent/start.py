"""start: makes systemd start the unit, and waits until unit and hooks report that it runs.

docs/design/start-and-stop.md describes the life of a start.
"""

import anyio

from ocf_systemd.agent.events import WarningNotice
from ocf_systemd.agent.observing import add_log_line, observe, validate
from ocf_systemd.agent.polling import attempt_deadline, job_deadline, until_judged, with_time_for_log_line
from ocf_systemd.agent.request import Request
from ocf_systemd.agent.unit_files import DropInState, load_drop_in, query_unit_file, write_drop_in
from ocf_systemd.core.judgement import Judgement, KeepWaiting, judge_no_answer, judge_start
from ocf_systemd.core.observations import JobOutcome, JobResult, NoAnswer, Observation, UnitState
from ocf_systemd.core.ocf import ActionResult, ExitCode


class _Progress:
    """How far a start is: whether the drop-in is loaded, the start job (None: not requested), the last observation."""

    __slots__ = ("drop_in", "job", "observation")

    def __init__(self, unit: UnitState, drop_in: DropInState) -> None:
        self.drop_in = drop_in
        self.job: JobOutcome | None = None
        self.observation = Observation(unit)


async def start(request: Request) -> ActionResult:
    """Start the unit and wait until unit and hooks report that it runs; hooks of any level run."""
    began = anyio.current_time()
    unit = await validate(request, await query_unit_file(request))
    if isinstance(unit, ActionResult):
        return unit
    drop_in = write_drop_in(request, unit)
    if isinstance(drop_in, ActionResult):
        return drop_in
    progress = _Progress(unit, drop_in)
    poll_request = with_time_for_log_line(request)
    limit = request.parameters.start_poll_limit
    result = await until_judged(poll_request, lambda: _poll(poll_request, progress), limit=limit)
    unit_after = progress.observation.unit
    if result.code == ExitCode.SUCCESS:
        _warn_of_restart(request, unit_after)
        return result
    return result if unit_after.is_running else await add_log_line(result, request, unit_after, began)


async def _poll(request: Request, progress: _Progress) -> Judgement:
    """Perform the next step of a start that is not done yet, then observe and judge.

    systemd must load the agent's drop-in, with Restart=no, before the start job is requested: with the unit's own
    Restart=, systemd would restart the unit without the cluster knowing. If the request for the job was lost, as while
    PID 1 re-executes, the next poll requests the job again.
    """
    if progress.drop_in is DropInState.PENDING:
        if why := await load_drop_in(request):
            return KeepWaiting(judge_no_answer(NoAnswer(why)))
        progress.drop_in = DropInState.APPLIED
    if progress.job is None or progress.job.result is JobResult.LOST:
        await request.systemctl.reset_failed(attempt_deadline(request.deadline))
        progress.job = await request.systemctl.start(job_deadline(request.deadline))
    gated = progress.job.result is not JobResult.DONE
    progress.observation = await observe(request, with_hooks=request.has_hook, gated=gated)
    return judge_start(progress.observation, progress.job, request.parameters.monitor_hook_protocol)


def _warn_of_restart(request: Request, unit: UnitState | NoAnswer) -> None:
    details = unit.details if isinstance(unit, UnitState) else None
    if details is None or not request.parameters.order_at_shutdown:
        return
    settings = [f"Restart={details.restart}"] if details.restart not in {"", "no"} else []
    settings += [f"RestartForceExitStatus={details.restart_force}"] if details.restart_force else []
    if settings:
        overriding = f"{' and '.join(settings)} of {details.id} overrides {request.drop_in_path}"
        text = f"{overriding}: systemd may restart it without the cluster knowing"
        request.reporter.report(WarningNotice(text))
