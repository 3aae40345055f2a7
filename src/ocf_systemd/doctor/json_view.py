"""A diagnosis for programs: one JSON object."""

import json
import sys
from typing import TextIO, assert_never

from ocf_systemd.core.ocf import Action
from ocf_systemd.doctor.checks import CHECKS, Diagnosis
from ocf_systemd.doctor.findings import Finding, Sound

_Json = str | int | float | bool | None | list["_Json"] | dict[str, "_Json"]


def document(diagnosis: Diagnosis) -> dict[str, _Json]:
    """Return a diagnosis as an object: every check in it, those that do not apply as skipped."""
    facts, known = diagnosis.facts, dict(diagnosis.results)
    operations = facts.operations
    checks: list[_Json] = [_check(check.name, known.get(check.name)) for check in CHECKS]
    return {
        "unit": facts.unit.id if facts.unit else facts.given,
        "given": facts.given,
        "monitor_hook": facts.parameters.monitor_hook if facts.parameters else None,
        "operations": {
            "start": operations.timeout_s(Action.START),
            "stop": operations.timeout_s(Action.STOP),
            "monitor": operations.timeout_s(Action.MONITOR),
            "interval": operations.interval_s,
        },
        "clean": not diagnosis.findings,
        "findings": [name for name, _ in diagnosis.findings],
        "checks": checks,
    }


def _check(name: str, outcome: Finding | Sound | None) -> dict[str, _Json]:
    match outcome:
        case None:
            return {"check": name, "status": "skipped"}
        case Sound(told):
            return {"check": name, "status": "ok", "what": told}
        case Finding(what, why, mend):
            return {"check": name, "status": "finding", "what": what, "why": why, "mend": list(mend)}
        case _:
            assert_never(outcome)


def write(diagnosis: Diagnosis, stream: TextIO | None = None) -> None:
    """Write the object."""
    print(json.dumps(document(diagnosis), indent=2), file=stream or sys.stdout)
