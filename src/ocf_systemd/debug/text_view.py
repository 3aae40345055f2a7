"""Debug mode where nobody watches a screen: a line for all that happens, no escape codes."""

import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from ocf_systemd.agent.events import (
    ActionBegan,
    CommandEnded,
    Escalated,
    Fact,
    Interrupted,
    Noted,
    Reporter,
    UnitSeen,
    Warned,
)
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.debug import text
from ocf_systemd.debug.session import CYCLE, Call, Result


@dataclass(slots=True)
class PlainView:
    """Writes lines as things happen."""

    stream: TextIO = sys.stdout

    def begin(self, timeline: Timeline) -> Reporter:
        """Return a reporter that writes what it is told."""
        return _Writer(timeline, self)

    def end(self, result: Result) -> None:
        """Write what an action came to."""
        if result.output:
            self.write(result.output.rstrip("\n"))
            return
        self.write(f"  verdict    {text.verdict_line(result.verdict)}, after {result.timeline.elapsed_s:.3f} s")
        if result.verdict.reason:
            self.write(f"  reason     {result.verdict.reason}")
        self.write(f"  Pacemaker  {result.consequence}")
        for line in result.journal:
            self.write(f"  journal    {line}")

    def close(self, call: Call, results: list[Result], code: int) -> None:
        """Write what all came to."""
        if call.name == CYCLE:
            codes = " ".join(str(result.verdict.code) for result in results)
            self.write(f"cycle: {codes} ({text.cycle_line(code)})")

    def write(self, line: str) -> None:
        """Write one line, at once: who reads may be waiting for it. When nobody reads any more, the action goes on."""
        with suppress(OSError):
            print(line, file=self.stream, flush=True)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Keeps facts in the timeline, and writes a line for those that tell something new."""

    timeline: Timeline
    view: PlainView

    def report(self, fact: Fact) -> None:
        states_before = len(self.timeline.states)
        self.timeline.report(fact)
        match fact:
            case ActionBegan():
                self.view.write(text.headline(self.timeline))
            case CommandEnded():
                self._write_span()
            case UnitSeen() if len(self.timeline.states) > states_before:
                at_s, state = self.timeline.states[-1]
                self.view.write(f"  {at_s:7.3f} s  unit: {text.state(state)}")
            case Noted() | Warned() | Escalated() | Interrupted():
                note = self.timeline.notes[-1]
                self.view.write(f"  {note.at_s:7.3f} s  {'warning: ' if note.is_warning else ''}{note.text}")
            case _:
                pass

    def _write_span(self) -> None:
        span = max(self.timeline.spans, key=lambda each: each.ended_s or 0.0)
        took_s = (span.ended_s or 0.0) - span.began_s
        self.view.write(f"  {span.began_s:7.3f} s  {text.label(span)}: {text.outcome(span)}, took {took_s:.3f} s")
        for line in text.output_lines(span):
            self.view.write(f"             | {line}")
