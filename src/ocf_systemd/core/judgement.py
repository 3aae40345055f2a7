"""What observations mean for the cluster: pure functions from observations to an `ActionResult` or `KeepWaiting`.

The rules:

1. The result is 7 only if the unit was observed down, or if its hook returned 7 in a recurring monitor or at the end of
   a reload. Exception: a probe whose `unit` parameter is not valid returns 7.
2. The result of a stop is 0 only if the unit was observed down. Exceptions: a stop whose `unit` parameter is not valid,
   and a stop on a host that systemd did not boot, return 0.
3. A unit is down if it is inactive or failed, and none of the processes that a stop must end is alive: its main process
   and, with KillMode=control-group or mixed, all processes in its cgroup. While such a process is alive, it may still
   write: a monitor returns 1, and a stop continues to wait.
4. The unit outranks the hook: a hook's result counts only for an active unit, and can make the action's result worse,
   never better. Exception: with stop_verify, a stop runs the hooks once the unit is down.
5. The agent waits while the unit is activating or deactivating, while it is inactive with a job queued, and while
   systemd does not answer. If that has not changed at the agent deadline (Pacemaker's timeout less a reserve), the
   result is 1, or 4 if systemd denied access to a stop.
6. From a probe (a monitor without interval, or with role=Stopped) Pacemaker learns where the service runs. A probe of
   an active unit returns 1 if the hook returned 2 to 7, because Pacemaker would take 5 and 7 as stopped, 2, 3 and 4 as
   a hard error, and 6 as a fatal error.
7. If a unit is not found and does not run, a probe returns 7, a stop 0, and every other action 5 (exceptions as in rule
   11). If a unit without a unit file still runs, its ActiveState decides. The same holds for a masked unit, but a start
   of it returns 5.
8. If a hook returns 8, 9 or 191, that counts as 1: these codes are for the promoted role, which this agent does not
   have, and Pacemaker would respond with the action demote.
9. If any of several hooks fails, its result counts; if several fail, the result of the first by name counts. If some
   hooks return 7, but not all, that is a failure, too: 1.
10. A start returns 0 once the unit runs and the hook reports running (0 or 190). It fails at once if waiting cannot
    change the result any more. It never returns 7.
11. On a host that systemd did not boot, no unit can run: stop returns 0, and every other action 5. Exceptions:
    meta-data, and validate-all below check level 10, do not need systemd.

An exit reason begins with what failed and its message, and ends with numbers, because Pacemaker before 3.0.2 keeps
only 128 bytes of it.

Sources: the OCF resource agent API 1.1; systemd's org.freedesktop.systemd1(5); Pacemaker Explained, "How Pacemaker
Interprets OCF Return Codes".
"""

from collections.abc import Mapping
from typing import assert_never

from ocf_systemd.core.hook_protocol import HookProtocol, exit_code_of
from ocf_systemd.core.observations import (
    ActiveState,
    CommandOutcome,
    Exited,
    HookAttempted,
    HookMissing,
    HookOutcome,
    HookStuck,
    HookUnsafe,
    JobOutcome,
    JobResult,
    LoadState,
    NoAnswer,
    NotStarted,
    Observation,
    Process,
    Signalled,
    TimedOut,
    UnitState,
)
from ocf_systemd.core.ocf import HARD_ERRORS, REASON_PREFIX, Action, ActionResult, ExitCode
from ocf_systemd.core.records import Record, replace
from ocf_systemd.core.text import printable, printed_lines

RUNNING = ActionResult(ExitCode.SUCCESS)
ALLOWED = ActionResult(ExitCode.SUCCESS)
PASSING_CODES = frozenset({ExitCode.SUCCESS, ExitCode.DEGRADED})
"""A hook that exits with one of these reports running."""

QUOTED_MAX = 300
"""A reason quotes at most this many characters of a line of the journal, or of a hook's message."""


# A probe of an active unit returns 1 instead of these codes of a hook (rule 6).
_NOT_FOR_PROBES = HARD_ERRORS | {ExitCode.ERR_CONFIGURED, ExitCode.NOT_RUNNING}

_MEANINGS: Mapping[int, str] = {ExitCode.NOT_RUNNING: "not running", ExitCode.DEGRADED: "degraded"}


class KeepWaiting(Record):
    """There is no result yet: the action must poll again, that is query the unit and run its hooks once more.

    If `spaced`, the pause before that poll is a whole poll_interval. `at_deadline` is the result if no time is left for
    another poll. If hooks have timed out, `timed_out_after_s` is the longest time that one of them ran, in seconds.
    """

    at_deadline: ActionResult
    spaced: bool = False
    timed_out_after_s: float = 0.0


Judgement = ActionResult | KeepWaiting


def judge_monitor(observation: Observation, *, probe: bool, protocol: HookProtocol) -> Judgement:
    """Judge one observation of a monitor; a probe reports whether the unit runs, not why it does not."""
    match observation.unit:
        case NoAnswer() as no_answer:
            return KeepWaiting(judge_no_answer(no_answer))
        case UnitState(is_running=True):
            result = judge_hooks(observation.hooks, protocol)
            if probe and result.code in _NOT_FOR_PROBES:
                return replace(result, code=ExitCode.ERR_GENERIC)
            return result
        case UnitState(is_inactive=True, has_job=False) as unit:
            return _judge_inactive(unit, probe=probe)
        case UnitState(is_inactive=True) as unit:  # e.g. systemd restarts a unit that this one requires
            return KeepWaiting(_failed(_describe(unit, "start job queued")))
        case unit:
            return KeepWaiting(_failed(_describe(unit)))


def _judge_inactive(unit: UnitState, *, probe: bool) -> ActionResult:
    if unit.remaining:
        return _failed(_not_stopped(unit))
    if unit.load_state is LoadState.NOT_FOUND and not probe:
        return ActionResult(ExitCode.ERR_INSTALLED, f"{unit.unit} not found")
    return ActionResult(ExitCode.NOT_RUNNING, None if probe else _describe(unit))


def judge_unbooted(action: Action) -> ActionResult:
    """Judge an action on a host that systemd did not boot (sd_booted(3)): no unit can run here."""
    if action is Action.STOP:
        return ActionResult(ExitCode.SUCCESS)
    return ActionResult(ExitCode.ERR_INSTALLED, "this host was not booted by systemd")


def judge_start_request(unit: UnitState) -> ActionResult:
    """Judge whether a start can be requested: `ALLOWED`, or why not."""
    match unit:
        case UnitState(is_running=False, load_state=LoadState.NOT_FOUND):
            return ActionResult(ExitCode.ERR_INSTALLED, f"{unit.unit} not found")
        case UnitState(load_state=LoadState.MASKED):
            return ActionResult(ExitCode.ERR_INSTALLED, f"{unit.unit} masked")
        case UnitState(is_running=False, load_state=LoadState.BAD_SETTING | LoadState.ERROR):
            return ActionResult(ExitCode.ERR_INSTALLED, f"{unit.unit} does not load: {unit.load_state}")
        case _:
            return ALLOWED


def judge_start(observation: Observation, job: JobOutcome, protocol: HookProtocol) -> Judgement:
    """Judge one observation after `systemctl start`, which ended with `job`."""
    match observation.unit:
        case NoAnswer() as no_answer:
            return KeepWaiting(judge_no_answer(no_answer))
        case UnitState(is_running=True):
            return _judge_started_hooks(observation.hooks, protocol)
        case UnitState(is_inactive=True, has_job=False) as unit:
            return _judge_failed_start(unit, job)
        case unit:
            return KeepWaiting(_failed(_describe(unit)))


def _judge_started_hooks(hooks: tuple[HookOutcome, ...], protocol: HookProtocol) -> Judgement:
    if unrunnable := _unrunnable(hooks):
        return judge_hooks(unrunnable, protocol)
    result = judge_hooks(hooks, protocol)
    if result.code in PASSING_CODES:
        return RUNNING
    return KeepWaiting(ActionResult(ExitCode.ERR_GENERIC, result.reason), timed_out_after_s=_timed_out_after_s(hooks))


def _timed_out_after_s(hooks: tuple[HookOutcome, ...]) -> float:
    outcomes = (hook.outcome for hook in hooks if isinstance(hook, HookAttempted))
    return max((outcome.elapsed_s for outcome in outcomes if isinstance(outcome, TimedOut)), default=0.0)


def _unrunnable(hooks: tuple[HookOutcome, ...]) -> tuple[HookOutcome, ...]:
    """Return the hooks that cannot be run, however long the action waits."""
    return tuple(hook for hook in hooks if isinstance(hook, HookMissing | HookUnsafe))


def _judge_failed_start(unit: UnitState, job: JobOutcome) -> Judgement:
    if job.result is JobResult.LOST:  # a state `failed` may be that of an earlier run
        return KeepWaiting(_failed(f"{_describe(unit)}: systemctl start: {job.message or 'no job was queued'}"))
    code = ExitCode.ERR_PERM if job.result is JobResult.ACCESS_DENIED else ExitCode.ERR_GENERIC
    return ActionResult(code, _describe(unit, *_describe_job("start", unit, job)))


def _describe_job(verb: str, unit: UnitState, job: JobOutcome) -> tuple[str, ...]:
    """Return what a job's result explains beyond the unit's state, as details of a reason; empty: nothing."""
    is_failed = unit.active_state is ActiveState.FAILED
    match job.result:
        case JobResult.DONE if not unit.condition_met:
            return (f"{verb} job done, condition not met",)
        case JobResult.DONE:
            return () if is_failed else (f"{verb} job done",)
        case JobResult.FAILED if is_failed:
            return ()
        case JobResult.ACCESS_DENIED | JobResult.REFUSE_MANUAL:
            return (job.message.removeprefix(f"Failed to {verb} {unit.id}: "),)
        case JobResult.PENDING | JobResult.LOST:
            return (job.message,) if job.message else ()
        case _:
            return (f"{verb} job {job.result}",)


def judge_stop(observation: Observation, job: JobOutcome, *, verify: bool, protocol: HookProtocol) -> Judgement:
    """Judge one observation after `systemctl stop`; with `verify` the hook must report not running as well."""
    match observation.unit:
        case NoAnswer() as no_answer:
            return KeepWaiting(judge_no_answer(no_answer))
        case UnitState(is_inactive=True, has_job=True) as unit:  # the job may start the unit again
            return KeepWaiting(_failed(_describe(unit, "a job queued", *filter(None, (job.message,)))))
        case UnitState(is_down=True):
            return _judge_stopped_hooks(observation.hooks, protocol) if verify else ActionResult(ExitCode.SUCCESS)
        case UnitState(is_inactive=True) as unit:
            return KeepWaiting(_failed(_not_stopped(unit)))
        case unit:
            return KeepWaiting(_judge_failed_stop(unit, job))


def _judge_failed_stop(unit: UnitState, job: JobOutcome) -> ActionResult:
    code = ExitCode.ERR_PERM if job.result is JobResult.ACCESS_DENIED else ExitCode.ERR_GENERIC
    described = () if job.result is JobResult.DONE else _describe_job("stop", unit, job)
    return ActionResult(code, _describe(unit, *described))


def _judge_stopped_hooks(hooks: tuple[HookOutcome, ...], protocol: HookProtocol) -> Judgement:
    # A hook that cannot be run never returns 7. If it made the stop fail, Pacemaker would fence the node.
    ran = tuple(hook for hook in hooks if isinstance(hook, HookAttempted))
    result = judge_hooks(ran, protocol)
    if not ran or result.code == ExitCode.NOT_RUNNING:
        return ActionResult(ExitCode.SUCCESS)
    described = result.reason or f"hook {_base_name(ran[0].hook)}: running"
    waiting = _failed(f"{described}, expected not running after stop")
    return KeepWaiting(waiting, timed_out_after_s=_timed_out_after_s(hooks))


def judge_reload_request(unit: UnitState) -> ActionResult:
    """Judge whether a running unit can reload: `ALLOWED`, or why not."""
    if unit.can_reload:
        return ALLOWED
    return ActionResult(ExitCode.ERR_UNIMPLEMENTED, f"{unit.unit} cannot reload: it has no ExecReload=")


def judge_reload(observation: Observation, job: JobOutcome, protocol: HookProtocol) -> Judgement:
    """Judge one observation after `systemctl reload`: like a monitor, but a hook that fails runs again."""
    judgement = judge_monitor(observation, probe=False, protocol=protocol)
    if isinstance(judgement, KeepWaiting):
        return judgement
    if judgement.code in PASSING_CODES:
        return _judge_reload_job(judgement, job, observation.unit)
    if not observation.unit.is_running or _unrunnable(observation.hooks):
        return judgement
    return KeepWaiting(judgement, timed_out_after_s=_timed_out_after_s(observation.hooks))


def _judge_reload_job(monitored: ActionResult, job: JobOutcome, unit: UnitState | NoAnswer) -> Judgement:
    if job.result is JobResult.DONE or not isinstance(unit, UnitState):
        return monitored
    result = _failed(_quoting(f"{unit.unit} not reloaded: reload job {job.result}", job.message))
    return KeepWaiting(result) if job.result is JobResult.LOST else result


def judge_host(unit: UnitState, problems: tuple[HookOutcome, ...]) -> ActionResult:
    """Judge whether this host has what the parameters name: a unit that loads, hooks that exist and are safe."""
    refusal = judge_start_request(unit)
    return refusal if refusal.code != ExitCode.SUCCESS else judge_hooks(problems, HookProtocol.OCF)


def judge_no_answer(silence: NoAnswer) -> ActionResult:
    """Return the result if systemd does not report the unit's state: 1, not 7, because the unit may run."""
    return ActionResult(ExitCode.ERR_GENERIC, f"systemd does not answer: {silence.why}")


def judge_hooks(hooks: tuple[HookOutcome, ...], protocol: HookProtocol) -> ActionResult:
    """Judge the outcomes of all hooks together, in the order of their names; without hooks the result is running."""
    judged = [(_base_name(hook.hook), judge_hook(hook, protocol)) for hook in hooks]
    for _, result in judged:
        if result.code not in PASSING_CODES | {ExitCode.NOT_RUNNING}:
            return result
    down = [name for name, result in judged if result.code == ExitCode.NOT_RUNNING]
    if down and len(down) < len(judged):
        up = [name for name, result in judged if result.code in PASSING_CODES]
        return _failed(f"hooks disagree: {', '.join(down)} not running; {', '.join(up)} running")
    # Here either all hooks have returned 7, or all have returned 0 or 190.
    return max((result for _, result in judged), key=lambda result: result.code, default=RUNNING)


def _base_name(path: str) -> str:
    return printable(path.rstrip("/").rpartition("/")[2])


def judge_hook(hook: HookOutcome, protocol: HookProtocol) -> ActionResult:
    """Judge the outcome of one hook."""
    name = f"hook {_base_name(hook.hook)}"
    match hook:
        case HookAttempted(outcome=outcome):
            return _judge_outcome(name, outcome, protocol)
        case HookMissing(why=why):
            return ActionResult(ExitCode.ERR_INSTALLED, f"{name}: cannot be run: {printable(why)}")
        case HookUnsafe(why=why):
            return ActionResult(ExitCode.ERR_PERM, f"{name}: not safe to run: {printable(why)}")
        case HookStuck(survivor=survivor):
            return _failed(f"{name}: not started, its last run cannot be killed: {describe_process(survivor)}")
        case _:
            assert_never(hook)


def _judge_outcome(name: str, outcome: CommandOutcome, protocol: HookProtocol) -> ActionResult:
    match outcome:
        case Exited(code=raw):
            return _judge_exit(name, _message(outcome, protocol), raw, protocol)
        case Signalled():
            return _failed(_hook_reason(name, _message(outcome, protocol), f"killed by {outcome.signal_name}"))
        case TimedOut(survivors=(survivor, *_)):
            return _failed(f"{name}: cannot be killed: {describe_process(survivor)} ({_after(outcome)})")
        case TimedOut():
            return _failed(_hook_reason(name, _message(outcome, protocol), _after(outcome)))
        case NotStarted(why=why):
            return _failed(f"{name}: cannot be started: {why}")
        case _:
            assert_never(outcome)


def _judge_exit(name: str, message: str, raw: int, protocol: HookProtocol) -> ActionResult:
    code = exit_code_of(raw, protocol)
    if code == ExitCode.SUCCESS:
        return RUNNING
    return ActionResult(code, _hook_reason(name, message or _MEANINGS.get(code, "failed"), f"exit {raw}"))


def _message(outcome: Exited | Signalled | TimedOut, protocol: HookProtocol) -> str:
    """Return the message of a hook, at most `QUOTED_MAX` characters.

    The message is the last `ocf_exit_reason` on standard error (ocf-shellfuncs); without one, it is the last line of
    standard error or else of standard output. With the protocol nagios, it is the first line of standard output
    (if any), without performance data ("Plugin Output" in the Nagios plugin API).
    """
    if protocol is HookProtocol.NAGIOS and (lines := printed_lines(outcome.stdout)):
        message = lines[0].partition("|")[0].rstrip()
    else:
        reasons = [line for line in printed_lines(outcome.stderr) if line.startswith(REASON_PREFIX)]
        message = reasons[-1] if reasons else outcome.last_line
    return message.removeprefix(REASON_PREFIX).strip()[:QUOTED_MAX]


def _hook_reason(name: str, message: str, numbers: str) -> str:
    return f"{name}: {message} ({numbers})" if message else f"{name}: {numbers}"


def _after(outcome: TimedOut) -> str:
    return f"timed out after {outcome.elapsed_s:.1f} s"


def _failed(reason: str) -> ActionResult:
    return ActionResult(ExitCode.ERR_GENERIC, reason)


def _quoting(described: str, message: str) -> str:
    return f"{described}: {message[:QUOTED_MAX]}" if message else described


def with_log_line(result: ActionResult, last_log_line: str) -> ActionResult:
    """Return the result with a log line of the unit added to its reason, at most `QUOTED_MAX` characters of it."""
    return replace(result, reason=_quoting(result.reason or "", last_log_line))


def describe_process(process: Process) -> str:
    """Return which process it is, and whether a signal can end it: `ls[812] in uninterruptible sleep`."""
    return f"{process} {'in uninterruptible sleep' if process.is_uninterruptible else 'alive'}"


def _not_stopped(unit: UnitState) -> str:
    # The reason names only one process: if there is one that no signal can end, that one.
    first, *others = sorted(unit.remaining, key=lambda process: not process.is_uninterruptible)
    more = f" and {len(others)} more" if others else ""
    return f"{unit.unit} {unit.active_state}, but not stopped: {describe_process(first)}{more}"


def _describe(unit: UnitState, *more: str) -> str:
    """Return a unit's state with the details that explain it: "postfix.service failed: exit-code, status 1"."""
    details = [*more]
    if unit.active_state is ActiveState.FAILED or unit.result not in {"", "success"}:
        details += [unit.result] if unit.result else []
        details += [unit.main_exit] if unit.main_exit else []
    elif unit.sub_state not in {"", unit.active_state, "dead"}:
        details.append(unit.sub_state)
    described = f"{unit.unit} {unit.active_state}"
    return f"{described}: {', '.join(details)}" if details else described
