"""The table of all checks, which of them report the same cause, and the name of the resource in their fixes."""

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

# For each check, those whose problem has the same cause, and whose fix removes both.
_CAUSES = {
    "no-hook": ("placeholder", "readiness", "main-process", "stays-active", "lsb-script"),
    "stays-active": ("placeholder", "lsb-script"),
    "readiness": ("stays-active",),
    "main-process": ("stays-active", "lsb-script"),
}

# Those whose problem is that there is no hook.
_WITHOUT_HOOK = frozenset({"no-hook", "readiness", "main-process", "stays-active", "lsb-script"})

# What a start needs, and may be on storage that the cluster mounts on the node where the service runs.
_MAY_BE_MOUNTED = frozenset({"programs", "files", "conditions"})

_UPDATE = re.compile(r"^pcs resource update RESOURCE( op (\w+) .*| .*)$")  # `fixes.update`


def run_checks(facts: Facts) -> tuple[CheckResult, ...]:
    """Return the result of each check, in the order of the table; one problem for each cause."""
    results = tuple(_unless_hook_unknown(check.run(facts), facts) for check in CHECKS)
    problems = {result.name for result in results if result.is_problem}
    final = (_unless_mounted_elsewhere(_unless_reported(result, problems), facts) for result in results)
    return tuple(_with_resource(result, facts) for result in final)


def _unless_hook_unknown(result: CheckResult, facts: Facts) -> CheckResult:
    """Return that a check is skipped if it misses a hook, and the resource may have one, or has a wrong one."""
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
    """Return a warning instead of an error for what may be mounted only on the node where the resource is active."""
    nodes = sorted({node for resource in facts.resources for node in resource.nodes})
    is_elsewhere = bool(nodes) and facts.unit is not None and not facts.unit.is_running
    if result.status is not Status.ERROR or result.name not in _MAY_BE_MOUNTED or not is_elsewhere:
        return result
    why = f"{result.why} The service runs on {names(nodes)}: there, the cluster may have mounted what is missing here."
    return replace(result, status=Status.WARNING, why=why)


def _with_resource(result: CheckResult, facts: Facts) -> CheckResult:
    """Return a result whose fixes name the resource that manages the unit, and the timeouts that it has now.

    The comment of each command for pcs has that for crm. `pcs resource update` resets the options of an operation that
    it does not name (pcs(8)).
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
    """Return the crm commands for what `pcs resource update` sets, as NAME=VALUE quoted for a shell."""
    pairs = (setting.partition("=") for setting in shlex.split(settings))
    return "; ".join(f"crm resource param {resource} set {name} {shlex.quote(value)}" for name, _, value in pairs)
