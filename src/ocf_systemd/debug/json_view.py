"""The JSON view of debug mode: prints one object when the action, or the whole cycle, has ended."""

import json
import sys

from ocf_systemd.agent.timeline import Span
from ocf_systemd.core.observations import NoAnswer, UnitState
from ocf_systemd.core.ocf import code_name
from ocf_systemd.core.pacemaker import meaning
from ocf_systemd.debug import text
from ocf_systemd.debug.changes import Changes
from ocf_systemd.debug.session import CYCLE, Call, Step, View
from ocf_systemd.display.checks import Json


class JsonView(View):
    """Prints the object of an action or, for a cycle, an object whose `steps` are those of its actions."""

    def close(self, call: Call, done: list[Step], code: int, changes: Changes) -> None:
        """Print the object."""
        steps: list[Json] = [_action(step) for step in done]
        cycle: dict[str, Json] = {"action": CYCLE, "unit": call.options.get("unit", ""), "code": code, "steps": steps}
        document = cycle if call.name == CYCLE or not done else _action(done[0])
        drop_in = str(changes.drop_in) if changes.drop_in else None
        left: dict[str, Json] = {"started": changes.has_started, "stopped": changes.has_stopped, "drop_in": drop_in}
        left["unknown"] = changes.is_unknown
        sys.stdout.write(json.dumps(document | {"left": left}, indent=2) + "\n")


def _action(step: Step) -> dict[str, Json]:
    timeline, result = step.timeline, step.result
    return {
        "action": timeline.action.value,
        "unit": timeline.unit,
        "code": int(result.code),
        "name": code_name(result.code),
        "meaning": meaning(result.code),
        "reason": result.reason,
        "pacemaker": step.consequence,
        "elapsed_s": round(timeline.elapsed_s, 4),
        "timeout_s": timeline.timeout_s,
        "deadline_s": round(timeline.time_s, 4),
        "looks": timeline.observations,
        "states": [_state(at_s, state) for at_s, state in timeline.states],
        "commands": [_span(span) for span in timeline.spans],
        "notes": [
            {"at_s": round(note.at_s, 4), "text": note.text, "warning": note.is_warning} for note in timeline.notes
        ],
        "journal": list(step.journal),
        "output": step.output,
    }


def _state(at_s: float, state: UnitState | NoAnswer) -> Json:
    time: dict[str, Json] = {"at_s": round(at_s, 4)}
    if isinstance(state, NoAnswer):
        return time | {"no_answer": state.why}
    return time | {"LoadState": state.load_state, "ActiveState": state.active_state, "SubState": state.sub_state}


def _span(span: Span) -> Json:
    command: dict[str, Json] = {
        "purpose": span.purpose.value,
        "arguments": list(span.command.arguments),
        "began_s": round(span.began_s, 4),
        "ended_s": None if span.ended_s is None else round(span.ended_s, 4),
        "outcome": text.outcome(span),
    }
    streams = text.streams(span).items()
    return command | {name: stream.decode(errors="backslashreplace") for name, stream in streams}
