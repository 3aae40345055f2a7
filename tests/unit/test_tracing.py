"""A trace tells what was observed and decided, stands where a shell agent's would, and never disturbs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ocf_systemd.observations import Exited
from ocf_systemd.ocf import Action, Verdict
from ocf_systemd.processes import Command
from ocf_systemd.reporting import CommandBegan, CommandEnded, Fact, Judged, Purpose
from ocf_systemd.tracing import traced


@dataclass
class Kept:
    """A reporter that keeps what it is told."""

    facts: list[Fact] = field(default_factory=list)

    def report(self, fact: Fact) -> None:
        self.facts.append(fact)


def _trace(environment: Mapping[str, str]) -> Kept:
    kept = Kept()
    reporter = traced(kept, environment, Action.MONITOR)
    began = CommandBegan(Purpose.HOOK, Command(("/hooks/smtp",), {}))
    facts: list[Fact] = [
        began,
        CommandEnded(began, Exited(0.1, b"said so\x1b[2J\n", b"", code=7)),
        Judged(Action.MONITOR, Verdict(7, "not there")),
    ]
    for fact in facts:
        reporter.report(fact)
    assert kept.facts == facts
    return kept


def test_it_tells_what_was_given_run_printed_and_decided(tmp_path: Path) -> None:
    """The trace begins with the environment and holds commands, their output and the verdict, printable."""
    file = tmp_path / "trace"
    _trace({"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": str(file), "OCF_RESKEY_unit": "a\x1bb"})
    text = file.read_text()
    assert "OCF_RESKEY_unit=ab" in text
    assert "running /hooks/smtp" in text
    assert "/hooks/smtp: exit 7" in text
    assert "  stdout: said so\n" in text
    assert "not there" in text
    assert all(line.startswith("+ ") for line in text.splitlines())


def test_it_stands_where_ocf_shellfuncs_would_put_it(tmp_path: Path) -> None:
    """Without OCF_TRACE_FILE it is trace_dir/TYPE/INSTANCE.ACTION.DATE.TIME; trace_ra is a parameter too."""
    given = {"OCF_RESKEY_trace_ra": "1", "OCF_RESKEY_trace_dir": str(tmp_path)}
    _trace({**given, "OCF_RESOURCE_TYPE": "systemd", "OCF_RESOURCE_INSTANCE": "mail"})
    (file,) = tmp_path.glob("systemd/mail.monitor.????-??-??.??:??:??")
    assert "not there" in file.read_text()


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="not asked for"),
        pytest.param({"OCF_TRACE_RA": "0"}, id="declined"),
        pytest.param({"OCF_TRACE_RA": "perhaps"}, id="neither yes nor no"),
        pytest.param({"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": "/proc/no/place"}, id="a directory nobody can make"),
        pytest.param({"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": "/dev/full"}, id="full disk"),
        pytest.param({"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": "9"}, id="a closed descriptor"),
        pytest.param({"OCF_TRACE_RA": "1"}, id="standard error"),
    ],
)
def test_it_never_disturbs(environment: dict[str, str]) -> None:
    """Whether the trace can be written or not, the facts go on."""
    assert len(_trace(environment).facts) == 3
