"""The table of all checks, and what they say of the facts: pure."""

from dataclasses import dataclass

from ocf_systemd.doctor import hook_checks, host_checks, service_checks, unit_checks
from ocf_systemd.doctor.facts import Facts
from ocf_systemd.doctor.findings import Finding, Sound

CHECKS = (*unit_checks.CHECKS, *service_checks.CHECKS, *hook_checks.CHECKS, *host_checks.CHECKS)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The facts, and what each check that applies says of them, by its name."""

    facts: Facts
    results: tuple[tuple[str, Finding | Sound], ...]

    @property
    def sound(self) -> tuple[tuple[str, Sound], ...]:
        """What is as it should be."""
        return tuple((name, outcome) for name, outcome in self.results if isinstance(outcome, Sound))

    @property
    def findings(self) -> tuple[tuple[str, Finding], ...]:
        """What there is to mend."""
        return tuple((name, outcome) for name, outcome in self.results if isinstance(outcome, Finding))


def diagnose(facts: Facts) -> Diagnosis:
    """Return what all checks say."""
    outcomes = ((check.name, check.run(facts)) for check in CHECKS)
    return Diagnosis(facts, tuple((name, outcome) for name, outcome in outcomes if outcome is not None))
