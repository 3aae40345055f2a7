"""A rehearsal where nobody watches a screen: a line for each scene as it ends, no escape codes."""

import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from ocf_systemd.rehearse import text
from ocf_systemd.rehearse.progress import Record, Step
from ocf_systemd.rehearse.scenarios import TITLES, Failed


@dataclass(slots=True)
class PlainView:
    """Writes lines as scenes end."""

    stream: TextIO = sys.stdout

    def begin(self, record: Record) -> None:
        """Write what is rehearsed."""
        self._write(text.headline(record))

    def ended(self, record: Record, step: Step) -> None:  # noqa: ARG002  # a view that draws needs it
        """Write what a scene came to."""
        if step.outcome is None:
            return
        took_s = (step.ended_s or 0.0) - (step.began_s or 0.0)
        line = f"  {text.label(step.outcome):7}  {TITLES[step.scene]:32} {took_s:6.2f} s  {text.told(step.outcome)}"
        self._write(line)
        if isinstance(step.outcome, Failed):
            self._write(f"           what to do: {step.outcome.remedy}")

    def close(self, record: Record) -> None:
        """Write what all came to, and the commands."""
        rows = list(text.times(record))
        for operation, took, timeout, why in (text.TIMES_HEAD, *rows) if rows else ():
            self._write(f"  {operation:9}  {took:>8}  {timeout:>7}  {why}")
        if record.proposal and record.exit_code == 0:
            self._write(f"\n{record.proposal.pcs}\n\n{record.proposal.crm}\n")
        if record.not_put_back:
            self._write(f"not put back: {record.not_put_back}")
        self._write(text.conclusion(record))

    def _write(self, text: str) -> None:
        """Write at once: who reads may be waiting for it. When nobody reads any more, the rehearsal goes on."""
        with suppress(OSError):
            print(text, file=self.stream, flush=True)
