"""Checks of what keeps a unit from starting on request, stops it without a request, or hides that it has ended."""

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.doctor.check import Check, find_loaded, needs
from ocf_systemd.doctor.facts import FOREVER_S, Facts, Service, Unit
from ocf_systemd.doctor.fixes import drop_in, is_lsb_script, quoted, time_span, with_hook

_Known = tuple[Facts, Unit]


def _has_hook(facts: Facts) -> bool:
    return facts.parameters is not None and facts.parameters.monitor_hook is not None


@needs(find_loaded)
def check_manual_start(check: Check, known: _Known) -> CheckResult:
    """Check that systemd starts and stops the unit on request."""
    facts, unit = known
    if not unit.refused:
        return check.ok("systemd starts and stops it on request")
    is_ended = _is_ended_by_agent(facts, unit)
    harm = {
        "RefuseManualStart": "Every start fails.",
        "RefuseManualStop": "systemd refuses every stop, so the agent ends its processes with SIGTERM, and then with "
        "SIGKILL. ExecStop= does not run."
        if is_ended
        else "Every stop fails, and a failed stop fences the node.",
    }
    report = check.warning if is_ended and unit.refused == ("RefuseManualStop",) else check.error
    return report(
        ", ".join(f"{setting}=yes" for setting in unit.refused),
        " ".join(harm[setting] for setting in unit.refused),
        *drop_in(unit.id, *(f"{setting}=no" for setting in unit.refused), section="Unit"),
    )


def _is_ended_by_agent(facts: Facts, unit: Unit) -> bool:
    """Return whether the agent can stop the unit with signals to its processes, although systemd refuses a stop.

    This needs stop_escalate=yes, and a service that becomes inactive once its processes have ended.
    """
    escalates = facts.parameters is None or facts.parameters.stop_escalate
    return escalates and unit.service is not None and not unit.service.remain_after_exit


@needs(find_loaded)
def check_conditions(check: Check, known: _Known) -> CheckResult:
    """Check that the conditions and assertions of the unit are met."""
    unit = known[1]
    if unit.is_running:
        return check.skipped("the unit is running: its conditions were met when it started, and may not be met now")
    if isinstance(unit.unmet, str):
        return check.skipped(f"unknown: {unit.unmet}")
    by_program = [each for each in unit.unmet if any(command.path in each for command in unit.unstartable)]
    unmet = [each for each in unit.unmet if each not in by_program]
    if by_program and not unmet:
        return check.skipped("`programs` reports the cause")
    if not unmet:
        return check.ok("all conditions are met")
    return check.error(
        f"not met on this node: {', '.join(unmet)}",
        "systemd does not start the unit, so a start fails. If the cluster mounts a file system that a condition "
        "needs, run this check on the node where it is mounted.",
        f"systemd-analyze condition --unit={quoted(unit.id)}   # shows all conditions",
        f"systemctl cat {quoted(unit.id)}   # shows in which file each condition is set",
    )


@needs(find_loaded)
def check_stop_unneeded(check: Check, known: _Known) -> CheckResult:
    """Check that systemd does not stop the unit because no other unit needs it."""
    unit = known[1]
    if not unit.stop_when_unneeded:
        return check.ok("it runs whether or not other units need it")
    return check.error(
        "StopWhenUnneeded=yes",
        "No other unit needs it when the cluster starts it, so systemd stops it at once: a start fails.",
        *drop_in(unit.id, "StopWhenUnneeded=no", section="Unit"),
    )


def _find_service(facts: Facts) -> tuple[Facts, Unit, Service] | str:
    found = find_loaded(facts)
    if isinstance(found, str):
        return found
    return "the unit is not a service" if found[1].service is None else (*found, found[1].service)


@needs(_find_service)
def check_runtime_max(check: Check, known: tuple[Facts, Unit, Service]) -> CheckResult:
    """Check that systemd does not end the service after a fixed time (RuntimeMaxSec=)."""
    _, unit, service = known
    if service.runtime_max_s == FOREVER_S or service.type == "oneshot":
        return check.ok("it may run for ever")
    return check.error(
        f"RuntimeMaxSec={time_span(service.runtime_max_s)}",
        "systemd ends the service after that time. The cluster detects a failure each time, and restarts or moves it.",
        *drop_in(unit.id, "RuntimeMaxSec=infinity"),
    )


@needs(_find_service)
def check_lsb_script(check: Check, known: tuple[Facts, Unit, Service]) -> CheckResult:
    """Check that the unit of an LSB script is active only while its service runs, or that there is a hook."""
    facts, unit, service = known
    if not is_lsb_script(unit):
        return check.skipped("the unit is not from an LSB script")
    if not service.remain_after_exit:
        return check.ok("RemainAfterExit=no")
    if _has_hook(facts):
        return check.ok("LSB script; the hook detects failures that the unit's state does not show")
    return check.error(
        f"{unit.source} is an LSB script, and there is no hook",
        "The unit stays active whether or not a process of the service runs: a start succeeds even if the script has "
        "started nothing, and a monitor does not detect any failure.",
        *with_hook(unit.id),
        "# and, if its processes run until a stop:",
        *drop_in(unit.id, "RemainAfterExit=no"),
    )


@needs(_find_service)
def check_stays_active(check: Check, known: tuple[Facts, Unit, Service]) -> CheckResult:
    """Check that the unit does not stay active after its processes have ended, or that a hook detects their end."""
    facts, unit, service = known
    if not service.remain_after_exit:
        return check.ok("RemainAfterExit=no")
    if _has_hook(facts):
        return check.ok("RemainAfterExit=yes, but the hook detects a failure")
    if service.type == "oneshot":
        return check.warning(
            "Type=oneshot with RemainAfterExit=yes and without a hook",
            "The unit stays active until it is stopped, so a monitor does not detect any failure.",
            *with_hook(unit.id),
        )
    return check.error(
        f"Type={service.type} with RemainAfterExit=yes and without a hook",
        "The unit stays active after its processes have ended, so a monitor does not detect any failure.",
        *with_hook(unit.id),
        "# or, if its processes run until a stop:",
        *drop_in(unit.id, "RemainAfterExit=no"),
    )


@needs(find_loaded)
def check_no_hook(check: Check, known: _Known) -> CheckResult:
    """Check that the service has a hook, which can detect a hang."""
    facts, unit = known
    if unit.service is None:
        return check.skipped("it is not a service")
    if _has_hook(facts):
        return check.ok("a hook checks the service")
    return check.warning(
        "no hook",
        "A monitor sees only the state that systemd reports: a service that hangs stays active.",
        *with_hook(unit.id),
    )


CHECKS = (
    Check("manual-start", check_manual_start),
    Check("conditions", check_conditions),
    Check("stop-unneeded", check_stop_unneeded),
    Check("runtime-max", check_runtime_max),
    Check("lsb-script", check_lsb_script),
    Check("stays-active", check_stays_active),
    Check("no-hook", check_no_hook),
)
