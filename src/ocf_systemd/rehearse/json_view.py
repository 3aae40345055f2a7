"""The JSON view of a rehearsal, which prints one object at the end."""

import json
import sys
from dataclasses import asdict

from ocf_systemd.display.checks import Json, json_checks
from ocf_systemd.rehearse.progress import Progress, View
from ocf_systemd.rehearse.proposal import Proposal


class JsonView(View):
    """Prints one object."""

    def close(self, progress: Progress) -> None:
        """Print the object."""
        document: Json = {
            "version": 1,
            "unit": progress.unit,
            "monitor_hook": progress.hook,
            "interrupted": progress.interrupted,
            "elapsed_s": round(progress.now_s, 4),
            "checks": json_checks(progress.results),
            "measured": {
                name: round(value, 4) if isinstance(value, float) else value
                for name, value in asdict(progress.measured).items()
            },
            "proposal": _proposal(progress.proposal) if progress.proposal else None,
        }
        sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _proposal(proposal: Proposal) -> Json:
    return {
        "start_timeout_s": proposal.start_s,
        "stop_timeout_s": proposal.stop_s,
        "monitor_timeout_s": proposal.monitor_s,
        "monitor_interval_s": proposal.interval_s,
        "pcs": proposal.pcs,
        "crm": proposal.crm,
    }
