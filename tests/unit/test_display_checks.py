"""The results of checks as text, as JSON and in a terminal."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from ocf_systemd.core.check_result import CheckResult, Status, exit_code
from ocf_systemd.display.checks import NAME_WIDTH, by_severity, json_checks, summary, text_lines
from ocf_systemd.display.rich_checks import print_checks, summary_style
from ocf_systemd.doctor.checks import CHECKS

COMMAND = "systemctl disable a-unit-with-a-long-name.service " + "x" * 100
OK = CheckResult("masked", Status.OK, "not masked")
SKIPPED = CheckResult("hook", Status.SKIPPED, "there is no hook")
WARNING = CheckResult("readiness", Status.WARNING, "Type=simple, and no hook", "A start succeeds early.", ("# a hook",))
ERROR = CheckResult("enabled", Status.ERROR, "boot starts it" * 9, "It runs twice. " * 9 + "So.", (COMMAND, "true"))
ALL = (ERROR, OK, WARNING, SKIPPED)

ODD = "a[red]b[/red] \x1b[2J:smile:"
HOSTILE = CheckResult("name", Status.ERROR, ODD, ODD, (ODD,))


def printed(*results: CheckResult, width: int = 80) -> str:
    stream = io.StringIO()
    print_checks(results, Console(file=stream, width=width, color_system=None, highlight=False))
    return stream.getvalue()


def test_the_longest_name_fits() -> None:
    """All texts begin in the same column, and no name is cut."""
    assert max(len(check.name) for check in CHECKS) == NAME_WIDTH


def test_text() -> None:
    """A line has the status, the name and what was found; below a problem are the reason and the commands."""
    assert list(text_lines([OK, SKIPPED, WARNING])) == [
        "ok       masked            not masked",
        "skipped  hook              there is no hook",
        "warning  readiness         Type=simple, and no hook",
        "         why   A start succeeds early.",
        "         fix   # a hook",
    ]


def test_text_is_not_wrapped() -> None:
    """Neither a text nor a command is wrapped, however long."""
    assert list(text_lines([ERROR])) == [
        f"error    enabled           {ERROR.what}",
        f"         why   {ERROR.why}",
        f"         fix   {COMMAND}",
        "               true",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_command_in_a_text_is_not_wrapped(width: int) -> None:
    """A command in backticks stays on one line, wherever in the text it is."""
    for before in range(0, 130, 7):
        command = "`systemd-cgls --unit a-unit-with-a-long-name.service`"
        result = replace(ERROR, why=f"{'x ' * before}then {command} shows what is left.")
        assert command in printed(result, width=width)
        assert command in "\n".join(text_lines([result]))


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_long_words_are_whole(width: int) -> None:
    """A word that is longer than its column is continued in the next line, not cut."""
    path = "/usr/local/lib/ocf-systemd/hooks/" + "x" * 100
    shown = printed(replace(ERROR, what=f"hook {path} failed", why=f"So {path} is to blame."), width=width)
    assert "".join(shown.split()).count(path) == 2


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_terminal(width: int) -> None:
    """Lines fit the width, except for commands, which are never wrapped."""
    lines = printed(*ALL, width=width).splitlines()
    assert f"    {COMMAND}" in lines
    assert all(len(line) <= width for line in lines if COMMAND not in line)
    assert {line.split()[1] for line in lines if line.startswith("✗")} == {"enabled"}
    assert {line.split()[1] for line in lines if line.startswith("!")} == {"readiness"}
    assert {line.split()[1] for line in lines if line.startswith("✓")} == {"masked"}


def test_json() -> None:
    """Each object has all fields."""
    assert json.loads(json.dumps(json_checks([OK, WARNING]))) == [
        {"name": "masked", "status": "ok", "what": "not masked", "why": "", "fix": []},
        {
            "name": "readiness",
            "status": "warning",
            "what": "Type=simple, and no hook",
            "why": "A start succeeds early.",
            "fix": ["# a hook"],
        },
    ]


def test_control_characters_and_markup() -> None:
    """Text from outside is shown as it is, without control characters."""
    for text in ("\n".join(text_lines([HOSTILE])), printed(HOSTILE)):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
        assert text.count("a[red]b[/red] :smile:") == 3


def test_no_text() -> None:
    """A result without text is a line with its name."""
    assert list(text_lines([CheckResult("name", Status.OK, "")])) == ["ok       name"]


def test_the_most_severe_is_last() -> None:
    """Results of equal severity keep their order."""
    assert by_severity((*ALL, HOSTILE)) == [SKIPPED, OK, WARNING, ERROR, HOSTILE]


@pytest.mark.parametrize(
    ("results", "text", "code", "style"),
    [
        pytest.param([OK, SKIPPED], "no problems found, 1 check passed", 0, "bold green", id="ok"),
        pytest.param([OK, OK, WARNING], "1 problem found, 2 checks passed", 0, "bold yellow", id="warning"),
        pytest.param([ERROR, WARNING], "2 problems found, no checks passed", 1, "bold red", id="error"),
    ],
)
def test_summary(results: list[CheckResult], text: str, code: int, style: str) -> None:
    """Warnings and errors are problems; a skipped check is not counted; only an error leads to exit code 1."""
    assert (summary(results), exit_code(results), summary_style(results)) == (text, code, style)
