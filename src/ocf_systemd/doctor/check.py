"""A check: its name, its rule, and how the rule reports what it found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.observations import LoadState
from ocf_systemd.doctor.facts import Facts, Unit

_Subject = TypeVar("_Subject")


@dataclass(frozen=True, slots=True)
class Check:
    """A check; `rule` is a pure function that returns the result for the facts.

    The rule reports an error if the cluster would run the unit twice, fence a node, or fail to start, stop or monitor
    the unit. Any other problem is a warning, and so is each problem without a fix (`fixes`).
    """

    name: str
    rule: Callable[["Check", Facts], CheckResult]

    def run(self, facts: Facts) -> CheckResult:
        """Return the result for these facts."""
        return self.rule(self, facts)

    def skipped(self, why: str) -> CheckResult:
        """Return the result of a check that does not apply, or whose problem another check reports."""
        return CheckResult(self.name, Status.SKIPPED, why)

    def ok(self, what: str) -> CheckResult:
        """Return the result of a check that has found no problem."""
        return CheckResult(self.name, Status.OK, what)

    def warning(self, what: str, why: str, *fix: str) -> CheckResult:
        """Return a problem that does not keep the cluster from running the unit."""
        return CheckResult(self.name, Status.WARNING, what, why, fix)

    def error(self, what: str, why: str, *fix: str) -> CheckResult:
        """Return a problem that must be fixed before the cluster runs the unit."""
        return CheckResult(self.name, Status.ERROR, what, why, fix)


def needs(
    find: Callable[[Facts], _Subject | str],
) -> Callable[[Callable[[Check, _Subject], CheckResult]], Callable[[Check, Facts], CheckResult]]:
    """Return a decorator that turns a rule about a subject, such as a unit, into a rule about the facts.

    `find` returns the subject. If it returns a text instead, the check is skipped, and the text is the reason.
    """

    def decorate(rule: Callable[[Check, _Subject], CheckResult]) -> Callable[[Check, Facts], CheckResult]:
        def run(check: Check, facts: Facts) -> CheckResult:
            subject = find(facts)
            return check.skipped(subject) if isinstance(subject, str) else rule(check, subject)

        return run

    return decorate


def find_loaded(facts: Facts) -> tuple[Facts, Unit] | str:
    """Return the facts and the unit; if systemd has not loaded the unit, return why its checks are skipped."""
    if facts.unit is None or facts.unit.load_state is not LoadState.LOADED:
        return "the unit is not loaded"
    return facts, facts.unit
