"""A diagnosis in a terminal: a tick for what is well, and what is to be mended in colour.

Texts from outside are `Text`, never markup: a unit may be called `[red]`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ocf_systemd.core.text import printable
from ocf_systemd.doctor import text
from ocf_systemd.doctor.checks import Diagnosis
from ocf_systemd.doctor.findings import Finding

_GOOD, _BAD, _COMMAND, _DIM = "green", "red", "cyan", "dim"
_NAME_WIDTH, _INDENT = 14, 4


@contextmanager
def waiting(console: Console) -> Iterator[None]:
    """Show whoever watches that something is being done, which a hook may make long."""
    if not console.file.isatty():
        yield
        return
    with console.status(Text("asking systemd and the hook …", _DIM)):
        yield


def show(diagnosis: Diagnosis, console: Console) -> None:
    """Draw a diagnosis, what is to be mended last, where it stays on the screen."""
    name, _, operations = text.headline(diagnosis.facts).removeprefix("doctor ").partition("   ")
    console.print(Text.assemble("doctor ", (name, "bold"), "   ", (operations, _DIM)))
    for check, sound in diagnosis.sound:
        console.print(_line("✓", _GOOD, Text(check), Text(printable(sound.told), _DIM)))
    for check, finding in diagnosis.findings:
        console.print(_line("✗", _BAD, Text(check, _BAD), Text(printable(finding.what), "bold")))
        _show_remedy(finding, console)
    console.print(Text(text.summary(diagnosis), f"bold {_BAD if diagnosis.findings else _GOOD}"))


def _line(mark: str, style: str, check: Text, told: Text) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(width=_NAME_WIDTH, no_wrap=True)
    table.add_column()
    table.add_row(Text(mark, style), check, told)
    return table


def _show_remedy(finding: Finding, console: Console) -> None:
    console.print(Padding(Text(printable(finding.why)), (0, 0, 0, _INDENT)))
    for line in map(printable, finding.mend):
        # The terminal may break a command, which can be copied then as the one line that it is.
        console.print(Text(" " * _INDENT + line, _DIM if line.startswith("#") else _COMMAND), soft_wrap=True)
