"""The text view of a rehearsal, for pipes and files: prints each result at once, without escape codes."""

import sys
from collections.abc import Iterable
from contextlib import suppress

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.display.checks import text_lines
from ocf_systemd.rehearse import text
from ocf_systemd.rehearse.progress import Progress, View


class TextView(View):
    """Prints lines."""

    def begin(self, progress: Progress) -> None:
        """Write a line that names the unit and the hook that are rehearsed."""
        _print([text.headline(progress)])

    def show(self, result: CheckResult) -> None:
        """Write a result."""
        _print(text_lines([result]))

    def close(self, progress: Progress) -> None:
        """Write the times, the commands and the conclusion."""
        rows = (f"{name:9}  {took:>8}  {propose:>7}  {why}" for name, took, propose, why in text.times(progress))
        parts = ("\n".join(rows), *text.commands(progress), text.conclusion(progress))
        _print(f"\n{part}" for part in parts if part)


def _print(lines: Iterable[str]) -> None:
    """Print each line at once, since a reader may wait for it. If the reader has ended, the rehearsal goes on."""
    with suppress(OSError):
        for line in lines:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
