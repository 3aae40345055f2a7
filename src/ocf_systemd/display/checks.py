"""Renders the results of checks for doctor and rehearse: as lines of text, as JSON values, and as a summary in numbers.

`rich_checks` renders them for a terminal.
"""

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.text import printable

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
"""A value of a JSON document."""

_WIDTH = 80  # columns
NAME_WIDTH = 17
"""Characters of the longest name of a check."""

_STATUS_WIDTH = 9
_INDENT = " " * _STATUS_WIDTH
_SEVERITY = list(Status)
_COMMAND, _NO_BREAK = re.compile("`[^`]*`"), "\N{NO-BREAK SPACE}"


def by_severity(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the results in the order of severity: the most severe come last, and stay visible in a terminal."""
    return sorted(results, key=lambda result: _SEVERITY.index(result.status))


def text_lines(results: Iterable[CheckResult]) -> Iterator[str]:
    """Yield lines of at most 80 characters without escape codes; only a line with a command may be longer."""
    for result in results:
        yield from wrapped(f"{result.status:<{_STATUS_WIDTH}}{result.name:<{NAME_WIDTH}} ", result.what)
        if result.why:
            yield from wrapped(f"{_INDENT}why   ", result.why)
        for number, line in enumerate(result.fix):
            yield f"{_INDENT}{'' if number else 'fix':<6}{printable(line)}"


def wrapped(label: str, text: str, width: int = _WIDTH) -> list[str]:
    """Return the lines of a label and, to its right, the wrapped text; no line break is within a `command`."""
    # textwrap breaks lines at ASCII blanks only, so no-break spaces keep a command on one line.
    unbroken = _COMMAND.sub(lambda match: match[0].replace(" ", _NO_BREAK), printable(text))
    lines = textwrap.wrap(
        unbroken,
        width,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines] or [label.rstrip()]


def json_checks(results: Iterable[CheckResult]) -> list[Json]:
    """Return a JSON object for each result, with the fields of `CheckResult`."""
    return [asdict(result) for result in results]


def summary(results: Iterable[CheckResult]) -> str:
    """Return how many checks found a problem and how many passed, as in `2 problems found, 17 checks passed`."""
    statuses = [result.status for result in results]
    problems, passed = len(statuses) - sum(map(statuses.count, (Status.OK, Status.SKIPPED))), statuses.count(Status.OK)
    return f"{_count(problems, 'problem')} found, {_count(passed, 'check')} passed"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
