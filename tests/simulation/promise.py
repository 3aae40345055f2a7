"""The promise, rule by rule: what must be true of every action, whatever the world does to it.

The rules judge by what really was, and by what the action can have seen of it; never by how it came to its verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocf_systemd.observations import DOWN_STATES, RUNNING_STATES, Exited, NotStarted, Signalled
from ocf_systemd.ocf import Action
from tests.simulation.expectations import expected_code
from tests.simulation.hooks import HINDERED, Place
from tests.simulation.table import ERRORS_OF_FILES, PASSING, Look, Row, is_hook_due, last_look, row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ocf_systemd.ocf import Verdict
    from tests.simulation.records import Account, Call, Glimpse

_EPSILON_S = 1e-6
_GRACE_S = 1.0
_LAST_LOOK_SHARE, _LAST_LOOK_MAX_S = 0.1, 0.5
_PAUSE_SHARE, _FIRST_PAUSE_S = 0.3, 0.03  # a pause is at most that share of the time it took so far
_LOOKS = frozenset({"show", "hook"})
_VERBS = {
    Action.MONITOR: _LOOKS,
    Action.VALIDATE_ALL: frozenset({"show"}),
    Action.RELOAD_AGENT: frozenset({"show", "daemon-reload"}),
    Action.RELOAD: _LOOKS | {"reload"},
    Action.START: _LOOKS | {"daemon-reload", "reset-failed", "start", "journal"},
    Action.STOP: _LOOKS | {"daemon-reload", "stop", "kill"},
}
_CODES = {
    Action.START: frozenset({0, 1, 4, 5}),
    Action.STOP: frozenset({0, 1, 4}),
    Action.RELOAD_AGENT: frozenset({0, 1, 4, 5}),
    Action.VALIDATE_ALL: frozenset({0, 1, 4, 5}),
}
_PATIENT = frozenset({Action.START, Action.STOP, Action.MONITOR})


def broken_promises(account: Account) -> Iterator[str]:
    """Yield what an action broke of the promise, each with what it was seen by."""
    for rule in _ALWAYS:
        yield from (f"{account.action}: {told}" for told in rule(account))
    if account.verdict is not None:
        for judge in _OF_VERDICTS:
            yield from (
                f"{account.action} = {account.verdict.code}: {told}" for told in judge(account, account.verdict)
            )


def _is_in_time(account: Account) -> Iterator[str]:
    """Hold it to its own deadline, which is ahead of Pacemaker's; a signal ends it sooner."""
    latest = max(account.deadline, account.began)
    if account.ended > latest + _EPSILON_S:
        yield f"ended {account.ended - latest:.3f} s after its own deadline"
    if account.interrupted_by and account.ended > account.interrupted_at + _GRACE_S + _EPSILON_S:
        yield f"ended {account.ended - account.interrupted_at:.3f} s after {account.interrupted_by.name}"
    for call in account.calls:
        if call.deadline > latest + _EPSILON_S:
            yield f"{call.verb} was given until {call.deadline - latest:.3f} s after the deadline"


def _leaves_nothing_running(account: Account) -> Iterator[str]:
    """Whatever it started has ended when it has."""
    if account.left_running:
        yield f"left {account.left_running} commands running"


def _does_no_more_than_its_part(account: Account) -> Iterator[str]:
    """Hold a monitor to looking, and kills to a stop, which must not kill any sooner than it may."""
    for verb in sorted({call.verb for call in account.calls} - _VERBS[account.action]):
        yield f"ran {verb}"
    kills = account.of("kill")
    if kills and not account.parameters.stop_escalate:
        yield "killed the unit in spite of stop_escalate=no"
    if kills and kills[0].began < account.began + 0.75 * account.time_s - _EPSILON_S:
        yield f"killed the unit {kills[0].began - account.began:.3f} s into {account.time_s:.3f} s"
    if account.action is Action.VALIDATE_ALL and account.operation.check_level < 10 and account.calls:
        yield "looked at the host below check level 10"


def _runs_hooks_only_when_due(account: Account) -> Iterator[str]:
    """No hook below its level; a gated one only of a unit seen running; a stop's only when seen down, to verify."""
    shows = [call for call in account.of("show") if call.glimpse]
    for hook in account.of("hook"):
        seen = [show.glimpse for show in shows if show.ended <= hook.began]
        if account.action is Action.STOP:
            if not account.parameters.stop_verify or not seen or not any(map(_is_down, seen)):
                yield "ran a hook that had nothing to verify"
        elif not is_hook_due(account):
            yield "ran a hook below its level"
        elif account.parameters.gated and not (seen and _is_running(seen[-1])):
            yield "ran a gated hook of a unit that was not seen running"


def _keeps_to_its_limits(account: Account) -> Iterator[str]:
    """start_poll_limit and stop_poll_limit bound the looks."""
    parameters = account.parameters
    if account.action is Action.START and (limit := parameters.start_poll_limit):
        first = min((call.began for call in account.of("start")), default=account.ended)
        if (looks := sum(call.began >= first for call in account.of("show"))) > limit:
            yield f"looked {looks} times, limit {limit}"
    if account.action is Action.STOP and (limit := parameters.stop_poll_limit) and len(account.of("stop")) > limit:
        yield f"asked {len(account.of('stop'))} times, limit {limit}"


def _starts_with_the_drop_in_in_force(account: Account) -> Iterator[str]:
    """Ask for a start only once systemd knows the drop-in, Restart=no included, or knows that there is none."""
    wanted = account.parameters.order_at_shutdown
    if account.is_undisturbed and any(call.knew_drop_in is (not wanted) for call in account.of("start")):
        yield f"started the unit before the drop-in was in force as wanted: {wanted}"


def _gives_a_reason(account: Account, verdict: Verdict) -> Iterator[str]:
    """Every code but 0, and a probe's 7, carries a reason of one line."""
    is_probe = account.action is Action.MONITOR and not account.operation.is_recurring
    if not verdict.reason and verdict.code and not (is_probe and verdict.code == 7):
        yield "no reason"
    if verdict.reason and "\n" in verdict.reason:
        yield "a reason of several lines"
    if verdict.code not in _CODES.get(account.action, range(256)):
        yield "not a code of this action"


def _says_7_only_when_seen_down(account: Account, verdict: Verdict) -> Iterator[str]:
    """Down by systemd's own word, at a moment within the run; or running, and each hook said 7."""
    if verdict.code != 7:
        return
    glimpse = last_look(account).glimpse
    if glimpse is None:
        yield "systemd had not answered"
    elif glimpse.is_down and not account.states & DOWN_STATES:
        yield "the unit was not down at any moment"
    elif not glimpse.is_down and not _hooks_say(account, {7}):
        yield f"the unit was {glimpse.active}, and not every hook said 7"


def _says_running_only_when_seen_so(account: Account, verdict: Verdict) -> Iterator[str]:
    """0 and 190 from start, monitor and reload: the unit ran, and every hook that was due passed."""
    if verdict.code not in PASSING or account.action not in {Action.START, Action.MONITOR, Action.RELOAD}:
        return
    glimpse = last_look(account).glimpse
    if glimpse is None or not glimpse.is_running or not account.states & RUNNING_STATES:
        yield f"the unit was last seen {glimpse.active if glimpse else 'not at all'}"
    elif is_hook_due(account) and not _hooks_say(account, PASSING):
        yield "not every hook passed"
    if account.action is Action.RELOAD and not any(_succeeded(call) for call in account.of("reload")[-1:]):
        yield "the reload was not done"


def _stops_only_what_is_seen_down(account: Account, verdict: Verdict) -> Iterator[str]:
    """0 from stop: down by systemd's own word, after the request; with stop_verify every hook that can run said 7."""
    if account.action is not Action.STOP or verdict.code:
        return
    asked = min((call.ended for call in account.of("stop")), default=account.ended)
    seen = [call.glimpse for call in account.of("show") if call.began >= asked and call.glimpse]
    if not any(map(_is_down, seen)):
        yield "systemd had not told the unit to be down"
    if account.parameters.stop_verify and account.plan.place not in HINDERED:
        last = {call.program: call.outcome for call in account.of("hook")}
        able = [outcome for outcome in last.values() if not _is_hindered(outcome)]
        if not last or not all(isinstance(outcome, Exited) and outcome.code == 7 for outcome in able):
            yield "not every hook said 7"


def _tells_what_it_saw(account: Account, verdict: Verdict) -> Iterator[str]:
    """Hold a monitor, a probe and a reload to the table, to the letter."""
    if account.action not in {Action.MONITOR, Action.RELOAD}:
        return
    look = last_look(account)
    row = row_of(account, look, probe=account.action is Action.MONITOR and not account.operation.is_recurring)
    if account.action is Action.RELOAD and _is_told_by_reload(verdict, look, row):
        return
    if verdict.code != row.code:
        yield f"the last look means {row.code}: {row.name}"


def _is_told_by_reload(verdict: Verdict, look: Look, row: Row) -> bool:
    if verdict.code == 3:
        return look.glimpse is not None and look.glimpse.is_running and not look.glimpse.can_reload
    return verdict.code == 1 and row.code in PASSING


def _blames_the_host_for_cause(account: Account, verdict: Verdict) -> Iterator[str]:
    """5 and 4 are hard errors: only for what is not there, not safe, or not allowed."""
    if account.action in {Action.MONITOR, Action.RELOAD}:
        return
    glimpses = [call.glimpse for call in account.of("show") if call.glimpse]
    if verdict.code == 5:
        cannot_start = any(glimpse.cannot_start for glimpse in glimpses)
        hindered = account.plan.place in HINDERED or any(_is_hindered(call.outcome) for call in account.of("hook"))
        if not cannot_start and not hindered:
            yield "everything was there"
    if verdict.code == 4 and account.plan.place is not Place.UNSAFE and not any(map(_was_denied, account.calls)):
        yield "nothing was unsafe or denied"


def _gives_up_late(account: Account, verdict: Verdict) -> Iterator[str]:
    """Where another look might have helped there was one: it gives up at its deadline, or at its limit of looks."""
    parameters = account.parameters
    limits = {Action.START: parameters.start_poll_limit, Action.STOP: parameters.stop_poll_limit}
    if account.action not in _PATIENT or verdict.code != 1 or limits.get(account.action) or account.plan.disk_is_broken:
        return
    glimpse = last_look(account).glimpse
    if account.action is Action.MONITOR and glimpse and glimpse.is_running:
        return  # the hook's word
    if account.action is Action.START and glimpse and glimpse.is_down and not _is_lost(account.of("start")[-1:]):
        return  # nothing will change any more
    last_pause_s = min(parameters.poll_interval_s, _PAUSE_SHARE * account.took_s + _FIRST_PAUSE_S)
    last_look_s = min(_LAST_LOOK_SHARE * account.time_s, _LAST_LOOK_MAX_S)
    if account.ended < account.deadline - last_look_s - last_pause_s - _EPSILON_S:
        yield f"gave up {account.deadline - account.ended:.3f} s before its deadline"


def _has_the_drop_in_in_force(account: Account, verdict: Verdict) -> Iterator[str]:
    """After a start that succeeded systemd knows the drop-in, or its absence, as wanted; after a stop it is gone."""
    if verdict.code or not account.is_undisturbed or account.plan.disk_is_broken:
        return
    after = account.after
    wanted = account.parameters.order_at_shutdown
    if account.action is Action.START and {after.drop_in_stands, after.drop_in_is_known} != {wanted}:
        yield f"the drop-in stands: {after.drop_in_stands}, is known: {after.drop_in_is_known}, wanted: {wanted}"
    if account.action is Action.STOP and after.drop_in_stands:
        yield "the drop-in still stands"


def _is_exact_in_quiet(account: Account, verdict: Verdict) -> Iterator[str]:
    """Where nothing goes wrong and nobody else acts, what happens follows from unit and hooks alone."""
    if not account.in_quiet:
        return
    expected = expected_code(account)
    if expected is not None and verdict.code != expected:
        yield f"expected {expected}"
    has_time = account.time_s > 1 and not account.plan.disk_is_broken
    if account.action is Action.STOP and has_time and account.after.drop_in_is_known:
        yield "systemd still knows the drop-in"
    if account.action is Action.RELOAD_AGENT and verdict.code == 0 and account.after.glimpse.is_running:
        wanted = account.parameters.order_at_shutdown
        if {account.after.drop_in_stands, account.after.drop_in_is_known} != {wanted}:
            yield f"the drop-in is not in force as wanted: {wanted}"


def _is_down(glimpse: Glimpse | None) -> bool:
    return glimpse is not None and glimpse.is_down


def _is_running(glimpse: Glimpse | None) -> bool:
    return glimpse is not None and glimpse.is_running


def _hooks_say(account: Account, codes: frozenset[int] | set[int]) -> bool:
    row = row_of(account, last_look(account), probe=False)
    return row.name.startswith("running, hook") and row.code in codes


def _is_hindered(outcome: object) -> bool:
    return isinstance(outcome, NotStarted) and outcome.errno in ERRORS_OF_FILES


def _succeeded(call: Call) -> bool:
    return isinstance(call.outcome, Exited) and call.outcome.code == 0


def _is_lost(asked: list[Call]) -> bool:
    """Tell whether a request came to nothing, as far as its systemctl said."""
    outcome = asked[0].outcome if asked else None
    if isinstance(outcome, Exited):
        return outcome.code == 1 and b"ob for" not in outcome.stderr
    return isinstance(outcome, Signalled | NotStarted)


def _was_denied(call: Call) -> bool:
    return isinstance(call.outcome, Exited) and call.outcome.code == 4


_ALWAYS: tuple[Callable[[Account], Iterator[str]], ...] = (
    _is_in_time,
    _leaves_nothing_running,
    _does_no_more_than_its_part,
    _runs_hooks_only_when_due,
    _keeps_to_its_limits,
    _starts_with_the_drop_in_in_force,
)
_OF_VERDICTS: tuple[Callable[[Account, Verdict], Iterator[str]], ...] = (
    _gives_a_reason,
    _says_7_only_when_seen_down,
    _says_running_only_when_seen_so,
    _stops_only_what_is_seen_down,
    _tells_what_it_saw,
    _blames_the_host_for_cause,
    _gives_up_late,
    _has_the_drop_in_in_force,
    _is_exact_in_quiet,
)
