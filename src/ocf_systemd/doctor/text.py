"""The words that all views of doctor use."""

from ocf_systemd.core.ocf import Action
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.text import printable
from ocf_systemd.doctor.checks import Diagnosis
from ocf_systemd.doctor.facts import Facts

SOUND, FOUND = "ok", "MEND"


def headline(facts: Facts) -> str:
    """Return what was looked at, and by which operations."""
    name = facts.unit.id if facts.unit else facts.given
    return f"doctor {printable(name)}   {operations(facts.operations)}"


def operations(known: Operations) -> str:
    """Return the operations' timeouts and the monitor's interval."""
    times = ", ".join(
        f"{action} {known.timeout_s(action):g}s" for action in (Action.START, Action.STOP, Action.MONITOR)
    )
    return f"{times} every {known.interval_s:g}s"


def summary(diagnosis: Diagnosis) -> str:
    """Return how many checks found something."""
    count = len(diagnosis.findings)
    passed = f"{len(diagnosis.results) - count} checks passed"
    if not count:
        return f"nothing to mend, {passed}"
    return f"{count} thing{'s' if count > 1 else ''} to mend, {passed}"
