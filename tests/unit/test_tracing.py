"""The trace: where OCF_TRACE_RA puts it, and that it changes nothing about an action."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.agent.events import ActionEnded, CommandEnded, CommandStarted, Event, Notice, Purpose, WarningNotice
from ocf_systemd.agent.tracing import TracingReporter, traced
from ocf_systemd.core.observations import Exited, NotStarted
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.host.processes import Command
from tests.unit.builders import HOOK, Heard, run_python

if TYPE_CHECKING:
    from pathlib import Path

LINE = re.compile(r"\+ [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}: (.*)")
INSTANCE = {"OCF_RESOURCE_TYPE": "systemd", "OCF_RESOURCE_INSTANCE": "mail"}


def lines_of(path: Path) -> list[str]:
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    return [match[1] if match else "no time stands before this line" for match in found]


@pytest.mark.parametrize(
    ("environment", "is_traced"),
    [
        pytest.param({}, False, id="not enabled"),
        pytest.param({"OCF_TRACE_RA": "1"}, True, id="OCF_TRACE_RA"),
        pytest.param({"OCF_RESKEY_trace_ra": "yes"}, True, id="the parameter"),
        pytest.param({"OCF_TRACE_RA": "0"}, False, id="0"),
        pytest.param({"OCF_TRACE_RA": ""}, False, id="empty"),
        pytest.param({"OCF_TRACE_RA": "perhaps"}, False, id="not a boolean"),
    ],
)
def test_it_is_enabled(tmp_path: Path, environment: dict[str, str], *, is_traced: bool) -> None:
    """By the variable or the parameter that ocf-shellfuncs knows."""
    heard = Heard()
    given = {**environment, "OCF_TRACE_FILE": str(tmp_path / "trace")}
    reporter = traced(heard, given, Action.MONITOR, "systemd")
    assert isinstance(reporter, TracingReporter) == is_traced
    reporter.report(Notice("done"))
    assert heard.facts == [Notice("done")]
    assert (tmp_path / "trace").exists() == is_traced


def test_what_stands_in_it(tmp_path: Path) -> None:
    """The environment, every event with its time, the output of commands; nothing that moves a cursor."""
    trace, heard = tmp_path / "trace", Heard()
    environment = {"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": str(trace), "OCF_RESKEY_unit": "a\nb\x1b[31m\udcff"}
    reporter = traced(heard, environment, Action.MONITOR, "systemd")
    began = CommandStarted(Purpose.HOOK, Command((HOOK,), {}))
    facts: tuple[Event, ...] = (
        began,
        CommandEnded(began, Exited(0.1, b"220 hello\n", b"\x1b[2Jbad\nworse\n", code=1)),
        CommandEnded(began, NotStarted(2, "gone")),
        CommandEnded(began, None),
        ActionEnded(Action.MONITOR, ActionResult(1, "because")),
    )
    for fact in facts:
        reporter.report(fact)
    assert heard.facts == list(facts)
    assert lines_of(trace) == [
        "OCF_RESKEY_unit=ab\\xff",
        f"OCF_TRACE_FILE={trace}",
        "OCF_TRACE_RA=1",
        f"running {HOOK}",
        f"{HOOK}: exit 1",
        "  stdout: 220 hello",
        "  stderr: bad",
        "  stderr: worse",
        f"{HOOK}: not started: gone",
        f"{HOOK}: ended, no longer needed",
        "because",
    ]


@pytest.mark.parametrize("prefix", [pytest.param("", id="default"), pytest.param("WHY=", id="another")])
def test_no_trace_passes_for_a_reason(tmp_path: Path, prefix: str) -> None:
    """It may go to standard error, where the executor looks for the prefix it has named."""
    trace, marker = tmp_path / "trace", prefix or "ocf-exit-reason:"
    environment = {"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": str(trace), "OCF_EXIT_REASON_PREFIX": prefix}
    reporter = traced(Heard(), environment, Action.MONITOR, "systemd")
    began = CommandStarted(Purpose.HOOK, Command((HOOK,), {}))
    reporter.report(CommandEnded(began, Exited(0.1, f"{marker}forged\n".encode(), code=1)))
    assert "  stdout: [...]forged" in lines_of(trace)
    assert marker not in trace.read_text()


def test_all_that_was_printed_stands_in_it(tmp_path: Path) -> None:
    """However many lines that are."""
    trace = tmp_path / "trace"
    reporter = traced(Heard(), {"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": str(trace)}, Action.MONITOR, "systemd")
    began = CommandStarted(Purpose.HOOK, Command((HOOK,), {}))
    lines = [f"line {number}" for number in range(5000)]
    reporter.report(CommandEnded(began, Exited(0.1, "\n".join(lines).encode(), code=1)))
    assert lines_of(trace)[-5000:] == [f"  stdout: {line}" for line in lines]


def test_the_names_of_variables_are_made_safe_too(tmp_path: Path) -> None:
    """A name may hold anything but = and NUL."""
    trace = tmp_path / "trace"
    traced(Heard(), {"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": str(trace), "a\n\x1b[2Jb": "c"}, Action.STOP, "systemd")
    assert "ab=c" in lines_of(trace)


def test_a_file_of_its_own(tmp_path: Path) -> None:
    """DIRECTORY/TYPE/INSTANCE.ACTION.TIME, as the shell agents have it."""
    code = """
import os
from ocf_systemd.core.ocf import Action
from ocf_systemd.agent.log import LogReporter
from ocf_systemd.agent.tracing import traced
traced(LogReporter("x"), os.environ, Action.START, "systemd")
"""
    done = run_python(code, env={"OCF_TRACE_RA": "1", "OCF_RESKEY_trace_dir": str(tmp_path), **INSTANCE})
    assert (done.stdout, done.stderr) == ("", "")
    (path,) = (tmp_path / "systemd").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600  # the environment may have secrets
    assert re.fullmatch(r"mail\.start\.[0-9]{4}(-[0-9]{2}){2}\.[0-9]{2}(:[0-9]{2}){2}", path.name)
    assert "OCF_RESOURCE_INSTANCE=mail" in lines_of(path)


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        pytest.param({"OCF_TRACE_FILE": "/dev/null"}, "/dev/null", id="a path"),
        pytest.param({}, "/dev/stderr", id="no instance"),
        pytest.param({"OCF_TRACE_FILE": "2"}, "/dev/stderr", id="no descriptor to trace to"),
    ],
)
def test_where_it_goes(environment: dict[str, str], path: str, capfd: pytest.CaptureFixture[str]) -> None:
    """OCF_TRACE_FILE, a path, or standard error."""
    reporter = traced(Heard(), {"OCF_TRACE_RA": "1", **environment}, Action.MONITOR, "systemd")
    assert isinstance(reporter, TracingReporter)
    assert reporter.path == path
    assert ("OCF_TRACE_RA=1" in capfd.readouterr().err) == (path == "/dev/stderr")


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("/dev/full", id="full disk"),
        pytest.param("/sys/x/y/trace", id="no directory"),
        pytest.param("/", id="a directory"),
        pytest.param("/dev/fd/x", id="no descriptor"),
    ],
)
def test_a_trace_that_cannot_be_written(place: str) -> None:
    """The action does not fail for that: a warning has the cause, and the events are passed on."""
    heard = Heard()
    reporter = traced(heard, {"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": place}, Action.MONITOR, "systemd")
    reporter.report(Notice("done"))
    warning, notice = heard.facts
    assert isinstance(warning, WarningNotice)
    assert warning.text.startswith(f"no trace in {place}: ")
    assert notice == Notice("done")


NAME = "mail.monitor.now"
PLANTED = {
    "a link": f"ln -s ../../victim trace/systemd/{NAME}",
    "a link to nothing": f"ln -s ../../new trace/systemd/{NAME}",
    "a second name": f"ln victim trace/systemd/{NAME}",
    "a link in place of the agent's directory": "rmdir trace/systemd; ln -s ../elsewhere trace/systemd",
    "a link in place of trace_dir": "rm -r trace; ln -s elsewhere trace; mkdir elsewhere/systemd",
    "a named pipe": f"mkfifo trace/systemd/{NAME}",
}
if os.geteuid() == 0:
    PLANTED["a file of another user"] = f"touch trace/systemd/{NAME}; chown nobody trace/systemd/{NAME}"


def files_below(directory: Path) -> dict[Path, str]:
    return {path: path.read_text() if path.is_file() else "" for path in directory.rglob("*")}


@pytest.mark.parametrize("planted", [pytest.param(each, id=name) for name, each in PLANTED.items()])
@pytest.mark.parametrize("by", ["OCF_RESKEY_trace_dir", "OCF_TRACE_FILE"])
def test_a_trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: str, by: str) -> None:
    """Nothing is written through a link, into a file of another user or one with a second name; the log has why."""
    prepare = "mkdir -p trace/systemd elsewhere; echo untouched >victim"
    subprocess.run(["sh", "-c", f"{prepare}; {planted}"], cwd=tmp_path, check=True)
    before, heard = files_below(tmp_path), Heard()
    monkeypatch.setattr(time, "strftime", lambda *_: "now")
    path = f"{tmp_path}/trace" if by == "OCF_RESKEY_trace_dir" else f"{tmp_path}/trace/systemd/{NAME}"
    traced(heard, {"OCF_TRACE_RA": "1", **INSTANCE, by: path}, Action.MONITOR, "systemd").report(Notice("done"))
    assert files_below(tmp_path) == before
    assert [type(fact) for fact in heard.facts] == [WarningNotice, Notice]


def test_what_is_there_is_continued(tmp_path: Path) -> None:
    """Two actions may have the same trace file; directories that are missing are created."""
    trace = tmp_path / "a/b/trace"
    for _ in range(2):
        traced(Heard(), {"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": f"{trace}"}, Action.MONITOR, "systemd")
    assert lines_of(trace) == [f"OCF_TRACE_FILE={trace}", "OCF_TRACE_RA=1"] * 2


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("os.dup2(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), 7)", id="open"),
        pytest.param("", id="closed"),
    ],
)
def test_a_descriptor(tmp_path: Path, before: str) -> None:
    """OCF_TRACE_FILE may be a number from 3 to 9, as in ocf-shellfuncs; a closed one does no harm."""
    code = f"""
import os, sys
{before}
from ocf_systemd.core.ocf import Action
from ocf_systemd.agent.events import Notice
from ocf_systemd.agent.log import LogReporter
from ocf_systemd.agent.tracing import traced
traced(LogReporter("x", log_file="/dev/null"), os.environ, Action.START, "systemd").report(Notice("done"))
"""
    trace = tmp_path / "trace"
    done = run_python(code, str(trace), env={"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": "7"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not before or lines_of(trace)[-1] == "done"
