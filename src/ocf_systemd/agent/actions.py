"""The actions: observe, judge, act, until there is a result or the deadline is there.

Each is a re-entrant coroutine that takes all it needs as arguments, keeps no state and never exits: one process may
run many at once.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import assert_never

import anyio

from ocf_systemd.agent.events import (
    ActionEnded,
    ActionStarted,
    CommandEnded,
    CommandStarted,
    Escalated,
    Notice,
    Observed,
    Purpose,
    Reporter,
    UnitObserved,
    Waiting,
    WarningNotice,
)
from ocf_systemd.core.judgement import (
    PASSING_CODES,
    Judgement,
    KeepWaiting,
    judge_host,
    judge_monitor,
    judge_no_answer,
    judge_reload,
    judge_reload_request,
    judge_start,
    judge_stop,
    judge_unbooted,
    with_log_line,
)
from ocf_systemd.core.observations import (
    ActiveState,
    CommandOutcome,
    HookOutcome,
    JobOutcome,
    JobResult,
    LoadState,
    NoAnswer,
    Observation,
    UnitState,
)
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.parameters import Operation, Parameters
from ocf_systemd.core.records import Record, replace
from ocf_systemd.core.timeouts import escalation_after_s
from ocf_systemd.host.cgroups import Cgroups, UnitProcesses
from ocf_systemd.host.drop_in import (
    DropInChange,
    drop_in_path,
    drop_ins_in_force,
    has_in_force,
    put_drop_in,
    remove_drop_in,
)
from ocf_systemd.host.hooks import check_access, check_hooks, run_hooks
from ocf_systemd.host.processes import Command, Runner
from ocf_systemd.host.reload_lock import reload_lock
from ocf_systemd.host.systemctl import QueryUnit, Systemctl, is_booted

_FIRST_PAUSE_S, _PAUSE_GROWTH = 0.02, 1.15
_LAST_LOOK_SHARE, _LAST_LOOK_MAX_S = 0.1, 0.5  # with less time left, a look would tell that time is up and no more
_WHOLE_REST_S = 2.0  # with less than that left, there is no second try worth saving time for
_OBSERVE_SHARE = 0.1  # of the time left, kept for looking at what came of a job that is still running
_EXPLAIN_SHARE, _EXPLAIN_RESERVE_S = 0.05, 0.25  # of the time left, kept for reading a journal line
_EXPLAIN_S = 1.0  # longest wait for it
_ESCALATION_PAUSE_MAX_S = 0.2  # between two SIGKILLs: what is forked meanwhile gets the next one
_SHUTDOWN_CHECK_S = 0.2  # a stop that takes longer may wait for Pacemaker, which waits for it

HOST_CHECK_LEVEL = 10
"""The OCF_CHECK_LEVEL from which on validate-all looks at this host as well (OCF 1.1, Validate-All)."""


class Request(Record):
    """All that an action needs: what is asked for, for how long, on whose behalf, and who is told.

    `deadline` is on the event loop's clock; `environment` is what hooks and systemctl get, less what they must not.
    `query_unit`, if there is one, is asked for the unit's state before systemctl is.
    """

    action: Action
    parameters: Parameters
    operation: Operation
    deadline: float
    environment: Mapping[str, str]
    reporter: Reporter
    run: Runner
    run_directory: Path = Path("/run")
    query_unit: QueryUnit | None = None
    unit_processes: UnitProcesses = Cgroups()

    @property
    def systemctl(self) -> Systemctl:
        """The system manager, every call told to the reporter."""
        run = self.running(Purpose.SYSTEMD)
        return Systemctl(self.parameters.unit, self.environment, run, self.query_unit, self.unit_processes)

    @property
    def drop_in_path(self) -> Path:
        """Where the unit's drop-in is."""
        return drop_in_path(self.parameters.unit, self.run_directory)

    @property
    def has_hook(self) -> bool:
        """Whether there is a hook, whatever its level."""
        return self.parameters.monitor_hook is not None

    @property
    def has_due_hook(self) -> bool:
        """Whether there is a hook that a monitor of this check level runs."""
        return self.has_hook and self.parameters.monitor_hook_level <= self.operation.check_level

    def running(self, purpose: Purpose) -> Runner:
        """Return a runner that tells the reporter what it runs."""
        return _ReportingRunner(self.run, self.reporter, purpose)


class _ReportingRunner(Record):
    run: Runner
    reporter: Reporter
    purpose: Purpose

    async def __call__(self, command: Command, *, deadline: float) -> CommandOutcome:
        began, outcome = CommandStarted(self.purpose, command), None
        self.reporter.report(began)
        try:
            outcome = await self.run(command, deadline=deadline)
        finally:
            self.reporter.report(CommandEnded(began, outcome))
        return outcome


async def perform(request: Request) -> ActionResult:
    """Perform an action and return its result, at the deadline at the latest."""
    time_s = request.deadline - anyio.current_time()
    request.reporter.report(ActionStarted(request.action, request.parameters.unit, time_s, request.operation.timeout_s))
    for warning in request.operation.warnings:
        request.reporter.report(WarningNotice(warning))
    result = ActionResult(ExitCode.ERR_GENERIC, f"{request.action} of {request.parameters.unit} ran out of time")
    # All that an action does keeps to the deadline by itself; this is for what may stand between.
    with anyio.CancelScope(deadline=request.deadline + request.operation.reserve_s / 2):
        result = await _dispatch(request) if _can_dispatch(request) else judge_unbooted(request.action)
    request.reporter.report(ActionEnded(request.action, result))
    return result


def _can_dispatch(request: Request) -> bool:
    validates_values = request.action is Action.VALIDATE_ALL and request.operation.check_level < HOST_CHECK_LEVEL
    return validates_values or is_booted(request.run_directory)


async def _dispatch(request: Request) -> ActionResult:
    match request.action:
        case Action.START:
            return await start(request)
        case Action.STOP:
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

    A hook that connects would start a socket-activated service wherever Pacemaker asks whether it runs.
    """
    tries_left = request.parameters.monitor_hook_retries
    settling = False
    seen = Observation(NoAnswer("not queried"))

    async def look() -> Judgement:
        nonlocal tries_left, settling, seen
        gated = settling or probe
        seen = await observe(request, with_hooks=request.has_due_hook, gated=gated, patient=tries_left == 0)
        judgement = judge_monitor(seen, probe=probe, protocol=request.parameters.monitor_hook_protocol)
        settling = not _is_running(seen.unit)
        if settling or not tries_left or isinstance(judgement, KeepWaiting) or judgement.code in PASSING_CODES:
            return judgement
        tries_left -= 1
        return KeepWaiting(judgement, spaced=True)

    result = await _until_judged(request, look)
    if result.code == ExitCode.NOT_RUNNING:
        _warn_of_spared(request, seen.unit)
    return result


async def start(request: Request) -> ActionResult:
    """Start the unit and wait until unit and hooks report that it runs, whatever the hooks' level."""
    began = anyio.current_time()
    unit = await _validate(request, await _query_unit_file(request))
    if isinstance(unit, ActionResult):
        return unit
    wanted = request.parameters.order_at_shutdown
    in_force = _settle_drop_in(request, unit, wanted=wanted)
    if isinstance(in_force, ActionResult):
        return in_force
    job = JobOutcome(JobResult.LOST)
    seen = Observation(unit)
    outer, request = request, _leaving_time_to_explain(request)

    async def look() -> Judgement:
        nonlocal job, seen, in_force
        if not in_force and (why := await _put_in_force(request, wanted=wanted)):
            return KeepWaiting(judge_no_answer(NoAnswer(why)))
        in_force = True
        if job.result is JobResult.LOST:
            await request.systemctl.reset_failed(_share(request.deadline))
            job = await request.systemctl.start(_leaving_time_to_look(request.deadline))
        seen = await observe(request, with_hooks=request.has_hook, gated=job.result is not JobResult.DONE)
        return judge_start(seen, job, request.parameters.monitor_hook_protocol)

    result = await _until_judged(outer, look, limit=request.parameters.start_poll_limit)
    if result.code == ExitCode.SUCCESS:
        _warn_of_restart(request, seen.unit)
        return result
    return result if _is_running(seen.unit) else await _with_log_line(result, outer, seen.unit, began)


def _warn_of_restart(request: Request, unit: UnitState | NoAnswer) -> None:
    details = unit.details if isinstance(unit, UnitState) else None
    if details is None or not request.parameters.order_at_shutdown:
        return
    settings = [f"Restart={details.restart}"] if details.restart not in {"", "no"} else []
    settings += [f"RestartForceExitStatus={details.restart_force}"] if details.restart_force else []
    if settings:
        told = f"{' and '.join(settings)} of {details.id} overrides {request.drop_in_path}"
        request.reporter.report(WarningNotice(f"{told}: systemd may restart it without the cluster knowing"))


async def stop(request: Request) -> ActionResult:
    """Stop the unit and wait until it is observed stopped; then remove the drop-in."""
    began = anyio.current_time()
    escalate_at = began + escalation_after_s(request.deadline - began)
    refused = anyio.Event()
    unit: UnitState | NoAnswer = NoAnswer("not queried")
    outer, request = request, _leaving_time_to_explain(request)

    async def look() -> Judgement:
        nonlocal unit
        job = await _stop_unit(request)
        if job.result is JobResult.MANUAL_REFUSED:
            refused.set()
        unit = await _show(request, _share(request.deadline))
        return await _judge_stopped(request, unit, job)

    async with anyio.create_task_group() as concurrently:
        if request.parameters.stop_escalate and request.parameters.unit.endswith(".service"):
            concurrently.start_soon(_escalate, request, escalate_at, outer.deadline - escalate_at, refused)
        result = await _until_judged(outer, look, limit=request.parameters.stop_poll_limit)
        concurrently.cancel_scope.cancel()
    if result.code != ExitCode.SUCCESS:  # over a hook, where the unit is down
        return result if _is_down(unit) else await _with_log_line(result, outer, unit, began)
    _warn_of_spared(request, unit)
    await _take_back_drop_in(outer, unit)
    return result


async def _stop_unit(request: Request) -> JobOutcome:
    async with anyio.create_task_group() as concurrently:
        concurrently.start_soon(_stop_ahead_of_pacemaker, request)
        job = await request.systemctl.stop(_leaving_time_to_look(request.deadline))
        concurrently.cancel_scope.cancel()
    return job


async def _stop_ahead_of_pacemaker(request: Request) -> None:
    """Run the unit's stop job at once as soon as Pacemaker itself is being stopped, as at the host's shutdown.

    By the drop-in the unit's job waits for Pacemaker's, which waits for this stop. Only then: a stop without regard to
    dependencies leaves units running that require this one. Not once before the stop: Pacemaker's job may come later.
    """
    pause_s = _SHUTDOWN_CHECK_S
    while True:
        await anyio.sleep(min(pause_s, request.parameters.poll_interval_s))
        if await request.systemctl.is_stopping_pacemaker(_share(request.deadline)):
            unit = await _show(request, _share(request.deadline))
            if isinstance(unit, UnitState) and unit.has_job and unit.active_state is not ActiveState.DEACTIVATING:
                await request.systemctl.stop_at_once(_leaving_time_to_look(request.deadline))
        pause_s *= 2


async def _judge_stopped(request: Request, unit: UnitState | NoAnswer, job: JobOutcome) -> Judgement:
    parameters = request.parameters
    verify = parameters.stop_verify and _is_down(unit)
    hooks = await _consult(request, _share(request.deadline)) if verify else ()
    seen = Observation(unit, hooks)
    request.reporter.report(Observed(seen))
    return judge_stop(seen, job, verify=parameters.stop_verify, protocol=parameters.monitor_hook_protocol)


async def _escalate(request: Request, at: float, lead_s: float, refused: anyio.Event) -> None:
    """Send SIGKILL to what has not stopped by then.

    Where systemd refuses to stop the unit, SIGTERM comes at once and SIGKILL `lead_s` seconds later, if that is sooner.

    An ExecStopPost= that runs once the others are dead gets half of what is left before it is killed as well.
    """
    with anyio.CancelScope(deadline=at):
        await refused.wait()
        await _send_signal(request, SIGTERM)
        await anyio.sleep(lead_s)
    request.reporter.report(Escalated(request.parameters.unit))
    spare_until, pause_s = None, _FIRST_PAUSE_S
    while True:
        unit = await _show(request, _share(request.deadline))
        now = anyio.current_time()
        if isinstance(unit, UnitState) and unit.sub_state == "stop-post" and spare_until is None:
            spare_until = now + max(request.deadline - _LAST_LOOK_MAX_S - now, 0.0) / 2
        if isinstance(unit, UnitState) and (spare_until is None or now >= spare_until):
            request.unit_processes.send_signal(unit, SIGKILL)
        await anyio.sleep(pause_s)
        pause_s = min(pause_s * 2, _ESCALATION_PAUSE_MAX_S)


async def _send_signal(request: Request, number: Signals) -> None:
    unit = await _show(request, _share(request.deadline))
    if isinstance(unit, UnitState):
        request.unit_processes.send_signal(unit, number)


async def _take_back_drop_in(request: Request, unit: UnitState | NoAnswer) -> None:
    """Remove the drop-in of a unit that is down; what goes wrong here does not make the stop fail.

    systemd forgets the drop-in of a unit that it unloads by itself, which is one that no other names ("Unit garbage
    collection" in systemd.unit(5)). Only where it has not, its unit files are read again.
    """
    path = request.drop_in_path
    try:
        change = remove_drop_in(path)
    except OSError as error:
        request.reporter.report(WarningNotice(f"drop-in {path} cannot be removed: {error.strerror}"))
        return
    if change is not DropInChange.UNCHANGED:
        request.reporter.report(Notice(f"drop-in {path} {change}"))
        unit = await _show(request, _share(request.deadline))
    # It may have been removed by an action that was killed before it told systemd.
    if isinstance(unit, UnitState) and drop_ins_in_force(unit, path):
        await _reload_daemon(request, lambda unit: not drop_ins_in_force(unit, path), request.deadline)


def _warn_of_spared(request: Request, unit: UnitState | NoAnswer) -> None:
    if isinstance(unit, UnitState) and unit.details and unit.spared:
        left = ", ".join(map(str, unit.spared))
        request.reporter.report(WarningNotice(f"KillMode={unit.details.kill_mode} of {unit.id} leaves {left} running"))


async def reload(request: Request) -> ActionResult:
    """Have the unit reload its configuration, then wait until unit and hooks report that it runs."""
    unit = await _query(request)
    if isinstance(unit, ActionResult):
        return unit
    if not unit.is_running:
        settled = await monitor(request, probe=False)
        if settled.code not in PASSING_CODES:
            return settled  # else it was on its way up, possibly with the old configuration
    refusal = judge_reload_request(unit)
    if refusal.code != ExitCode.SUCCESS:
        return refusal
    job = JobOutcome(JobResult.LOST)

    async def look() -> Judgement:
        nonlocal job
        if job.result is JobResult.LOST:
            job = await request.systemctl.reload(_leaving_time_to_look(request.deadline))
        seen = await observe(request, with_hooks=request.has_hook, gated=job.result is not JobResult.DONE)
        return judge_reload(seen, job, request.parameters.monitor_hook_protocol)

    return await _until_judged(request, look)


async def reload_agent(request: Request) -> ActionResult:
    """Take over changed parameters: validate them, and have the drop-in as they say; nothing is restarted."""
    unit = await _validate(request, await _query(request))
    if isinstance(unit, ActionResult):
        return unit
    wanted = request.parameters.order_at_shutdown
    in_force = _settle_drop_in(request, unit, wanted=wanted) if unit.is_running else True
    if isinstance(in_force, ActionResult):
        return in_force

    async def look() -> Judgement:
        why = "" if in_force else await _put_in_force(request, wanted=wanted)
        return KeepWaiting(judge_no_answer(NoAnswer(why))) if why else ActionResult(ExitCode.SUCCESS)

    return await _until_judged(request, look)


async def validate_all(request: Request) -> ActionResult:
    """Report whether the parameters are right; from check level 10 on, whether a start would accept this host."""
    if request.operation.check_level < HOST_CHECK_LEVEL:
        return ActionResult(ExitCode.SUCCESS)
    unit = await _validate(request, await _query(request))
    return unit if isinstance(unit, ActionResult) else ActionResult(ExitCode.SUCCESS)


async def observe(request: Request, *, with_hooks: bool, gated: bool = False, patient: bool = False) -> Observation:
    """Query systemd and run the hooks at the same moment; hooks of a unit that does not run are ended and dropped.

    `gated` runs the hooks only once the unit is known to run, as monitor_hook_order=gated always does; a `patient`
    look lets them have all the time there is, since it is the only one.
    """
    hooks: tuple[HookOutcome, ...] = ()

    async def consult() -> None:
        nonlocal hooks
        hooks = await _consult(request, request.deadline if patient else _share(request.deadline))

    gated = gated or request.parameters.gated
    async with anyio.create_task_group() as together:
        if with_hooks and not gated:
            together.start_soon(consult)
        unit = await _show(request, _share(request.deadline))
        if not _is_running(unit):
            together.cancel_scope.cancel()
        elif with_hooks and gated:
            await consult()
    seen = Observation(unit, hooks if _is_running(unit) else ())
    request.reporter.report(Observed(seen))
    return seen


async def _consult(request: Request, deadline: float) -> tuple[HookOutcome, ...]:
    if request.parameters.monitor_hook_timeout_s is not None:
        deadline = request.deadline  # a run has a limit of its own then, and needs no share
    return await run_hooks(
        request.parameters,
        request.environment,
        request.running(Purpose.HOOK),
        deadline,
        run_directory=request.run_directory,
    )


async def _show(request: Request, deadline: float) -> UnitState | NoAnswer:
    unit = await request.systemctl.show(deadline)
    request.reporter.report(UnitObserved(unit))
    return unit


def _is_running(unit: UnitState | NoAnswer) -> bool:
    return isinstance(unit, UnitState) and unit.is_running


def _is_down(unit: UnitState | NoAnswer) -> bool:
    return isinstance(unit, UnitState) and unit.is_down


async def _query(request: Request) -> UnitState | ActionResult:
    """Ask for the unit's state until systemd answers; a result: it did not, and time is up."""
    patience = _Patience(request)
    while isinstance(answer := await _show(request, _share(request.deadline)), NoAnswer):
        result = judge_no_answer(answer)
        if not await patience.lasts(result):
            return result
    return answer


async def _query_unit_file(request: Request) -> UnitState | ActionResult:
    """As `_query`, and have systemd read its unit files again where it has not found this one, or an outdated one.

    The file's storage may have been mounted a moment ago, by another resource. Until systemd has read its unit files it
    is not known that there is none: 5 would ban the resource from this node.
    """
    patience = _Patience(request)
    while True:
        unit = await _query(request)
        if isinstance(unit, ActionResult) or not _may_be_outdated(unit):
            return unit
        why = await _reload_daemon(request, lambda unit: not _may_be_outdated(unit), _share(request.deadline))
        if not why:
            return await _query(request)
        result = judge_no_answer(NoAnswer(why))
        if not await patience.lasts(result):
            return result


def _may_be_outdated(unit: UnitState) -> bool:
    is_loaded = unit.is_running or unit.load_state is LoadState.LOADED
    return not is_loaded and (unit.load_state is LoadState.NOT_FOUND or unit.needs_daemon_reload)


async def _validate(request: Request, unit: UnitState | ActionResult) -> UnitState | ActionResult:
    """Return the unit's state where this host has all that the parameters name; else a result that says what not."""
    if isinstance(unit, ActionResult):
        return unit
    run, deadline = request.running(Purpose.HOOK), _share(request.deadline)
    problems = check_hooks(request.parameters)
    problems = problems or await check_access(request.parameters, request.environment, run, deadline)
    result = judge_host(unit, problems)
    return unit if result.code == ExitCode.SUCCESS else result


def _settle_drop_in(request: Request, unit: UnitState, *, wanted: bool) -> bool | ActionResult:
    """Have the drop-in in place or not, as wanted; return whether that is in force already, or why it cannot be."""
    path = request.drop_in_path
    try:
        change = put_drop_in(request.parameters.unit, path) if wanted else remove_drop_in(path)
    except OSError as error:
        code = ExitCode.ERR_PERM if isinstance(error, PermissionError) else ExitCode.ERR_GENERIC
        return ActionResult(code, f"drop-in {path} cannot be {'written' if wanted else 'removed'}: {error.strerror}")
    if change is not DropInChange.UNCHANGED:
        request.reporter.report(Notice(f"drop-in {path} {change}"))
        return False
    # It may have been changed by an action that was killed before it told systemd.
    return has_in_force(unit, path, wanted=wanted)


async def _put_in_force(request: Request, *, wanted: bool) -> str:
    """Have systemd read the drop-in, or its absence; return why it did not.

    A unit that is down and that no other names is forgotten between two queries, and loaded with its drop-ins by the
    next ("Unit garbage collection" in systemd.unit(5)): to have all unit files read is what takes a start longest.
    """
    path = request.drop_in_path
    return await _reload_daemon(request, lambda unit: has_in_force(unit, path, wanted=wanted), _share(request.deadline))


async def _reload_daemon(request: Request, is_settled: Callable[[UnitState], bool], deadline: float) -> str:
    """Have systemd read its unit files again, unless it has what is wanted of the unit; return why it did not.

    Agents take turns, for half of the time at most, and a reload serves all that wait for one: a dozen at once need two
    or three. A systemd that does not answer may be in the middle of one, with a slow generator: one more would only
    make that longer.
    """
    now = anyio.current_time()
    async with reload_lock(request.run_directory, now + (deadline - now) / 2):
        unit = await _show(request, deadline)
        if isinstance(unit, UnitState) and is_settled(unit):
            return ""
        why = unit.why if isinstance(unit, NoAnswer) else await request.systemctl.daemon_reload(deadline)
    if why:
        request.reporter.report(WarningNotice(why))
    return why


async def _with_log_line(
    result: ActionResult, request: Request, unit: UnitState | NoAnswer, began: float
) -> ActionResult:
    """Add the last words of the unit, or on it, since the action began to a result that the unit is to blame for."""
    if not isinstance(unit, UnitState):
        return result
    now = anyio.current_time()
    # Of a stop, all that PID 1 has to say is in the reason.
    read = request.systemctl.last_log_line if request.action is Action.STOP else request.systemctl.last_log_line_about
    return with_log_line(result, await read(unit.id, now - began, min(now + _EXPLAIN_S, request.deadline)))


class _Patience:
    """The pauses between looks: short at first, then longer, until the looks or the time are used up."""

    def __init__(self, request: Request, limit: int = 0) -> None:
        self._request = request
        self._looks_left = limit or None
        self._pause_s = _FIRST_PAUSE_S
        time_s = request.deadline - anyio.current_time()
        self._last_look_at = request.deadline - min(time_s * _LAST_LOOK_SHARE, _LAST_LOOK_MAX_S)

    async def lasts(self, so_far: ActionResult, *, spaced: bool = False) -> bool:
        """Pause before another look, for a whole poll_interval if `spaced`; False: there must be none.

        The last pause is as short as leaves time for a look, however long poll_interval is: what a stop's SIGKILL has
        ended is seen.
        """
        if self._looks_left is not None:
            self._looks_left -= 1
        poll_interval_s = self._request.parameters.poll_interval_s
        time_left = self._last_look_at - anyio.current_time()
        pause_s = poll_interval_s if spaced else min(self._pause_s, poll_interval_s, time_left)
        if self._looks_left == 0 or pause_s > time_left or time_left <= 0:
            return False
        self._request.reporter.report(Waiting(so_far, pause_s))
        await anyio.sleep(pause_s)
        self._pause_s *= _PAUSE_GROWTH
        return True


async def _until_judged(request: Request, look: Callable[[], Awaitable[Judgement]], limit: int = 0) -> ActionResult:
    """Look until there is a result; at the deadline, or after `limit` looks, the last look's word counts."""
    patience = _Patience(request, limit)
    while True:
        match await look():
            case ActionResult() as result:
                return result
            case KeepWaiting(at_deadline, spaced):
                if not await patience.lasts(at_deadline, spaced=spaced):
                    return at_deadline


def _leaving_time_to_explain(request: Request) -> Request:
    """Return a request whose looks end so much earlier that the unit's last words can be read if it fails."""
    time_left = request.deadline - anyio.current_time()
    return replace(request, deadline=request.deadline - min(time_left * _EXPLAIN_SHARE, _EXPLAIN_RESERVE_S))


def _share(deadline: float) -> float:
    """Return the deadline of one of several tries: half of what is left, so that another may follow."""
    time_left = deadline - anyio.current_time()
    return deadline if time_left < _WHOLE_REST_S else deadline - time_left / 2


def _leaving_time_to_look(deadline: float) -> float:
    return deadline - _OBSERVE_SHARE * (deadline - anyio.current_time())
