"""The guarantees, rule by rule: what must be true of every action, under any fault.

The rules judge by what really was, and by what the action can have observed of it; never by how it came to its result.
"""

from __future__ import annotations

from itertools import pairwise
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from ocf_systemd.core.observations import (
    DOWN_STATES,
    RUNNING_STATES,
    ActiveState,
    Exited,
    LoadState,
    NotStarted,
    Signalled,
)
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameter_table import MONITOR_HOOK_ARGS
from tests.simulation.expectations import expected_code
from tests.simulation.hooks import HINDERED, Place
from tests.simulation.table import (
    ERRORS_OF_FILES,
    PASSING,
    Look,
    Row,
    hook_code,
    is_hook_due,
    last_look,
    row_of,
)
from tests.simulation.timeline import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ocf_systemd.core.ocf import ActionResult
    from tests.simulation.records import Account, Call, Glimpse

_EPSILON_S = 1e-6
_ENDING_S = 1.1  # between the SIGTERM of a command and the moment in which it is given up
_LAST_LOOK_SHARE, _LAST_LOOK_MAX_S = 0.1, 0.5
_LOG_LINE_SHARE, _LOG_LINE_MAX_S = 0.05, 0.25  # kept for the last log line of a unit that failed
_HOST_LEVEL = 10
_LOOKS = frozenset({"show", "hook"})
_VERBS = {
    Action.MONITOR: _LOOKS,
    Action.VALIDATE_ALL: frozenset({"show"}),
    Action.RELOAD_AGENT: frozenset({"show", "daemon-reload"}),
    Action.RELOAD: _LOOKS | {"reload"},
    Action.START: _LOOKS | {"daemon-reload", "reset-failed", "start", "journal"},
    Action.STOP: _LOOKS | {"daemon-reload", "stop", "list-jobs", "stop at once", "journal"},
}
_CODES = {
    Action.START: frozenset({0, 1, 4, 5}),
    Action.STOP: frozenset({0, 1, 4}),
    Action.RELOAD_AGENT: frozenset({0, 1, 4, 5}),
    Action.VALIDATE_ALL: frozenset({0, 1, 4, 5}),
}
_PATIENT = frozenset({Action.START, Action.STOP, Action.MONITOR, Action.RELOAD})


def broken_guarantees(account: Account) -> Iterator[str]:
    """Yield the guarantees that an action broke, each with what shows it."""
    for rule in _ALWAYS:
        yield from (f"{account.action}: {breach}" for breach in rule(account))
    if account.result is not None:
        for judge in _of_results(account):
            yield from (
                f"{account.action} = {account.result.code}: {breach}" for breach in judge(account, account.result)
            )


def _of_results(account: Account) -> tuple[Callable[[Account, ActionResult], Iterator[str]], ...]:
    if account.step.wrong and (not account.was_performed or not _is_lenient(account)):
        return (_gives_a_reason, _handles_wrong_parameters)
    if not account.plan.is_booted:
        return (_gives_a_reason, _knows_a_host_without_systemd)
    return (*_OF_RESULTS, _handles_wrong_parameters) if account.step.wrong else _OF_RESULTS


def _is_in_time(account: Account) -> Iterator[str]:
    """Hold it to the agent deadline, which is ahead of Pacemaker's; a signal ends it sooner."""
    latest = max(account.deadline, account.began)
    if account.ended > latest + _EPSILON_S:
        yield f"ended {account.ended - latest:.3f} s after the agent deadline"
    if account.interrupted_by and account.ended > account.interrupted_at + _ENDING_S + _EPSILON_S:
        yield f"ended {account.ended - account.interrupted_at:.3f} s after {account.interrupted_by.name}"
    for call in account.calls:
        if call.deadline > latest + _EPSILON_S:
            yield f"{call.verb} was given until {call.deadline - latest:.3f} s after the deadline"


def _leaves_nothing_running(account: Account) -> Iterator[str]:
    """Whatever it started has ended when it has."""
    if account.left_running:
        yield f"left {account.left_running} commands running"


def _leaves_no_request(account: Account) -> Iterator[str]:
    """No request of it reaches systemd later, but for what was sent before and waited in the socket of a busy one."""
    for call in account.calls:
        if account.ended + _EPSILON_S < call.sent_at < FOREVER:
            yield f"sent a request to {call.verb} {call.sent_at - account.ended:.3f} s after its end"


def _does_no_more_than_its_part(account: Account) -> Iterator[str]:
    """Hold a monitor to looking, and each other action to what it is for."""
    for verb in sorted({call.verb for call in account.calls} - _VERBS[account.action]):
        yield f"ran {verb}"
    if account.action is Action.VALIDATE_ALL and account.operation.check_level < _HOST_LEVEL and account.calls:
        yield "looked at the host below check level 10"


def _kills_only_late(account: Account) -> Iterator[str]:
    """SIGKILL only from a stop of a service, with stop_escalate, in its last part.

    Sooner only where systemd refuses to stop the unit, which SIGTERM is sent to then, and as long after that.
    """
    refused = min((call.ended for call in account.of("stop") if _was_refused(call)), default=FOREVER)
    allowed = min(account.deadline - account.escalation_s, refused + account.escalation_s)
    may_kill = account.parameters.stop_escalate and account.parameters.unit.endswith(".service")
    for signal in account.signals:
        if account.action is not Action.STOP or not may_kill:
            yield f"sent {signal.number.name} to the unit's processes"
        elif signal.number is SIGTERM and signal.at < refused - _EPSILON_S:
            yield "sent SIGTERM to a unit that systemd stops"
        elif signal.number is SIGKILL and signal.at < allowed - _EPSILON_S:
            yield f"killed the unit {signal.at - account.began:.3f} s into {account.time_s:.3f} s"


def _ignores_dependencies_only_at_shutdown(account: Account) -> Iterator[str]:
    """--job-mode=ignore-dependencies leaves units running that require this one: only ahead of Pacemaker's stop."""
    if any(call.taken_at < FOREVER and not call.at_shutdown for call in account.of("stop at once")):
        yield "stopped the unit without regard to dependencies, and the host was not shutting down"


def _runs_hooks_only_when_due(account: Account) -> Iterator[str]:
    """No hook below its level; a stop's only when observed down, to verify.

    A gated one, and each one of a probe, only of a unit observed running.
    """
    shows = [call for call in account.of("show") if call.glimpse]
    for hook in account.of("hook"):
        observed = [show.glimpse for show in shows if show.ended <= hook.began]
        if account.action is Action.STOP:
            if not account.parameters.stop_verify or not any(map(_is_stopped, observed)):
                yield "ran a hook that had nothing to verify"
        elif not is_hook_due(account):
            yield "ran a hook below its level"
        elif (account.parameters.gated or account.is_probe) and not (observed and _is_running(observed[-1])):
            yield f"ran a hook of a {'probe' if account.is_probe else 'gated monitor'} before the unit was known to run"


def _runs_no_hook_that_is_stuck(account: Account) -> Iterator[str]:
    """Do not let pile up what cannot be killed."""
    for program, since in account.stuck:
        if any(call.program == program and call.began > since + _EPSILON_S for call in account.of("hook")):
            yield "started a hook whose last run cannot be killed"


def _keeps_to_its_limits(account: Account) -> Iterator[str]:
    """start_poll_limit and stop_poll_limit bound the looks."""
    parameters = account.parameters
    if account.action is Action.START and (limit := parameters.start_poll_limit):
        first = min((call.began for call in account.of("start")), default=account.ended)
        if (looks := _count_looks([call for call in account.of("show") if call.began >= first])) > limit:
            yield f"looked {looks} times, limit {limit}"
    if account.action is Action.STOP and (limit := parameters.stop_poll_limit) and len(account.of("stop")) > limit:
        yield f"requested {len(account.of('stop'))} times, limit {limit}"


def _count_looks(shows: Sequence[Call]) -> int:
    """Return how often an action looked: one that finds processes of an inactive unit queries the state again."""
    looks, is_second = 0, False
    for call in shows:
        looks += not is_second
        is_second = not is_second and call.glimpse is not None and call.glimpse.is_inactive and call.glimpse.remains
    return looks


def _spaces_its_tries(account: Account) -> Iterator[str]:
    """Hold a monitor of a unit that runs throughout to its retries, poll_interval apart."""
    if account.action is not Action.MONITOR or not _always_ran(account):
        return
    parameters = account.parameters
    runs: dict[str, list[Call]] = {}
    for call in account.of("hook"):
        runs.setdefault(call.program, []).append(call)
    for calls in runs.values():
        if len(calls) > parameters.monitor_hook_retries + 1:
            yield f"ran a hook {len(calls)} times"
        for first, second in pairwise(calls):
            if second.began < first.ended + parameters.poll_interval_s - _EPSILON_S:
                yield f"tried a hook again after {second.began - first.ended:.3f} s"


def _always_ran(account: Account) -> bool:
    """Return whether every query returned a state, and the unit was running."""
    return all(call.glimpse is not None and call.glimpse.is_running for call in account.of("show"))


def _starts_with_the_drop_in_in_force(account: Account) -> Iterator[str]:
    """Request a start only once systemd knows the drop-in, Restart=no included, or knows that there is none."""
    wanted = account.parameters.order_at_shutdown
    if account.is_undisturbed and any(call.knew_drop_in is (not wanted) for call in account.of("start")):
        yield f"started the unit before the drop-in was in force as wanted: {wanted}"


def _reloads_only_for_cause(account: Account) -> Iterator[str]:
    """Let no daemon-reload, which holds up all of systemd, come before a stop, or once another has made it needless."""
    shows = [call for call in account.of("show") if call.glimpse]
    for reload in account.of("daemon-reload"):
        observed = [show.glimpse for show in shows if show.ended <= reload.began]
        if account.action is Action.STOP and not any(map(_is_down, observed)):
            yield "had systemd reload before the unit was observed down"
        if account.action is Action.STOP and not (observed and _knows_drop_in(observed[-1])):
            yield "had systemd reload although it did not know the drop-in any more"
        if account.is_untroubled and _is_needless(account, reload, observed[-1] if observed else None):
            yield "had systemd reload although it knew all that was wanted"


def _is_needless(account: Account, reload: Call, observed: Glimpse | None) -> bool:
    """Return whether systemd knew all that an action wants of it.

    Any request has a forgotten unit loaded again: if last observed idle, not only after the last process ended.
    """
    if reload.knew_drop_in is None or account.plan.disk_is_broken:
        return False
    if account.plan.character.is_forgotten and not (account.in_quiet and observed is not None and _is_idle(observed)):
        return False
    wanted = account.action is not Action.STOP and account.parameters.order_at_shutdown
    is_loaded = reload.knew_load is LoadState.LOADED or account.action is Action.STOP
    return is_loaded and reload.knew_drop_in is wanted


def _is_idle(glimpse: Glimpse) -> bool:
    return glimpse.active is ActiveState.INACTIVE and not glimpse.has_job and not glimpse.leaves


def _gives_a_reason(account: Account, result: ActionResult) -> Iterator[str]:
    """Every code but 0, and a probe's 7, carries a reason of one line."""
    if not result.reason and result.code and not (account.is_probe and result.code == 7):
        yield "no reason"
    if result.reason and "\n" in result.reason:
        yield "a reason of several lines"
    if result.code not in {6} | _CODES.get(account.action, frozenset(range(256))):
        yield "not a code of this action"


def _is_lenient(account: Account) -> bool:
    """Return whether a wrong parameter does not make the action fail, so that no typing error fences a node."""
    return account.is_probe or account.action is Action.STOP


def _handles_wrong_parameters(account: Account, result: ActionResult) -> Iterator[str]:
    """6 and each value named, at once; a probe assumes the unit alone and a stop the defaults, with a warning."""
    wrong = account.step.wrong
    reported = "; ".join(account.warnings) if _is_lenient(account) else result.reason or ""
    if unnamed := [name for name, value in wrong.items() if not _names(reported, name, value)]:
        yield f"did not name {', '.join(unnamed)}"
    if account.is_probe and account.of("hook"):
        yield "ran a hook with wrong parameters"
    if not account.was_performed and (account.calls or account.took_s > _EPSILON_S):
        yield "went on with wrong parameters"
    if _is_lenient(account) and "unit" not in wrong:
        if not account.was_performed:
            yield "failed for a wrong parameter"
        return
    expected = 6 if not _is_lenient(account) else 7 if account.is_probe else 0
    if result.code != expected:
        yield f"wrong parameters mean {expected}"


def _names(text: str, name: str, value: str) -> bool:
    if name == MONITOR_HOOK_ARGS.name:  # they may be confidential
        return f"{name} " in text and f"{name}=" not in text
    return f"{name}='{value}'" in text or (not value and f"{name} is not set" in text)


def _knows_a_host_without_systemd(account: Account, result: ActionResult) -> Iterator[str]:
    """Nothing can run where systemd did not boot the host: stop is 0, everything else that needs it 5, at once."""
    validates_values = account.action is Action.VALIDATE_ALL and account.operation.check_level < _HOST_LEVEL
    expected = 0 if validates_values or account.action is Action.STOP else 5
    if result.code != expected:
        yield f"expected {expected} on a host without systemd"
    if account.calls or account.took_s > _EPSILON_S:
        yield "queried systemd on a host that it did not boot"


def _returns_7_only_if_down(account: Account, result: ActionResult) -> Iterator[str]:
    """Down according to systemd, nothing of it alive; or running, and each hook returned 7, but never in a probe."""
    if result.code != 7:
        return
    glimpse = last_look(account).glimpse
    if glimpse is None:
        yield "systemd had not answered"
    elif glimpse.is_inactive and glimpse.has_job:
        yield "a job was queued that starts the unit"
    elif glimpse.is_inactive and glimpse.remains:
        yield "a process of the unit was alive"
    elif glimpse.is_down and not account.states & DOWN_STATES:
        yield "the unit was not down at any moment"
    elif not glimpse.is_down and account.is_probe:
        yield f"a probe of a unit that was {glimpse.active}"
    elif not glimpse.is_down and not _hooks_return(account, {7}):
        yield f"the unit was {glimpse.active}, and not every hook returned 7"


def _reports_running_only_if_running(account: Account, result: ActionResult) -> Iterator[str]:
    """0 and 190 from start, monitor and reload: the unit ran, and every hook that was due passed."""
    if result.code not in PASSING or account.action not in {Action.START, Action.MONITOR, Action.RELOAD}:
        return
    glimpse = last_look(account).glimpse
    if glimpse is None or not glimpse.is_running or not account.states & RUNNING_STATES:
        yield f"the unit was last observed {glimpse.active if glimpse else 'not at all'}"
    elif is_hook_due(account) and not _hooks_return(account, PASSING):
        yield "not every hook passed"
    if account.action is Action.RELOAD and not any(_succeeded(call) for call in account.of("reload")[-1:]):
        yield "the reload was not done"


def _returns_0_from_stop_only_if_down(account: Account, result: ActionResult) -> Iterator[str]:
    """0 from stop: down according to systemd, after the request, and nothing of it alive.

    With stop_verify every hook that can run reported that it is not running.
    """
    if account.action is not Action.STOP or result.code:
        return
    requested = min((call.ended for call in account.of("stop")), default=account.ended)
    observed = [call.glimpse for call in account.of("show") if call.began >= requested and call.glimpse]
    if not any(map(_is_down, observed)):
        is_alive = any(glimpse.is_inactive and glimpse.remains for glimpse in observed)
        yield "a process of the unit was alive" if is_alive else "systemd had not reported the unit down"
    after = account.after.glimpse
    if account.is_undisturbed and after.is_inactive and after.remains:
        yield "a process of the unit is alive"
    if account.parameters.stop_verify and account.place not in HINDERED:
        last = {call.program: call.outcome for call in account.of("hook")}
        stuck = {program for program, since in account.stuck if since < account.of("show")[-1].began}
        able = [out for program, out in last.items() if program not in stuck and not _is_hindered(out)]
        if not all(isinstance(outcome, Exited) and _means_down(account, outcome.code) for outcome in able):
            yield "not every hook returned 7"
        elif not last and not account.stuck:
            yield "no hook was run"


def _means_down(account: Account, code: int) -> bool:
    return hook_code(code, account.parameters.monitor_hook_protocol) == 7


def _reports_what_it_saw(account: Account, result: ActionResult) -> Iterator[str]:
    """Hold a monitor, a probe and a reload to the table, to the letter."""
    if account.action not in {Action.MONITOR, Action.RELOAD}:
        return
    look = last_look(account)
    row = row_of(account, look)
    if account.action is Action.RELOAD and _is_of_the_reload(result, look, row):
        return
    if result.code != row.code:
        yield f"the last look means {row.code}: {row.name}"


def _is_of_the_reload(result: ActionResult, look: Look, row: Row) -> bool:
    if result.code == 3:
        return look.glimpse is not None and look.glimpse.is_running and not look.glimpse.can_reload
    return result.code == 1 and row.code in PASSING


def _blames_the_host_for_cause(account: Account, result: ActionResult) -> Iterator[str]:
    """5 and 4 are hard errors: only for what is not there, not safe, or not allowed."""
    if account.action in {Action.MONITOR, Action.RELOAD}:
        return
    glimpses = [call.glimpse for call in account.of("show") if call.glimpse]
    if result.code == 5:
        cannot_start = any(glimpse.cannot_start for glimpse in glimpses)
        hindered = account.place in HINDERED or any(_is_hindered(call.outcome) for call in account.of("hook"))
        if not cannot_start and not hindered:
            yield "everything was there"
    if result.code == 4 and account.place is not Place.UNSAFE and not any(map(_was_denied, account.calls)):
        yield "nothing was unsafe or denied"
    if result.code == 6:
        yield "every parameter was right"


def _looks_for_a_unit_file(account: Account, result: ActionResult) -> Iterator[str]:
    """Report a missing unit from a start only after a daemon-reload."""
    glimpse = last_look(account).glimpse
    if account.action is not Action.START or result.code != 5 or glimpse is None or account.place in HINDERED:
        return
    reloaded = [call for call in account.of("daemon-reload") if call.taken_at <= account.ended]
    if glimpse.load is LoadState.NOT_FOUND and glimpse.cannot_start and not reloaded:
        yield "systemd has not read its unit files again"


def _gives_up_late(account: Account, result: ActionResult) -> Iterator[str]:
    """Where another look might have helped there was one: it gives up at its deadline, or at its limit of looks."""
    if account.action not in _PATIENT or account.plan.disk_is_broken or _is_final(account, result):
        return
    is_spaced = account.action is Action.MONITOR and _is_running(last_look(account).glimpse)
    last_pause_s = account.parameters.poll_interval_s if is_spaced else 0.0
    last_look_s = min(_LAST_LOOK_SHARE * account.time_s, _LAST_LOOK_MAX_S)
    if account.action in {Action.START, Action.STOP}:
        last_look_s += min(_LOG_LINE_SHARE * account.time_s, _LOG_LINE_MAX_S)
    if account.ended < account.deadline - last_look_s - last_pause_s - _EPSILON_S:
        yield f"gave up {account.deadline - account.ended:.3f} s before its deadline"


def _is_final(account: Account, result: ActionResult) -> bool:
    """Return whether another look could not change anything, or none was left."""
    glimpse = last_look(account).glimpse
    match account.action:
        case Action.START:
            is_over = glimpse is not None and glimpse.is_inactive and not glimpse.has_job
            is_over = is_over and not _is_lost(account.of("start")[-1:])
            return result.code != 1 or bool(account.parameters.start_poll_limit) or is_over
        case Action.STOP:
            return result.code != 1 or bool(account.parameters.stop_poll_limit)
        case Action.RELOAD if not account.of("reload") or not _is_running(glimpse):
            return result.code != 1 or not _is_between_states(glimpse)
        case Action.RELOAD:
            is_hindered = account.place in HINDERED or any(_is_hindered(call.outcome) for call in account.of("hook"))
            return is_hindered or row_of(account, last_look(account)).code in PASSING
        case _ if _is_running(glimpse):  # the hook's result
            tries = account.parameters.monitor_hook_retries + 1
            return result.code in PASSING or not _always_ran(account) or len(account.of("show")) >= tries
        case _:
            return result.code != 1 or not _is_between_states(glimpse)


def _is_between_states(glimpse: Glimpse | None) -> bool:
    return glimpse is None or not (glimpse.is_running or glimpse.is_inactive) or glimpse.has_job


def _has_the_drop_in_in_force(account: Account, result: ActionResult) -> Iterator[str]:
    """After a start that succeeded systemd knows the drop-in, or its absence, as wanted; after a stop it is gone."""
    if result.code or not account.is_undisturbed or account.plan.disk_is_broken:
        return
    after = account.after
    wanted = account.parameters.order_at_shutdown
    if account.action is Action.START and {after.drop_in_stands, after.drop_in_is_known} != {wanted}:
        yield f"the drop-in stands: {after.drop_in_stands}, is known: {after.drop_in_is_known}, wanted: {wanted}"
    if account.action is Action.STOP and after.drop_in_stands:
        yield "the drop-in still stands"


def _stops_whatever_comes_of_the_drop_in(account: Account, result: ActionResult) -> Iterator[str]:
    """Let nothing that a stop does once the unit is down make it fail."""
    if account.action is Action.STOP and result.code and account.of("daemon-reload"):
        yield "failed after the unit was down"


def _warns_of_a_restart(account: Account, result: ActionResult) -> Iterator[str]:
    """Where Restart= is in force in spite of the drop-in, a start warns once."""
    if account.action is not Action.START or result.code or not account.parameters.order_at_shutdown:
        return
    glimpse = last_look(account).glimpse
    count = sum("Restart=" in warning for warning in account.warnings)
    if glimpse is not None and count != int(glimpse.keeps_restarts):
        yield f"warned {count} times of Restart=, which is in force: {glimpse.keeps_restarts}"


def _warns_of_leftovers(account: Account, result: ActionResult) -> Iterator[str]:
    """Report which processes KillMode= has left running, from a stop and from a monitor of a unit that is down."""
    if (account.action, result.code) not in {(Action.STOP, 0), (Action.MONITOR, 7)}:
        return
    looks = [call.glimpse for call in account.of("show") if call.glimpse]
    observed = [glimpse for glimpse in looks if glimpse.is_down] if account.action is Action.STOP else looks[-1:]
    count = sum("KillMode=" in warning for warning in account.warnings)
    if count not in {int(glimpse.is_down and glimpse.leaves) for glimpse in observed}:
        yield f"warned {count} times of processes that KillMode= leaves running"


def _is_exact_in_quiet(account: Account, result: ActionResult) -> Iterator[str]:
    """Without faults and other actions the result follows from unit and hooks alone."""
    if not account.in_quiet:
        return
    expected = expected_code(account)
    if expected is not None and result.code != expected:
        yield f"expected {expected}"
    has_time = account.deadline - account.ended > 0.3 and not account.plan.disk_is_broken
    if account.action is Action.STOP and not result.code and has_time and account.after.drop_in_is_known:
        yield "systemd still knows the drop-in"
    if account.action is Action.RELOAD_AGENT and result.code == 0 and account.after.glimpse.is_running:
        wanted = account.parameters.order_at_shutdown
        if {account.after.drop_in_stands, account.after.drop_in_is_known} != {wanted}:
            yield f"the drop-in is not in force as wanted: {wanted}"


def _is_down(glimpse: Glimpse | None) -> bool:
    return glimpse is not None and glimpse.is_down


def _is_stopped(glimpse: Glimpse | None) -> bool:
    """Return whether nothing of the unit runs, whatever may be queued."""
    return glimpse is not None and glimpse.is_inactive and not glimpse.remains


def _is_running(glimpse: Glimpse | None) -> bool:
    return glimpse is not None and glimpse.is_running


def _knows_drop_in(glimpse: Glimpse | None) -> bool:
    return glimpse is not None and glimpse.knows_drop_in


def _hooks_return(account: Account, codes: frozenset[int] | set[int]) -> bool:
    row = row_of(account, last_look(account))
    return row.name.startswith("running, hook") and row.code in codes


def _is_hindered(outcome: object) -> bool:
    return isinstance(outcome, NotStarted) and outcome.errno in ERRORS_OF_FILES


def _succeeded(call: Call) -> bool:
    return isinstance(call.outcome, Exited) and call.outcome.code == 0


def _is_lost(requests: list[Call]) -> bool:
    """Return whether a request failed, according to its systemctl."""
    outcome = requests[0].outcome if requests else None
    if isinstance(outcome, Exited) and outcome.code == 4:
        return b"destructive" in outcome.stderr
    if isinstance(outcome, Exited):
        return outcome.code == 1 and b"ob for" not in outcome.stderr
    return isinstance(outcome, Signalled | NotStarted)


def _was_denied(call: Call) -> bool:
    return isinstance(call.outcome, Exited) and b"denied" in call.outcome.stderr


def _was_refused(call: Call) -> bool:
    return isinstance(call.outcome, Exited) and b"may be requested by dependency only" in call.outcome.stderr


_ALWAYS: tuple[Callable[[Account], Iterator[str]], ...] = (
    _is_in_time,
    _leaves_nothing_running,
    _leaves_no_request,
    _does_no_more_than_its_part,
    _kills_only_late,
    _ignores_dependencies_only_at_shutdown,
    _runs_hooks_only_when_due,
    _runs_no_hook_that_is_stuck,
    _keeps_to_its_limits,
    _spaces_its_tries,
    _starts_with_the_drop_in_in_force,
    _reloads_only_for_cause,
)
_OF_RESULTS: tuple[Callable[[Account, ActionResult], Iterator[str]], ...] = (
    _gives_a_reason,
    _returns_7_only_if_down,
    _reports_running_only_if_running,
    _returns_0_from_stop_only_if_down,
    _reports_what_it_saw,
    _blames_the_host_for_cause,
    _looks_for_a_unit_file,
    _gives_up_late,
    _has_the_drop_in_in_force,
    _stops_whatever_comes_of_the_drop_in,
    _warns_of_a_restart,
    _warns_of_leftovers,
    _is_exact_in_quiet,
)
