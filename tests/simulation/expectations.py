"""What an action must answer where nothing goes wrong: predicted from what the unit and its hooks are like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocf_systemd.observations import ActiveState, Exited, LoadState
from ocf_systemd.ocf import Action
from tests.simulation.hooks import HINDERED, Place
from tests.simulation.table import ERRORS_OF_FILES, PASSING, Look, hook_code, is_hook_due, row_of
from tests.simulation.timeline import FOREVER

if TYPE_CHECKING:
    from tests.simulation.hooks import Manner
    from tests.simulation.records import Account

_ENOUGH_S = 0.6  # with less time than that, any answer may come too late
_SOON = 0.4  # of the time there is: what takes no longer leaves room for everything else
_QUICKLY = 0.05
_HOST_LEVEL = 10


def expected_code(account: Account) -> int | None:
    """Return the code there has to be, or None: too close to call."""
    character = account.plan.character
    is_restless = character.lives_s != FOREVER or character.revived_s != FOREVER
    if account.time_s < _ENOUGH_S or is_restless or _changes_without_its_file(account):
        return None
    match account.action:
        case Action.START:
            return _refused(account) or _started(account)
        case Action.STOP:
            return _stopped(account)
        case Action.RELOAD:
            return _reloaded(account)
        case Action.MONITOR:
            return _monitored(account, probe=not account.operation.is_recurring)
        case _:
            return _validated(account)


def _changes_without_its_file(account: Account) -> bool:
    before = account.before.glimpse
    return before.load is not LoadState.LOADED and not before.is_running and not before.is_down


def _validated(account: Account) -> int | None:
    if account.action is Action.VALIDATE_ALL and account.operation.check_level < _HOST_LEVEL:
        return 0
    return _refused(account) or (None if account.plan.disk_is_broken else 0)


def _refused(account: Account) -> int | None:
    """Return the code of an action that validates, where it has to stop there; None: it goes on."""
    if account.before.glimpse.cannot_start:
        return 5
    if account.plan.place in HINDERED:
        return 4 if account.plan.place is Place.UNSAFE else 5
    return None


def _monitored(account: Account, *, probe: bool) -> int | None:
    """Return a monitor's code by the table, of a unit that stays as it is."""
    before = account.before.glimpse
    if before.has_job or not (before.is_down or before.active is ActiveState.ACTIVE):
        return None
    hooks_matter = before.is_running and is_hook_due(account)
    if hooks_matter and not all(_is_plain(account, manner) for manner in account.plan.manners):
        return None
    said = tuple(Exited(0.0, code=manner.up_code) for manner in account.plan.manners)
    return row_of(account, Look(before, said), probe=probe).code


def _reloaded(account: Account) -> int | None:
    character, before = account.plan.character, account.before.glimpse
    monitored = _monitored(account, probe=False)
    if not before.is_running or monitored is None:
        return monitored
    if not character.can_reload:
        return 3
    if character.reload_s > _SOON * account.time_s:
        return None
    return 1 if character.reload_fails and monitored in PASSING else monitored


def _started(account: Account) -> int | None:
    if account.plan.disk_is_broken and account.parameters.order_at_shutdown:
        return 1
    character, before = account.plan.character, account.before.glimpse
    is_hopeless = (
        not character.condition_met
        or character.dependency_fails
        or character.is_oneshot
        or character.start_fails
        or character.start_s > character.start_timeout_s
    )
    ready_s = 0.0 if before.is_running else min(character.start_s, character.start_timeout_s)
    if before.active is ActiveState.DEACTIVATING:
        ready_s += _left_to_stop_s(account)
    if ready_s > _SOON * account.time_s:
        return None
    return 1 if is_hopeless and not before.is_running else _passed(account)


def _passed(account: Account) -> int | None:
    """Return a start's code by what its hooks will say of the unit once it runs."""
    if not is_hook_due(account):
        return 0
    protocol = account.parameters.monitor_hook_protocol
    if not all(_is_plain(account, manner) for manner in account.plan.manners):
        return None
    codes = {hook_code(manner.up_code, protocol) for manner in account.plan.manners}
    return 0 if codes <= PASSING else 1


def _is_plain(account: Account, manner: Manner) -> bool:
    """Tell whether a hook says the same at once, whenever it is asked, and soon enough."""
    limit_s = account.parameters.monitor_hook_timeout_s or FOREVER
    return manner.is_steady and not manner.notices_s and manner.runs_s < min(_QUICKLY * account.time_s, limit_s)


def _left_to_stop_s(account: Account) -> float:
    """Return how long a unit that is going down takes until it is."""
    character = account.plan.character
    is_killed = character.stop_s > character.stop_timeout_s
    return account.before.settles_in_s + (character.kill_s if is_killed else 0.0)


def _stopped(account: Account) -> int | None:
    character, before, time_s = account.plan.character, account.before.glimpse, account.time_s
    if before.is_down:
        down_s = 0.0
    elif before.active is ActiveState.DEACTIVATING:
        down_s = _left_to_stop_s(account)
    elif character.stop_s <= character.stop_timeout_s:
        down_s = character.stop_s
    else:
        down_s = character.stop_timeout_s + character.kill_s
    if account.parameters.stop_escalate:
        down_s = min(down_s, 0.75 * time_s + character.kill_s)
    if account.parameters.stop_poll_limit and down_s > _SOON * time_s:
        return None  # it may give up before
    if down_s > 1.1 * time_s:
        return 1 if before.active in {ActiveState.ACTIVE, ActiveState.RELOADING} else None
    if down_s > 0.85 * time_s:
        return None
    return _verified(account, down_s) if account.parameters.stop_verify else 0


def _verified(account: Account, down_s: float) -> int | None:
    """Return a stop's code by what its hooks will say of the unit once it is down."""
    if account.plan.place in HINDERED:
        return 0
    able = [manner for manner in account.plan.manners if manner.errno not in ERRORS_OF_FILES]
    if down_s > _SOON * account.time_s or not all(_is_plain(account, manner) for manner in able):
        return None
    return 0 if all(manner.down_code == 7 for manner in able) else 1
