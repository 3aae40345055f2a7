"""The table of all checks."""

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.doctor import hook_checks, host_checks, service_checks, unit_checks
from ocf_systemd.doctor.facts import Facts

CHECKS = (*unit_checks.CHECKS, *service_checks.CHECKS, *hook_checks.CHECKS, *host_checks.CHECKS)


def run_checks(facts: Facts) -> tuple[CheckResult, ...]:
    """Return the result of each check, in the order of the table."""
    return tuple(check.run(facts) for check in CHECKS)
