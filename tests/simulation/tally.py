"""What a search came by: verdicts, rows of the monitor's table, interruptions; and what it never came by."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocf_systemd.ocf import Action
from tests.simulation.expectations import expected_code
from tests.simulation.table import ROW_NAMES, last_look, row_of

if TYPE_CHECKING:
    from tests.simulation.history import History
    from tests.simulation.records import Account

CODES = (0, 1, 3, 4, 5, 7, 190)
"""Every code that the agent itself has a reason for; others are a hook's own."""

ENOUGH = 5000
"""So many histories come by everything that is to be come by."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A history that broke a promise, by its seed."""

    seed: int
    broken: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """Counts over many histories. `foretold` are verdicts that had to be just what they were."""

    histories: int = 0
    verdicts: Counter[tuple[Action, int]] = field(default_factory=Counter)
    interruptions: Counter[tuple[Action, str]] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
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
        self.verdicts += other.verdicts
        self.interruptions += other.interruptions
        self.rows += other.rows
        self.foretold += other.foretold
        self.failures += other.failures

    @property
    def unreached(self) -> list[str]:
        """What it never came by; much of it after few histories, nothing after enough."""
        seen = {code for _, code in self.verdicts}
        codes = [f"exit code {code}" for code in CODES if code not in seen]
        signals = [f"{name} of {action}" for action in Action for name in ("SIGTERM", "SIGKILL")
                   if action is not Action.META_DATA and not self.interruptions[action, name]]  # fmt: skip
        return [*codes, *(row for row in ROW_NAMES if not self.rows[row]), *signals]

    def _add(self, account: Account) -> None:
        if account.interrupted_by is not None:
            self.interruptions[account.action, account.interrupted_by.name] += 1
        if account.verdict is None:
            return
        self.verdicts[account.action, account.verdict.code] += 1
        if account.in_quiet and expected_code(account) is not None:
            self.foretold[account.action] += 1
        if account.action is Action.MONITOR:
            self.rows[row_of(account, last_look(account), probe=not account.operation.is_recurring).name] += 1
