"""Renders the results of checks for a terminal: a line for each check; a problem in colour, with its reason and fix.

Texts from outside are passed as `Text` objects: in a plain string, rich would read `[red]` as markup.
"""

import re
import textwrap
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.text import printable
from ocf_systemd.display.checks import NAME_WIDTH

GOOD, POOR, BAD, COMMAND, DIM = "green", "yellow", "red", "cyan", "dim"
"""Styles of all rich views."""

MARKS = {Status.SKIPPED: ("-", DIM), Status.OK: ("✓", GOOD), Status.WARNING: ("!", POOR), Status.ERROR: ("✗", BAD)}
"""The character that marks each status, and its style."""

_INDENT = " " * 4
_COMMAND, _NO_BREAK = re.compile("`[^`]*`"), "\N{NO-BREAK SPACE}"


def print_checks(results: Iterable[CheckResult], console: Console) -> None:
    """Print the results. A command is not wrapped here: if the terminal wraps it, it is still copied as one line."""
    for result in results:
        mark, style = MARKS[result.status]
        name_style, what_style = (style, "bold") if result.is_problem else ("", DIM)
        console.print(_line(Text(mark, style), Text(result.name, name_style), Text(printable(result.what), what_style)))
        if result.why:
            console.print(Text("\n".join(_wrapped(result.why, console.width))), soft_wrap=True)
        for line in map(printable, result.fix):
            text = Text(_INDENT + line, DIM if line.startswith("#") else COMMAND)
            console.print(text, soft_wrap=True)


def _wrapped(text: str, width: int) -> list[str]:
    """Return the indented lines of a text; no line break is within a `command`."""
    # textwrap breaks lines at ASCII blanks only, so no-break spaces keep a command on one line.
    unbroken = _COMMAND.sub(lambda match: match[0].replace(" ", _NO_BREAK), printable(text))
    lines = textwrap.wrap(
        unbroken,
        width,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]


def summary_style(results: Iterable[CheckResult]) -> str:
    """Return the style of the line with the summary: that of the most severe result."""
    statuses = {result.status for result in results}
    if Status.ERROR in statuses:
        return f"bold {BAD}"
    return f"bold {POOR if Status.WARNING in statuses else GOOD}"


def grid(gap: int = 1, *, expand: bool = False) -> Table:
    """Return a table without borders, whose columns are `gap` characters apart.

    The gap is to the right of each column: on the left, rich 13.7 adds it to the width of the first column.
    """
    return Table.grid(padding=(0, gap, 0, 0), expand=expand)


def _line(mark: Text, name: Text, what: Text) -> Table:
    table = grid()
    table.add_column(width=1)
    table.add_column(width=NAME_WIDTH, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(mark, name, what)
    return table
