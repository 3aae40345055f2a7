"""What doctor prints: a report as text, or one JSON document."""

import json
from collections.abc import Iterator, Sequence

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.text import printable
from ocf_systemd.display.checks import Json, by_severity, json_checks, summary, text_lines
from ocf_systemd.doctor.cluster_checks import NO_ANSWER
from ocf_systemd.doctor.facts import Facts
from ocf_systemd.doctor.hook_checks import NOT_RUN

_ACTIONS = (Action.START, Action.STOP, Action.MONITOR)


def unit_name(facts: Facts) -> str:
    """Return the name of the unit that is checked."""
    return printable(facts.unit.id if facts.unit else facts.given)


def operations(facts: Facts) -> str:
    """Return the timeouts of the operations and the interval of the monitor as text."""
    times = ", ".join(f"{action} {facts.operations.timeout_s(action):g}s" for action in _ACTIONS)
    return f"{times} every {facts.operations.interval_s:g}s"


def shown(results: Sequence[CheckResult]) -> list[CheckResult]:
    """Return the results that a report shows: those of the checks that apply, with the most severe last."""
    return by_severity(result for result in results if result.status is not Status.SKIPPED)


def text_report(facts: Facts, results: Sequence[CheckResult]) -> Iterator[str]:
    """Yield the lines of a report."""
    yield f"doctor {unit_name(facts)}   {operations(facts)}"
    yield from text_lines(shown(results))
    yield summary(results)


def json_report(facts: Facts, results: Sequence[CheckResult]) -> str:
    """Return a report as a JSON document, which includes the checks that were skipped."""
    times: dict[str, Json] = {str(action): facts.operations.timeout_s(action) for action in _ACTIONS}
    document: dict[str, Json] = {
        "version": 1,
        "unit": facts.unit.id if facts.unit else facts.given,
        "given": facts.given,
        "monitor_hook": facts.parameters.monitor_hook if facts.parameters else None,
        "operations": {**times, "interval": facts.operations.interval_s},
        "checks": json_checks(results),
    }
    return json.dumps(document, indent=2)


def unseen_lines(results: Sequence[CheckResult]) -> Iterator[str]:
    """Yield lines for a user other than root: which checks were skipped because they need root's rights, and why."""
    skipped = [result for result in results if result.status is Status.SKIPPED]
    whys = dict.fromkeys(result.what for result in skipped if result.what.startswith((NOT_RUN, NO_ANSWER)))
    yield "This user is not root: what only root can read counts as missing."
    for why in whys:
        yield f"skipped, since {why}: {', '.join(result.name for result in skipped if result.what == why)}"
