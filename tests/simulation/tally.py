"""What a search came by: exit codes, rows of the monitor's table, states, interruptions; and what it never came by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from ocf_systemd.core.observations import LoadState, TimedOut
from ocf_systemd.core.ocf import Action
from tests.simulation.expectations import expected_code
from tests.simulation.table import ROW_NAMES, last_look, row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulation.history import History
    from tests.simulation.records import Account

CODES = (0, 1, 3, 4, 5, 6, 7, 190)
"""Every code that the agent itself has a reason for; others are a hook's own."""

ENOUGH = 5000
"""So many histories contain all that a search must contain."""


def _is_done(account: Account, action: Action) -> bool:
    return account.action is action and account.result is not None and account.result.code == 0


def _waits_for_processes(account: Account) -> bool:
    glimpses = [call.glimpse for call in account.of("show") if call.glimpse]
    return _is_done(account, Action.STOP) and any(glimpse.is_inactive and glimpse.remains for glimpse in glimpses)


def _finds_a_new_file(account: Account) -> bool:
    glimpses = [call.glimpse for call in account.of("show") if call.glimpse]
    return _is_done(account, Action.START) and glimpses[0].load is LoadState.NOT_FOUND


def _reloads_in_vain(account: Account) -> bool:
    timed_out = [isinstance(call.outcome, TimedOut) for call in account.of("daemon-reload")]
    return _is_done(account, Action.STOP) and any(timed_out)


def _has_warning(account: Account, text: str) -> bool:
    return any(text in warning for warning in account.warnings)


STATES: Mapping[str, Callable[[Account], bool]] = {
    "a host without systemd": lambda account: not account.plan.is_booted,
    "a probe with wrong parameters": lambda account: bool(account.step.wrong) and account.is_probe,
    "a stop with wrong parameters": lambda account: bool(account.step.wrong) and account.action is Action.STOP,
    "a start with wrong parameters": lambda account: bool(account.step.wrong) and account.action is Action.START,
    "a wrong unit": lambda account: "unit" in account.step.wrong,
    "a stop ahead of Pacemaker's": lambda account: _is_done(account, Action.STOP) and bool(account.of("stop at once")),
    "a stop that waits for processes to end": _waits_for_processes,
    "a stop that fails for a process": lambda account: account.action is Action.STOP and account.after.glimpse.remains,
    "a stop that sends SIGKILL": lambda account: any(signal.number is SIGKILL for signal in account.signals),
    "a stop that systemd refuses": lambda account: any(signal.number is SIGTERM for signal in account.signals),
    "a stop whose daemon-reload comes to nothing": _reloads_in_vain,
    "a start that finds a new unit file": _finds_a_new_file,
    "a start in spite of which Restart= is in force": lambda account: _has_warning(account, "Restart="),
    "processes that KillMode= leaves running": lambda account: _has_warning(account, "KillMode="),
}
"""What histories must contain as well."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A history that broke a guarantee, by its seed."""

    seed: int
    broken: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """Counts over many histories. `foretold` are results whose exit code was predicted."""

    histories: int = 0
    results: Counter[tuple[Action, int]] = field(default_factory=Counter)
    interruptions: Counter[tuple[Action, str]] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    foretold: Counter[Action] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, history: History) -> None:
        """Count one history."""
        self.histories += 1
        if history.broken:
            self.failures.append(Failure(history.plan.seed, history.broken))
        for account in history.accounts:
            self._add(account)

    def merge(self, other: Tally) -> None:
        """Count what another has counted."""
        self.histories += other.histories
        self.results += other.results
        self.interruptions += other.interruptions
        self.rows += other.rows
        self.states += other.states
        self.foretold += other.foretold
        self.failures += other.failures

    @property
    def unreached(self) -> list[str]:
        """What it never came by; much of it after few histories, nothing after enough."""
        returned = {code for _, code in self.results}
        codes = [f"exit code {code}" for code in CODES if code not in returned]
        signals = [f"{name} of {action}" for action in Action for name in ("SIGTERM", "SIGKILL")
                   if action is not Action.META_DATA and not self.interruptions[action, name]]  # fmt: skip
        rows = (row for row in ROW_NAMES if not self.rows[row])
        return [*codes, *rows, *(state for state in STATES if not self.states[state]), *signals]

    def _add(self, account: Account) -> None:
        self.states.update(state for state, is_in in STATES.items() if is_in(account))
        if account.interrupted_by is not None:
            self.interruptions[account.action, account.interrupted_by.name] += 1
        if account.result is None:
            return
        self.results[account.action, account.result.code] += 1
        if account.in_quiet and expected_code(account) is not None:
            self.foretold[account.action] += 1
        if account.action is Action.MONITOR and account.was_performed and account.plan.is_booted:
            self.rows[row_of(account, last_look(account)).name] += 1
