"""The monitor's table, written down a second time, from the documents and not from the code that is tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocf_systemd.core.observations import (
    ActiveState,
    CommandOutcome,
    Exited,
    LoadState,
    NotStarted,
    Signalled,
    TimedOut,
)
from ocf_systemd.core.ocf import Action
from tests.simulation.hooks import HINDERED, Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.records import Account, Glimpse

ERRORS_OF_FILES = frozenset({2, 8, 13})  # ENOENT, ENOEXEC, EACCES: of those that are simulated
PASSING = frozenset({0, 190})

_NAGIOS = {0: 0, 1: 190}
_LSB = {0: 0, 3: 7}
_PROMOTED = frozenset({8, 9, 191})
_NOT_OF_A_PROBE = frozenset(range(2, 8))  # of a unit that runs


@dataclass(frozen=True, slots=True)
class Stuck:
    """A hook was not started, since a process of its last run cannot be killed."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a look means: a row of the table, by name, and its exit code."""

    name: str
    code: int


ROW_NAMES = (
    "systemd does not answer",
    "between two states",
    "inactive, job queued",
    "inactive, processes alive",
    "inactive",
    "failed",
    "not found",
    "not found, probe",
    "masked and down",
    "running, no hook due",
    "running, hook returns 0",
    "running, hook returns 7",
    "running, hook returns 190",
    "running, hook returns another code",
    "running, hook died by a signal",
    "running, hook timed out",
    "running, hook could not be started",
    "running, hook of a last run cannot be killed",
    "running, hook missing",
    "running, hook unsafe",
    "running, hooks disagree",
)
"""All rows there are; a search that does not reach them all proves little."""


_UNASKED = Row("running, hooks due were not asked", -1)


@dataclass(frozen=True, slots=True)
class Look:
    """An action's last query of the unit, if it returned a state, and the results of its hooks, in order of name."""

    glimpse: Glimpse | None
    hooks: tuple[CommandOutcome | Stuck, ...]


def last_look(account: Account) -> Look:
    """Return what an action went by in the end."""
    shows = account.of("show")
    if not shows:
        return Look(None, ())
    began = shows[-1].began
    hooks: dict[str, CommandOutcome | Stuck | None] = {hook: Stuck() for hook, _ in account.stuck}
    hooks |= {call.program: call.outcome for call in account.of("hook") if call.began >= began}
    return Look(shows[-1].glimpse, tuple(outcome for _, outcome in sorted(hooks.items()) if outcome is not None))


def row_of(account: Account, look: Look) -> Row:
    """Return what a look means for a monitor, or for a probe if the action is one."""
    glimpse = look.glimpse
    if glimpse is None:
        return Row("systemd does not answer", 1)
    if glimpse.is_inactive:
        return _row_of_inactive(glimpse, probe=account.is_probe)
    if not glimpse.is_running:
        return Row("between two states", 1)
    if not is_hook_due(account):
        return Row("running, no hook due", 0)
    row = row_of_hooks(account.place, look.hooks, account.parameters.monitor_hook_protocol)
    return Row(row.name, 1) if account.is_probe and row.code in _NOT_OF_A_PROBE else row


def is_hook_due(account: Account) -> bool:
    """Return whether the action runs the hooks of a unit that runs: start and reload do whatever the level."""
    is_of_level = account.parameters.monitor_hook_level <= account.operation.check_level
    return account.place is not Place.NOWHERE and (is_of_level or account.action in {Action.START, Action.RELOAD})


def _row_of_inactive(glimpse: Glimpse, *, probe: bool) -> Row:
    if glimpse.has_job:
        return Row("inactive, job queued", 1)
    if glimpse.remains:
        return Row("inactive, processes alive", 1)
    match glimpse.load:
        case LoadState.NOT_FOUND:
            return Row("not found, probe", 7) if probe else Row("not found", 5)
        case LoadState.MASKED:
            return Row("masked and down", 7)
        case _:
            return Row("failed" if glimpse.active is ActiveState.FAILED else "inactive", 7)


def row_of_hooks(place: Place, outcomes: Sequence[CommandOutcome | Stuck], protocol: str) -> Row:
    """Return what the hooks of a running unit mean together."""
    if place in HINDERED:
        return Row("running, hook unsafe", 4) if place is Place.UNSAFE else Row("running, hook missing", 5)
    rows = [row_of_hook(outcome, protocol) for outcome in outcomes]
    if failures := [row for row in rows if row.code not in {*PASSING, 7}]:
        return failures[0]
    down = [row for row in rows if row.code == 7]
    if down and len(down) < len(rows):
        return Row("running, hooks disagree", 1)
    return max(rows, key=lambda row: row.code, default=_UNASKED)


def row_of_hook(outcome: CommandOutcome | Stuck, protocol: str) -> Row:
    """Return what one hook of a running unit means."""
    match outcome:
        case Exited(code=code):
            code = hook_code(code, protocol)
            return Row(f"running, hook returns {code if code in {0, 7, 190} else 'another code'}", code)
        case Stuck():
            return Row("running, hook of a last run cannot be killed", 1)
        case Signalled():
            return Row("running, hook died by a signal", 1)
        case TimedOut():
            return Row("running, hook timed out", 1)
        case NotStarted(errno=errno) if errno in ERRORS_OF_FILES:
            return Row("running, hook missing", 5)
        case NotStarted():
            return Row("running, hook could not be started", 1)


def hook_code(code: int, protocol: str) -> int:
    """Return the OCF code that a hook's exit code stands for."""
    match protocol:
        case "nagios":
            return _NAGIOS.get(code, 1)
        case "plain":
            return 1 if code else 0
        case "lsb":
            return _LSB.get(code, 1)
        case "ocf":
            return 1 if code in _PROMOTED else code
        case _:
            raise ValueError(f"the simulation does not know the protocol {protocol}")
