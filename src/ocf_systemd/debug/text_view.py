"""The text view of debug mode, for pipes and files: it prints a line for each event, without escape codes."""

import sys
from contextlib import suppress
from dataclasses import dataclass

from ocf_systemd.agent.events import (
    ActionStarted,
    CommandEnded,
    Escalated,
    Event,
    Interrupted,
    Notice,
    Reporter,
    StillWaiting,
    UnitObserved,
    WarningNotice,
)
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.debug import text
from ocf_systemd.debug.changes import Changes
from ocf_systemd.debug.session import CYCLE, Call, Step, View


class TextView(View):
    """Prints lines as events happen."""

    def begin(self, timeline: Timeline) -> Reporter:
        """Return a reporter that writes events."""
        return _Writer(timeline)

    def end(self, step: Step) -> None:
        """Write the result of an action."""
        if step.output:
            _print(step.output.rstrip("\n"))
            return
        _print(f"  result     {text.result_line(step.result)}, after {step.timeline.elapsed_s:.3f} s")
        if step.result.reason:
            _print(f"  reason     {step.result.reason}")
        if step.suggestion:
            _print(f"             {step.suggestion}")
        if hook := text.hook_line(step.timeline):
            _print(f"  hook       {hook}")
        _print(f"  Pacemaker  {step.consequence}")
        for line in step.journal:
            _print(f"  journal    {line}")

    def close(self, call: Call, steps: list[Step], code: int, changes: Changes) -> None:
        """Write what debug mode has left on this host, and the summary of a cycle."""
        for line in text.left_lines(changes):
            _print(f"  left       {line}")
        if call.name == CYCLE:
            codes = " ".join(str(step.result.code) for step in steps)
            _print(f"cycle: {codes} ({text.cycle_line(code)})")


@dataclass(frozen=True, slots=True)
class _Writer:
    """Keeps events in the timeline, and writes a line for each event that a user needs to see."""

    timeline: Timeline

    def report(self, event: Event) -> None:
        states_before = len(self.timeline.states)
        self.timeline.report(event)
        match event:
            case ActionStarted():
                _print(text.headline(self.timeline))
            case CommandEnded():
                self._write_span()
            case UnitObserved() if len(self.timeline.states) > states_before:
                at_s, state = self.timeline.states[-1]
                _print(f"  {at_s:7.3f} s  unit: {text.state(state)}")
            case Notice() | StillWaiting() | WarningNotice() | Escalated() | Interrupted():
                note = self.timeline.notes[-1]
                _print(f"  {note.at_s:7.3f} s  {'warning: ' if note.is_warning else ''}{note.text}")
            case _:
                pass

    def _write_span(self) -> None:
        span = max(self.timeline.spans, key=lambda each: each.ended_s or 0.0)
        ended_s = span.ended_s or 0.0
        took_s = ended_s - span.began_s
        _print(f"  {ended_s:7.3f} s  {text.label(span)}: {text.outcome(span)}, took {took_s:.3f} s")
        for line in text.output_lines(span):
            _print(f"             | {line}")


def _print(line: str) -> None:
    """Print and flush one line, so that a reader gets it at once. A reader that has gone does not end the action."""
    with suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
