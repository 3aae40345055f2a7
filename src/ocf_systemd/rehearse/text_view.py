"""The text view of a rehearsal, for pipes and files: the lines of each result at once, no escape codes."""

import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.display.checks import text_lines
from ocf_systemd.rehearse import text
from ocf_systemd.rehearse.progress import Progress, View


@dataclass(slots=True)
class TextView(View):
    """Writes lines."""

    stream: TextIO = sys.stdout

    def begin(self, progress: Progress) -> None:
        """Write what is rehearsed."""
        self._write([text.headline(progress)])

    def show(self, result: CheckResult) -> None:
        """Write a result."""
        self._write(text_lines([result]))

    def close(self, progress: Progress) -> None:
        """Write the times, the commands and the conclusion."""
        rows = (f"{name:9}  {took:>8}  {propose:>7}  {why}" for name, took, propose, why in text.times(progress))
        parts = ("\n".join(rows), *text.commands(progress), text.conclusion(progress))
        self._write(f"\n{part}" for part in parts if part)

    def _write(self, lines: Iterable[str]) -> None:
        """Write at once, for readers that wait. If there is no reader any more, the rehearsal goes on."""
        with suppress(OSError):
            for line in lines:
                print(line, file=self.stream, flush=True)
