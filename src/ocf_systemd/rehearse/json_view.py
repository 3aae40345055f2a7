"""A rehearsal for programs: one JSON object, at the end."""

import json
import sys
from dataclasses import asdict, dataclass
from typing import TextIO

from ocf_systemd.rehearse import text
from ocf_systemd.rehearse.progress import Record, Step
from ocf_systemd.rehearse.proposal import Proposal
from ocf_systemd.rehearse.scenarios import TITLES, Failed

_Json = str | int | float | bool | None | list["_Json"] | dict[str, "_Json"]


@dataclass(slots=True)
class JsonView:
    """Prints one object."""

    stream: TextIO = sys.stdout

    def begin(self, record: Record) -> None:
        """Show nothing yet."""

    def ended(self, record: Record, step: Step) -> None:
        """Show nothing yet."""

    def close(self, record: Record) -> None:
        """Print the object."""
        print(json.dumps(_record(record), indent=2), file=self.stream)


def _record(record: Record) -> dict[str, _Json]:
    return {
        "unit": record.unit,
        "monitor_hook": record.hook,
        "code": int(record.exit_code),
        "passed": record.exit_code == 0,
        "interrupted": record.interrupted,
        "not_put_back": record.not_put_back,
        "elapsed_s": round(record.now_s, 4),
        "steps": [_step(step) for step in record.steps],
        "measured": {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(record.measured).items()
        },
        "proposal": _proposal(record.proposal) if record.proposal else None,
    }


def _step(step: Step) -> _Json:
    outcome = step.outcome
    return {
        "name": step.scene.value,
        "title": TITLES[step.scene],
        "outcome": text.label(outcome).lower() if outcome else None,
        "told": text.told(outcome) if outcome else "",
        "remedy": outcome.remedy if isinstance(outcome, Failed) else "",
        "elapsed_s": round(step.ended_s - step.began_s, 4)
        if step.ended_s is not None and step.began_s is not None
        else None,
    }


def _proposal(proposal: Proposal) -> _Json:
    return {
        "start_timeout_s": proposal.start_s,
        "stop_timeout_s": proposal.stop_s,
        "monitor_timeout_s": proposal.monitor_s,
        "monitor_interval_s": proposal.interval_s,
        "pcs": proposal.pcs,
        "crm": proposal.crm,
    }
