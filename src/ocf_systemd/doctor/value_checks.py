"""Checks of the durations in parameters and operations: values that are valid, but are probably not meant."""

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.core.named_resource import override
from ocf_systemd.core.plausibility import far_off
from ocf_systemd.doctor.check import Check
from ocf_systemd.doctor.facts import Facts
from ocf_systemd.doctor.fixes import update


def check_times(check: Check, facts: Facts) -> CheckResult:
    """Check that no duration is far from the usual range, such as seconds where milliseconds were meant."""
    if facts.parameters is None:
        return check.skipped("the name is not valid")
    options = facts.options if facts.resource is None else override(facts.resource.parameters, facts.options)
    found = far_off(options, facts.operations, facts.times)
    if not found:
        return check.ok("no time is far off")
    fixes = [update(f"{each.setting}={each.meant}") for each in found if each.meant]
    whys = (
        "" if all(each.least_s for each in found) else "A number without a unit is seconds.",
        "The agent may not report a result before so short a timeout." if any(each.least_s for each in found) else "",
        "" if fixes else "Decide which time is meant, and write it with its unit, such as ms or s.",
    )
    return check.warning("; ".join(map(str, found)), " ".join(filter(None, whys)), *fixes)


CHECKS = (Check("times", check_times),)
