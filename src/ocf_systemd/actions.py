"""The actions: observe, judge, act, until there is a verdict or the deadline is there.

Each is a re-entrant coroutine that takes all it needs as arguments, keeps no state and never exits: one process may
run many at once.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import assert_never

import anyio

from ocf_systemd.hooks import check_hooks, run_hooks
from ocf_systemd.judgement import (
    PASSING_CODES,
    Judgement,
    KeepWaiting,
    judge_host,
    judge_monitor,
    judge_reload,
    judge_reload_request,
    judge_silence,
    judge_start,
    judge_stop,
    quoting,
)
from ocf_systemd.observations import (
    CommandOutcome,
    HookOutcome,
    JobOutcome,
    JobResult,
    NoAnswer,
    Observation,
    UnitState,
)
from ocf_systemd.ocf import Action, ExitCode, Verdict
from ocf_systemd.parameters import ESCALATE_SHARE, Operation, Parameters
from ocf_systemd.processes import Command, Runner
from ocf_systemd.records import Record, replace
from ocf_systemd.reporting import (
    ActionBegan,
    CommandBegan,
    CommandEnded,
    Judged,
    Looked,
    Noted,
    Purpose,
    Reporter,
    UnitSeen,
    Waiting,
    Warned,
)
from ocf_systemd.systemd import Ask, DropInChange, Systemd, drop_in_path, put_drop_in, remove_drop_in

_FIRST_PAUSE_S, _PAUSE_GROWTH = 0.02, 1.15
_LAST_LOOK_SHARE, _LAST_LOOK_MAX_S = 0.1, 0.5  # with less time left, a look would tell that time is up and no more
_WHOLE_REST_S = 2.0  # with less than that left, there is no second try worth saving time for
_OBSERVE_SHARE = 0.1  # of the time left, kept for looking at what came of a job that is still running
_EXPLAIN_S = 1.0  # longest wait for a journal line

HOST_CHECK_LEVEL = 10
"""The OCF_CHECK_LEVEL from which on validate-all looks at this host as well (OCF 1.1, Validate-All)."""


class Request(Record):
    """All that an action needs: what is asked for, for how long, on whose behalf, and who is told.

    `deadline` is on the event loop's clock; `environment` is what hooks and systemctl get, less what they must not.
    `ask`, if there is one, is asked for the unit's state before systemctl is.
    """

    action: Action
    parameters: Parameters
    operation: Operation
    deadline: float
    environment: Mapping[str, str]
    reporter: Reporter
    run: Runner
    run_directory: Path = Path("/run")
    ask: Ask | None = None

    @property
    def systemd(self) -> Systemd:
        """The system manager, every call told to the reporter."""
        return Systemd(self.parameters.unit, self.environment, self.running(Purpose.SYSTEMD), self.ask)

    def running(self, purpose: Purpose) -> Runner:
        """Return a runner that tells the reporter what it runs."""
        return _TellingRunner(self.run, self.reporter, purpose)


class _TellingRunner(Record):
    run: Runner
    reporter: Reporter
    purpose: Purpose

    async def __call__(self, command: Command, *, deadline: float) -> CommandOutcome:
        began, outcome = CommandBegan(self.purpose, command), None
        self.reporter.report(began)
        try:
            outcome = await self.run(command, deadline=deadline)
        finally:
            self.reporter.report(CommandEnded(began, outcome))
        return outcome


async def perform(request: Request) -> Verdict:
    """Perform an action and return its verdict, at the deadline at the latest."""
    time_s = request.deadline - anyio.current_time()
    request.reporter.report(ActionBegan(request.action, request.parameters.unit, time_s, request.operation.timeout_s))
    for warning in request.operation.warnings:
        request.reporter.report(Warned(warning))
    verdict = Verdict(ExitCode.ERR_GENERIC, f"{request.action} of {request.parameters.unit} ran out of time")
    # All that an action does keeps to the deadline by itself; this is for what may stand between.
    with anyio.CancelScope(deadline=request.deadline + request.operation.reserve_s / 2):
        verdict = await _dispatch(request)
    request.reporter.report(Judged(request.action, verdict))
    return verdict


async def _dispatch(request: Request) -> Verdict:
    match request.action:
        case Action.START:
            return await start(request)
        case Action.STOP:
            return await stop(request)
        case Action.MONITOR:
            return await monitor(request, probe=not request.operation.is_recurring)
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


async def monitor(request: Request, *, probe: bool) -> Verdict:
    """Ask systemd and the hooks how the unit is."""
    tries_left = request.parameters.monitor_hook_retries
    settling = False

    async def look() -> Judgement:
        nonlocal tries_left, settling
        seen = await observe(request, gated=settling, patient=tries_left == 0)
        judgement = judge_monitor(seen, probe=probe, protocol=request.parameters.monitor_hook_protocol)
        settling = not _is_running(seen.unit)
        if settling or not tries_left or isinstance(judgement, KeepWaiting) or judgement.code in PASSING_CODES:
            return judgement
        tries_left -= 1
        return KeepWaiting(judgement)

    return await _until_judged(request, look)


async def start(request: Request) -> Verdict:
    """Start the unit and wait until unit and hooks say that it runs."""
    began = anyio.current_time()
    unit = await _validate(request)
    if isinstance(unit, Verdict):
        return unit
    in_force = _settle_drop_in(request, unit, wanted=request.parameters.order_at_shutdown)
    if isinstance(in_force, Verdict):
        return in_force
    job = JobOutcome(JobResult.LOST)
    seen = Observation(unit)

    async def look() -> Judgement:
        nonlocal job, seen, in_force
        if not in_force and not await _has_taken_up(request) and (why := await _reload_daemon(request)):
            return KeepWaiting(judge_silence(NoAnswer(why)))
        in_force = True
        if job.result is JobResult.LOST:
            await request.systemd.reset_failed(_share(request.deadline))
            job = await request.systemd.start(_leaving_time_to_look(request.deadline))
        seen = await observe(request, gated=job.result is not JobResult.DONE)
        return judge_start(seen, job, request.parameters.monitor_hook_protocol)

    verdict = await _until_judged(request, look, limit=request.parameters.start_poll_limit)
    return await _explained(request, verdict, seen.unit, began)


async def stop(request: Request) -> Verdict:
    """Stop the unit and wait until it is observed stopped."""
    escalate_at = anyio.current_time() + ESCALATE_SHARE * (request.deadline - anyio.current_time())
    unit = await _show(request, _share(escalate_at))
    in_force = _settle_drop_in(request, unit, wanted=False)
    if isinstance(in_force, Verdict):
        request.reporter.report(Warned(f"going on all the same: {in_force.reason}"))
        in_force = True

    async def look() -> Judgement:
        nonlocal in_force
        # Before the stop: a drop-in still in force orders it after Pacemaker's own, which waits for this one.
        in_force = in_force or not await _reload_daemon(request)
        job = await request.systemd.stop(_leaving_time_to_look(request.deadline))
        return await _judge_stopped(request, job)

    async with anyio.create_task_group() as beside:
        if request.parameters.stop_escalate:
            beside.start_soon(_escalate, request, escalate_at)
        verdict = await _until_judged(request, look, limit=request.parameters.stop_poll_limit)
        beside.cancel_scope.cancel()
    return verdict


async def _judge_stopped(request: Request, job: JobOutcome) -> Judgement:
    parameters = request.parameters
    unit = await _show(request, _share(request.deadline))
    verify = parameters.stop_verify and _is_down(unit)
    hooks = await _consult(request, _share(request.deadline)) if verify else ()
    seen = Observation(unit, hooks)
    request.reporter.report(Looked(seen))
    return judge_stop(seen, job, verify=parameters.stop_verify, protocol=parameters.monitor_hook_protocol)


async def _escalate(request: Request, at: float) -> None:
    await anyio.sleep_until(at)
    while not _is_down(await _show(request, _share(request.deadline))):
        request.reporter.report(Warned(f"{request.parameters.unit} does not stop: sending SIGKILL to its processes"))
        await request.systemd.kill(request.deadline)
        await anyio.sleep(request.parameters.poll_interval_s)


async def reload(request: Request) -> Verdict:
    """Have the unit reload its configuration, then monitor it."""
    unit = await _ask(request)
    if isinstance(unit, Verdict):
        return unit
    if not unit.is_running:
        settled = await monitor(request, probe=False)
        if settled.code not in PASSING_CODES:
            return settled  # else it was on its way up, and came up perhaps with what it is to give up
    refusal = judge_reload_request(unit)
    if refusal.code != ExitCode.SUCCESS:
        return refusal

    async def look() -> Judgement:
        job = await request.systemd.reload(_leaving_time_to_look(request.deadline))
        monitored = await monitor(request, probe=False)
        verdict = judge_reload(job, monitored, request.parameters.unit)
        return KeepWaiting(verdict) if job.result is JobResult.LOST and monitored.code in PASSING_CODES else verdict

    return await _until_judged(request, look)


async def reload_agent(request: Request) -> Verdict:
    """Take over changed parameters: validate them, and have the drop-in as they say; nothing is restarted."""
    unit = await _validate(request)
    if isinstance(unit, Verdict):
        return unit
    if unit.is_running:
        in_force = _settle_drop_in(request, unit, wanted=request.parameters.order_at_shutdown)
        if isinstance(in_force, Verdict):
            return in_force
        if not in_force:
            return await _until_judged(request, partial(_put_in_force, request))
    return Verdict(ExitCode.SUCCESS)


async def _put_in_force(request: Request) -> Judgement:
    why = await _reload_daemon(request)
    return KeepWaiting(judge_silence(NoAnswer(why))) if why else Verdict(ExitCode.SUCCESS)


async def validate_all(request: Request) -> Verdict:
    """Say whether the parameters are right; from check level 10 on, whether they are right for this host."""
    if request.operation.check_level < HOST_CHECK_LEVEL:
        return Verdict(ExitCode.SUCCESS)
    unit = await _validate(request)
    return unit if isinstance(unit, Verdict) else Verdict(ExitCode.SUCCESS)


async def observe(request: Request, *, gated: bool = False, patient: bool = False) -> Observation:
    """Ask systemd and run the hooks at the same moment; hooks of a unit that does not run are ended and dropped.

    `gated` runs the hooks only once the unit is known to run, as monitor_hook_order=gated always does; a `patient`
    look lets them have all the time there is, since it is the only one.
    """
    hooks: tuple[HookOutcome, ...] = ()

    async def consult() -> None:
        nonlocal hooks
        hooks = await _consult(request, request.deadline if patient else _share(request.deadline))

    gated = gated or request.parameters.gated
    has_hook = _has_due_hook(request)
    async with anyio.create_task_group() as together:
        if has_hook and not gated:
            together.start_soon(consult)
        unit = await _show(request, _share(request.deadline))
        if not _is_running(unit):
            together.cancel_scope.cancel()
        elif has_hook and gated:
            await consult()
    seen = Observation(unit, hooks if _is_running(unit) else ())
    request.reporter.report(Looked(seen))
    return seen


async def _consult(request: Request, deadline: float) -> tuple[HookOutcome, ...]:
    if request.parameters.monitor_hook_timeout_s is not None:
        deadline = request.deadline  # a run has a limit of its own then, and needs no share
    return await run_hooks(request.parameters, request.environment, request.running(Purpose.HOOK), deadline)


def _has_due_hook(request: Request) -> bool:
    level = request.parameters.monitor_hook_level
    return request.parameters.monitor_hook is not None and level <= request.operation.check_level


async def _show(request: Request, deadline: float) -> UnitState | NoAnswer:
    unit = await request.systemd.show(deadline)
    request.reporter.report(UnitSeen(unit))
    return unit


def _is_running(unit: UnitState | NoAnswer) -> bool:
    return isinstance(unit, UnitState) and unit.is_running


def _is_down(unit: UnitState | NoAnswer) -> bool:
    return isinstance(unit, UnitState) and unit.is_down


async def _ask(request: Request) -> UnitState | Verdict:
    """Ask for the unit's state until systemd answers; a verdict: it did not, and time is up."""
    patience = _Patience(request)
    while isinstance(answer := await _show(request, _share(request.deadline)), NoAnswer):
        verdict = judge_silence(answer)
        if not await patience.lasts(verdict):
            return verdict
    return answer


async def _validate(request: Request) -> UnitState | Verdict:
    """Return the unit's state where this host has all that the parameters name; else a verdict that says what not."""
    unit = await _ask(request)
    if isinstance(unit, Verdict):
        return unit
    verdict = judge_host(unit, check_hooks(request.parameters))
    return unit if verdict.code == ExitCode.SUCCESS else verdict


def _settle_drop_in(request: Request, unit: UnitState | NoAnswer, *, wanted: bool) -> bool | Verdict:
    """Have the drop-in stand or not, as wanted; return whether that is in force already, or why it cannot be."""
    path = drop_in_path(request.parameters.unit, request.run_directory)
    try:
        change = put_drop_in(request.parameters.unit, path) if wanted else remove_drop_in(path)
    except OSError as error:
        code = ExitCode.ERR_PERM if isinstance(error, PermissionError) else ExitCode.ERR_GENERIC
        return Verdict(code, f"drop-in {path} cannot be {'written' if wanted else 'removed'}: {error.strerror}")
    if change is not DropInChange.UNCHANGED:
        request.reporter.report(Noted(f"drop-in {path} {change}"))
        return False
    if isinstance(unit, NoAnswer):
        return True
    # It may have been changed by an action that was killed before it told systemd.
    return _is_in_force(unit, path, wanted=wanted)


def _is_in_force(unit: UnitState, path: Path, *, wanted: bool) -> bool:
    # NeedDaemonReload alone does not tell: systemd 252 overlooks a drop-in whose directory is new.
    return (str(path) in unit.drop_in_paths) is wanted and not unit.needs_daemon_reload


async def _has_taken_up(request: Request) -> bool:
    """Ask whether the drop-in is in force already, for to have all unit files read anew is what takes a start longest.

    A unit that is down and that no other names is forgotten between two questions, and loaded with its drop-ins by the
    next ("Unit garbage collection" in systemd.unit(5)).
    """
    path = drop_in_path(request.parameters.unit, request.run_directory)
    unit = await _show(request, _share(request.deadline))
    return isinstance(unit, UnitState) and _is_in_force(unit, path, wanted=True)


async def _reload_daemon(request: Request) -> str:
    """Have systemd read the drop-in, or its absence; return why it did not."""
    why = await request.systemd.daemon_reload(_share(request.deadline))
    if why:
        request.reporter.report(Warned(why))
    return why


async def _explained(request: Request, verdict: Verdict, unit: UnitState | NoAnswer, began: float) -> Verdict:
    """Add the unit's last words, since the start began, to a verdict that the unit is to blame for."""
    now = anyio.current_time()
    if verdict.code == ExitCode.SUCCESS or verdict.reason is None or not isinstance(unit, UnitState) or unit.is_running:
        return verdict
    line = await request.systemd.last_journal_line(now - began, min(now + _EXPLAIN_S, request.deadline))
    return replace(verdict, reason=quoting(verdict.reason, line))


class _Patience:
    """The pauses between looks: short at first, then longer, until the looks or the time are used up."""

    def __init__(self, request: Request, limit: int = 0) -> None:
        self._request = request
        self._looks_left = limit or None
        self._pause_s = _FIRST_PAUSE_S
        time_s = request.deadline - anyio.current_time()
        self._last_look_at = request.deadline - min(time_s * _LAST_LOOK_SHARE, _LAST_LOOK_MAX_S)

    async def lasts(self, so_far: Verdict) -> bool:
        """Pause before another look; False: there is to be none."""
        if self._looks_left is not None:
            self._looks_left -= 1
        pause_s = min(self._pause_s, self._request.parameters.poll_interval_s)
        if self._looks_left == 0 or anyio.current_time() + pause_s > self._last_look_at:
            return False
        self._request.reporter.report(Waiting(so_far, pause_s))
        await anyio.sleep(pause_s)
        self._pause_s *= _PAUSE_GROWTH
        return True


async def _until_judged(request: Request, look: Callable[[], Awaitable[Judgement]], limit: int = 0) -> Verdict:
    """Look until there is a verdict; at the deadline, or after `limit` looks, the last look's word counts."""
    patience = _Patience(request, limit)
    while True:
        match await look():
            case Verdict() as verdict:
                return verdict
            case KeepWaiting(at_deadline):
                if not await patience.lasts(at_deadline):
                    return at_deadline


def _share(deadline: float) -> float:
    """Return the deadline of one of several tries: half of what is left, so that another may follow."""
    time_left = deadline - anyio.current_time()
    return deadline if time_left < _WHOLE_REST_S else deadline - time_left / 2


def _leaving_time_to_look(deadline: float) -> float:
    return deadline - _OBSERVE_SHARE * (deadline - anyio.current_time())
