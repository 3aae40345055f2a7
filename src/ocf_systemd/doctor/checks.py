"""The table of all checks, and which of them report the same cause."""

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.doctor import (
    dependency_checks,
    exec_checks,
    hook_checks,
    host_checks,
    lifetime_checks,
    service_checks,
    unit_checks,
)
from ocf_systemd.doctor.facts import Facts

CHECKS = (
    *unit_checks.CHECKS,
    *dependency_checks.CHECKS,
    *exec_checks.CHECKS,
    *service_checks.CHECKS,
    *lifetime_checks.CHECKS,
    *hook_checks.CHECKS,
    *host_checks.CHECKS,
)

# For each check, those whose problem has the same cause, and whose fix removes both.
_CAUSES = {
    "no-hook": ("placeholder", "readiness", "main-process", "stays-active", "lsb-script"),
    "stays-active": ("placeholder", "lsb-script"),
    "readiness": ("stays-active",),
    "main-process": ("stays-active", "lsb-script"),
}


def run_checks(facts: Facts) -> tuple[CheckResult, ...]:
    """Return the result of each check, in the order of the table; one problem for each cause."""
    results = tuple(check.run(facts) for check in CHECKS)
    problems = {result.name for result in results if result.is_problem}
    return tuple(_unless_reported(result, problems) for result in results)


def _unless_reported(result: CheckResult, problems: set[str]) -> CheckResult:
    cause = next((name for name in _CAUSES.get(result.name, ()) if name in problems), "")
    if not cause or not result.is_problem:
        return result
    return CheckResult(result.name, Status.SKIPPED, f"`{cause}` reports the cause")
