"""Renders the results of checks for doctor and rehearse: as lines of text, as JSON values, and as a summary in numbers.

`rich_checks` renders them for a terminal.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.text import printable

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
"""A value of a JSON document."""

NAME_WIDTH = 17
"""Characters of the longest name of a check."""

_STATUS_WIDTH = 9
_INDENT = " " * _STATUS_WIDTH
_SEVERITY = list(Status)


def by_severity(results: Iterable[CheckResult]) -> list[CheckResult]:
    """Return the results in the order of severity: the most severe come last, and stay visible in a terminal."""
    return sorted(results, key=lambda result: _SEVERITY.index(result.status))


def text_lines(results: Iterable[CheckResult]) -> Iterator[str]:
    """Yield lines without escape codes. They are not wrapped, so that grep(1) finds a whole sentence."""
    for result in results:
        yield f"{result.status:<{_STATUS_WIDTH}}{result.name:<{NAME_WIDTH}} {printable(result.what)}".rstrip()
        if result.why:
            yield f"{_INDENT}why   {printable(result.why)}"
        for number, line in enumerate(result.fix):
            yield f"{_INDENT}{'' if number else 'fix':<6}{printable(line)}"


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
