"""Runs all checks, reports one problem for each cause, and puts the name of the resource into the fixes."""

import re
import shlex
from dataclasses import replace

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.parameter_table import MONITOR_HOOK
from ocf_systemd.doctor import (
    cluster_checks,
    dependency_checks,
    exec_checks,
    hook_checks,
    host_checks,
    lifetime_checks,
    service_checks,
    unit_checks,
    value_checks,
)
from ocf_systemd.doctor.facts import Facts
from ocf_systemd.doctor.fixes import names, update_operation

CHECKS = (
    *unit_checks.CHECKS,
    *dependency_checks.CHECKS,
    *exec_checks.CHECKS,
    *service_checks.CHECKS,
    *lifetime_checks.CHECKS,
    *hook_checks.CHECKS,
    *value_checks.CHECKS,
    *host_checks.CHECKS,
    *cluster_checks.CHECKS,
)

# Maps a check to other checks. If one of the others reports a problem, the check is skipped: both problems have the
# same cause, and the fix of the other check removes both.
_CAUSES = {
    "no-hook": ("placeholder", "readiness", "main-process", "stays-active", "lsb-script"),
    "stays-active": ("placeholder", "lsb-script"),
    "readiness": ("stays-active",),
    "main-process": ("stays-active", "lsb-script"),
}

# The checks whose problem is that the resource has no hook.
_WITHOUT_HOOK = frozenset({"no-hook", "readiness", "main-process", "stays-active", "lsb-script"})

# The checks of what a start needs. It may be on storage that the cluster mounts only where the resource is active.
_MAY_BE_MOUNTED = frozenset({"programs", "files", "conditions"})

_UPDATE = re.compile(r"^pcs resource update RESOURCE( op (\w+) .*| .*)$")  # what `fixes.update` returns


def run_checks(facts: Facts) -> tuple[CheckResult, ...]:
    """Return the result of each check, in the order of `CHECKS`; of several problems with one cause, report one."""
    results = tuple(_unless_hook_unknown(check.run(facts), facts) for check in CHECKS)
    problems = {result.name for result in results if result.is_problem}
    final = (_unless_mounted_elsewhere(_unless_reported(result, problems), facts) for result in results)
    return tuple(_with_resource(result, facts) for result in final)


def _unless_hook_unknown(result: CheckResult, facts: Facts) -> CheckResult:
    """Skip a check that reports a missing hook if the resource may have a hook, or has a wrong value for it."""
    if not result.is_problem or result.name not in _WITHOUT_HOOK:
        return result
    if facts.why_no_cluster:
        return CheckResult(result.name, Status.SKIPPED, cluster_checks.NO_ANSWER)
    if facts.resource and facts.resource.parameters.get(MONITOR_HOOK.name, "").strip():
        return CheckResult(result.name, Status.SKIPPED, "`parameters` reports the cause")
    return result


def _unless_reported(result: CheckResult, problems: set[str]) -> CheckResult:
    cause = next((name for name in _CAUSES.get(result.name, ()) if name in problems), "")
    if not cause or not result.is_problem:
        return result
    return CheckResult(result.name, Status.SKIPPED, f"`{cause}` reports the cause")


def _unless_mounted_elsewhere(result: CheckResult, facts: Facts) -> CheckResult:
    """Return a warning instead of an error if what is missing may be mounted only where the resource is active."""
    nodes = sorted({node for resource in facts.resources for node in resource.nodes})
    is_elsewhere = bool(nodes) and facts.unit is not None and not facts.unit.is_running
    if result.status is not Status.ERROR or result.name not in _MAY_BE_MOUNTED or not is_elsewhere:
        return result
    why = f"{result.why} The service runs on {names(nodes)}: there, the cluster may have mounted what is missing here."
    return replace(result, status=Status.WARNING, why=why)


def _with_resource(result: CheckResult, facts: Facts) -> CheckResult:
    """Return a result whose fixes have the name of the unit's resource, and the timeouts that the resource has now.

    Each pcs command has a comment with the crm command that does the same. `pcs resource update` resets the options of
    an operation that the command does not name (pcs(8)), so `update_operation` repeats these options.
    """
    resource, times = facts.resource, facts.operations.configured

    def named(match: re.Match[str]) -> str:
        name = resource.id if resource else "RESOURCE"
        if not match[2]:
            return f"pcs resource update {name}{match[1]}   # {_crm_parameters(name, match[1])}"
        now = f"now {times[match[2]]:g}s; " if resource and match[2] in times else ""
        command = match[0]
        if resource:
            command = update_operation(resource, match[2], match[1].removeprefix(f" op {match[2]} "))
        return f"{command}   # {now}crm configure edit {name}"

    return replace(result, fix=tuple(_UPDATE.sub(named, line) for line in result.fix))


def _crm_parameters(resource: str, settings: str) -> str:
    """Return the crm commands that set parameters; `settings` are NAME=VALUE for pcs, quoted for a shell."""
    pairs = (setting.partition("=") for setting in shlex.split(settings))
    return "; ".join(f"crm resource param {resource} set {name} {shlex.quote(value)}" for name, _, value in pairs)
