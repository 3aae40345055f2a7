"""The exit code that an action must have where nothing goes wrong: predicted from what unit and hooks are like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocf_systemd.core.observations import ActiveState, Exited, LoadState
from ocf_systemd.core.ocf import Action
from tests.simulation.hooks import HINDERED, Place
from tests.simulation.table import ERRORS_OF_FILES, PASSING, Look, hook_code, is_hook_due, row_of
from tests.simulation.timeline import FOREVER

if TYPE_CHECKING:
    from tests.simulation.hooks import Manner
    from tests.simulation.records import Account
    from tests.simulation.units import Outlook

_ENOUGH_S = 0.6  # with less time than that, any result may be too late
_SOON = 0.4  # of the time there is: what takes no longer leaves room for everything else
_QUICKLY = 0.05
_LOOK_SHARE = 0.25  # of the time between the escalation and the deadline, enough to see what came of it
_LAST_LOOK_S, _LAST_LOOK_SHARE = 0.1, 0.15  # before the deadline, without a further query
_SHUTDOWN_S = 0.5  # in which a stop finds out that it waits for Pacemaker
_HOST_LEVEL = 10


def expected_code(account: Account) -> int | None:
    """Return the code there has to be, or None: too close to call."""
    if _is_unforeseeable(account):
        return None
    match account.action:
        case Action.START:
            return _started(account)
        case Action.STOP:
            return _stopped(account)
        case Action.RELOAD:
            return _reloaded(account)
        case Action.MONITOR:
            return _monitored(account)
        case _:
            return _validated(account)


def _is_unforeseeable(account: Account) -> bool:
    character = account.plan.character
    is_restless = character.lives_s != FOREVER or character.revived_s != FOREVER
    is_held_up = account.plan.generators_s > _QUICKLY * account.time_s and account.action is not Action.STOP
    reads_files = account.action in {Action.START, Action.STOP}
    is_outdated = _changes_without_its_file(account) or (_is_of_an_older_file(account) and not reads_files)
    return account.time_s < _ENOUGH_S or is_restless or is_held_up or is_outdated


def _changes_without_its_file(account: Account) -> bool:
    before = account.before.glimpse
    return before.load is not LoadState.LOADED and not before.is_running and not before.is_inactive


def _validated(account: Account) -> int | None:
    if account.action is Action.VALIDATE_ALL and account.operation.check_level < _HOST_LEVEL:
        return 0
    return _refused(account) or (None if account.plan.disk_is_broken else 0)


def _refused(account: Account) -> int | None:
    """Return the code of an action that validates, where it has to stop there; None: it goes on."""
    return 5 if account.before.glimpse.cannot_start else _hindered(account)


def _hindered(account: Account) -> int | None:
    if account.place in HINDERED:
        return 4 if account.place is Place.UNSAFE else 5
    return None


def _is_of_an_older_file(account: Account) -> bool:
    """Return whether systemd has yet to read the file that the unit has now."""
    return account.before.file is not account.before.glimpse.load


def _monitored(account: Account) -> int | None:
    """Return a monitor's code by the table, of a unit that stays as it is."""
    before = account.before.glimpse
    if not (before.is_inactive or before.active is ActiveState.ACTIVE):
        return None
    if before.has_job or any(outlook.ends_in_s < FOREVER for outlook in account.before.outlooks):
        return None
    hooks_matter = before.is_running and is_hook_due(account)
    if hooks_matter and not all(_is_plain(account, manner) for manner in account.plan.manners):
        return None
    message = tuple(Exited(0.0, code=manner.up_code) for manner in account.plan.manners)
    row = row_of(account, Look(before, message))
    has_time = account.parameters.monitor_hook_retries == 0 or row.code in PASSING
    return row.code if has_time or not hooks_matter or account.time_s > 1 else None


def _reloaded(account: Account) -> int | None:
    character, before = account.plan.character, account.before.glimpse
    monitored = _monitored(account)
    if not before.is_running or monitored is None:
        return monitored
    if not character.can_reload:
        return 3
    if character.reload_s > _SOON * account.time_s or account.before.is_shutting_down:
        return None
    if monitored not in PASSING and not _hindered(account):
        return None  # the last of many looks decides, which may have no time for a hook
    return 1 if character.reload_fails and monitored in PASSING else monitored


def _started(account: Account) -> int | None:
    before = account.before.glimpse
    has_new_file = _is_of_an_older_file(account) and account.before.file is LoadState.LOADED and before.is_inactive
    refused = _hindered(account) if has_new_file else _refused(account)
    if refused is not None:
        return refused
    if account.plan.disk_is_broken and account.parameters.order_at_shutdown:
        return 1
    if before.has_job or account.before.is_shutting_down:
        return None
    return _passed(account) if before.is_running else _started_up(account)


def _started_up(account: Account) -> int | None:
    """Return the code of a start of a unit that does not run, and of which there is a file."""
    character, before = account.plan.character, account.before.glimpse
    if character.refuses_start:
        return 1 if before.is_inactive else None
    is_hopeless = (
        not character.condition_met
        or character.dependency_fails
        or character.is_oneshot
        or character.start_fails
        or character.start_s > character.start_timeout_s
    )
    ready_s = min(character.start_s, character.start_timeout_s)
    if before.active is ActiveState.DEACTIVATING:
        ready_s += _left_to_stop_s(account)
    if ready_s > _SOON * account.time_s:
        return None
    return 1 if is_hopeless else _passed(account)


def _passed(account: Account) -> int | None:
    """Return a start's code by what its hooks will return once the unit runs."""
    if not is_hook_due(account):
        return 0
    protocol = account.parameters.monitor_hook_protocol
    if not all(_is_plain(account, manner) for manner in account.plan.manners):
        return None
    codes = {hook_code(manner.up_code, protocol) for manner in account.plan.manners}
    return 0 if codes <= PASSING else 1


def _is_plain(account: Account, manner: Manner) -> bool:
    """Return whether a hook always returns the same, at once and soon enough."""
    limit_s = account.parameters.monitor_hook_timeout_s or FOREVER
    if manner.ignores_sigkill:
        return False
    return manner.is_steady and not manner.notices_s and manner.runs_s < min(_QUICKLY * account.time_s, limit_s)


def _left_to_stop_s(account: Account) -> float:
    """Return how long a unit that is going down takes until it is."""
    character = account.plan.character
    is_killed = character.stop_s > character.stop_timeout_s
    return account.before.settles_in_s + (min(character.kill_s, character.stop_timeout_s) if is_killed else 0.0)


def _stopped(account: Account) -> int | None:
    """Return a stop's code: by when the last process has ended that must not be alive, if by anything."""
    character, before, time_s = account.plan.character, account.before.glimpse, account.time_s
    down_s = max((_ends_in_s(account, outlook) for outlook in account.before.outlooks), default=0.0)
    if _may_not_stay_down(account) or _is_given_up_on(account, down_s):
        return None
    down_s = _posted_s(account, down_s)
    is_settled = before.is_inactive or before.active in {ActiveState.ACTIVE, ActiveState.RELOADING}
    longest_s = min(_SOON * time_s, character.stop_timeout_s)
    if account.parameters.stop_poll_limit and (down_s > longest_s or before.remains or character.refuses_stop):
        return None  # it may give up before
    if down_s > time_s or (not is_settled and _left_to_stop_s(account) < down_s):
        return 1 if is_settled else None
    down_s += _SHUTDOWN_S if account.before.is_shutting_down and before.is_running else 0.0
    if down_s > time_s - max(_LOOK_SHARE * account.escalation_s, _LAST_LOOK_S, _LAST_LOOK_SHARE * time_s):
        return None
    return _verified(account, down_s) if account.parameters.stop_verify else 0


def _has_to_post(account: Account) -> bool:
    return bool(account.plan.character.post_s and account.before.outlooks) and not account.before.glimpse.is_inactive


def _is_given_up_on(account: Account, ended_s: float) -> bool:
    """Return whether systemd may not come to ExecStopPost=, or take it for part of what it gives up on."""
    return _has_to_post(account) and ended_s > account.plan.character.stop_timeout_s


def _posted_s(account: Account, ended_s: float) -> float:
    """Return when ExecStopPost= has ended as well: on its own, by TimeoutStopSec=, or killed by the agent.

    Where the others end so late that it has to be killed, it gets half of what is left then.
    """
    character, parameters = account.plan.character, account.parameters
    if not _has_to_post(account):
        return ended_s
    post_s = min(character.post_s, character.stop_timeout_s)
    killed_s = FOREVER
    if parameters.stop_escalate and parameters.unit.endswith(".service"):
        seen_s = max(ended_s, account.time_s - account.escalation_s)
        killed_s = (seen_s + account.time_s) / 2
    return min(ended_s + post_s, killed_s)


def _may_not_stay_down(account: Account) -> bool:
    """Return whether a unit that refuses to stop may outlive its processes, or be started nevertheless."""
    character, before = account.plan.character, account.before.glimpse
    is_beyond_reach = character.refuses_stop or before.load is LoadState.NOT_FOUND
    keeps_running = character.refuses_stop and (before.keeps_restarts or character.kill_mode == "none")
    return keeps_running or (is_beyond_reach and before.has_job)


def _ends_in_s(account: Account, outlook: Outlook) -> float:
    """Return how many seconds a process has from the beginning of a stop."""
    character, before = account.plan.character, account.before.glimpse
    parameters = account.parameters
    ends_in_s = [outlook.ends_in_s]
    if parameters.stop_escalate and parameters.unit.endswith(".service"):
        kill_at_s = account.escalation_s if character.refuses_stop else account.time_s - account.escalation_s
        ends_in_s += [kill_at_s + outlook.kill_s, *([outlook.term_s] if character.refuses_stop else [])]
    if before.is_running and not character.refuses_stop:
        ends_in_s.append(outlook.term_s)
        if character.sends_sigkill:
            ends_in_s.append(character.stop_timeout_s + outlook.kill_s)
    if before.active is ActiveState.DEACTIVATING and character.sends_sigkill:
        ends_in_s.append(account.before.settles_in_s + outlook.kill_s)
    return min(ends_in_s)


def _verified(account: Account, down_s: float) -> int | None:
    """Return a stop's code by what its hooks will return once the unit is down."""
    if account.place in HINDERED:
        return 0
    able = [manner for manner in account.plan.manners if manner.errno not in ERRORS_OF_FILES]
    if down_s > _SOON * account.time_s or not all(_is_plain(account, manner) for manner in able):
        return None
    protocol = account.parameters.monitor_hook_protocol
    return 0 if all(hook_code(manner.down_code, protocol) == 7 for manner in able) else 1
