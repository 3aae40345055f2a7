"""Any parameter, output of systemctl or of a hook: no traceback, no forged reason, no escapes."""

from __future__ import annotations

import io
import json
import re
import time
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from ocf_systemd.agent.log import log_reporter
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.agent.tracing import traced
from ocf_systemd.core.observations import Exited, NotStarted, Process, Signalled, TimedOut
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.parameter_table import PREFIX, TABLE, Parameter
from ocf_systemd.core.parameters import Operation, ParameterError, read_leniently, read_operation, read_parameters
from ocf_systemd.core.text import printable
from ocf_systemd.debug import session
from ocf_systemd.debug.changes import Changes
from ocf_systemd.debug.json_view import JsonView
from ocf_systemd.debug.live_view import frame, result_box
from ocf_systemd.debug.text_view import TextView
from ocf_systemd.host.systemctl import job_outcome
from tests.unit.builders import UNIT
from tests.unit.hostile import TEXT_AS_BYTES, VALUE, unclean
from tests.unit.scripted import HOOK_PATH, Run, Script, ScriptedSystemctl, Step, act

if TYPE_CHECKING:
    from pathlib import Path

    from ocf_systemd.core.observations import CommandOutcome

NAMES = [row.name for row in TABLE]
OPERATION = ["OCF_CHECK_LEVEL", *(f"{PREFIX}CRM_meta_{name}" for name in ("timeout", "interval", "name", "role"))]
LONGEST = 128 * 1024 - 64  # execve(2), MAX_ARG_STRLEN, less the name
QUICK_S = 8.0  # far more than it takes, far less than a stop has

PROPERTIES = (
    *("LoadState", "ActiveState", "SubState", "Result", "ExecMainCode", "ExecMainStatus", "Job", "DropInPaths"),
    *("Id", "Names", "Restart", "RestartForceExitStatus", "KillMode", "MainPID", "ControlGroup", "Slice"),
    "ExecMainStartTimestampMonotonic",
)
WORDS = st.sampled_from([b"active", b"inactive", b"failed", b"activating", b"loaded", b"masked", b"not-found", b"1"])
LINES = st.lists(
    st.builds(b"%s=%s\n".__mod__, st.tuples(st.sampled_from(PROPERTIES).map(str.encode), WORDS | TEXT_AS_BYTES)),
    max_size=8,
).map(b"".join)
SHOWN = st.builds(
    b"LoadState=loaded\nActiveState=%s\n%s".__mod__, st.tuples(st.sampled_from([b"active", b"failed", b"gone"]), LINES)
)


def exits(codes: st.SearchStrategy[int]) -> st.SearchStrategy[CommandOutcome]:
    return st.builds(Exited, st.just(0.1), TEXT_AS_BYTES, TEXT_AS_BYTES, code=codes)


# A process may have any name; /proc is read by what makes it printable.
PROCESSES = st.builds(Process, st.integers(1, 2**22), st.just(1), TEXT_AS_BYTES.map(printable), st.booleans())
HOOK_ENDS = st.one_of(
    exits(st.integers(0, 255)),
    st.builds(Signalled, st.just(0.1), TEXT_AS_BYTES, TEXT_AS_BYTES, signal=st.integers(1, 64)),
    st.builds(TimedOut, st.just(0.1), TEXT_AS_BYTES, TEXT_AS_BYTES, st.lists(PROCESSES, max_size=1).map(tuple)),
    st.sampled_from([NotStarted(2, "No such file or directory"), NotStarted(24, "Too many open files")]),
)


@settings(max_examples=80)
@given(
    st.dictionaries(st.sampled_from([f"{PREFIX}{name}" for name in NAMES]), VALUE),
    st.dictionaries(st.sampled_from(OPERATION), VALUE),
)
def test_every_parameter(values: dict[str, str], operation: dict[str, str]) -> None:
    """Parameters, or one line that names each wrong one; always an operation, whose warnings are a line each."""
    problems: list[str] = []
    try:
        read_parameters(values)
    except ParameterError as error:
        problems = [*read_leniently(values)[1], str(error)]
    assert not unclean([*problems, *read_operation(values | operation).warnings])
    assert all(problem.split("=")[0].split(" ")[0] in NAMES for problem in problems)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in TABLE])
def test_the_longest_values(row: Parameter) -> None:
    """No value that the kernel accepts takes long to parse: a late stop fences the node."""
    began = time.process_time()
    for filling in " a0-":
        for begin, end in (("1", "!"), ("/", ""), ("'", "")):
            with suppress(ParameterError):
                read_parameters({"OCF_RESKEY_unit": "x", row.variable: begin + filling * LONGEST + end})
    assert time.process_time() - began < QUICK_S


@pytest.mark.parametrize(
    "prefix", [pytest.param(prefix, id=prefix) for prefix in ("x", "Job for ", "Unit ", "Queued job for ")]
)
def test_the_longest_messages_of_systemctl(prefix: str) -> None:
    """A long text that is no message of systemctl's is recognised as none at once."""
    began = time.process_time()
    job_outcome(Exited(0.1, stderr=(prefix * 65_536)[:65_536].encode(), code=1))
    assert time.process_time() - began < 1.0


@dataclass(frozen=True)
class Story:
    """An action, and what systemctl and a hook print and how they end while it runs."""

    action: Action
    shown: list[bytes]
    queued: CommandOutcome
    hook: CommandOutcome
    debug: bool
    main: Process | None
    others: tuple[Process, ...]

    @property
    def script(self) -> Script:
        verbs = ("start", "stop", "stop at once", "reload", "daemon-reload", "list-jobs", "journal")
        shown = [Step(Exited(0.1, stdout=each), main=self.main, others=self.others) for each in self.shown]
        return {"show": shown, "hook": [Step(self.hook, 0.1)]} | {verb: [Step(self.queued, 0.1)] for verb in verbs}


STORIES = st.builds(
    Story,
    action=st.sampled_from([action for action in Action if action is not Action.META_DATA]),
    shown=st.lists(SHOWN, min_size=1, max_size=2),
    queued=exits(st.integers(0, 6)),
    hook=HOOK_ENDS,
    debug=st.booleans(),
    main=st.none() | PROCESSES,
    others=st.lists(PROCESSES, max_size=2).map(tuple),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=STORIES)
def test_any_output(tmp_path: Path, story: Story) -> None:
    """Any bytes from systemctl, journalctl and a hook: a result, and all output about it is clean, line by line."""
    operation = Operation(1.0, is_recurring=True, check_level=10)
    host = ScriptedSystemctl(story.script)
    run = act(story.action, host, tmp_path, operation=operation, values={"monitor_hook": HOOK_PATH})
    assert 0 <= run.result.code <= 255
    assert not unclean([run.result.reason or ""])
    texts = {**view_texts(run, story.action), **log_texts(run, story, tmp_path)}
    for name, text in texts.items():
        assert not unclean(text.split("\n")), name


def view_texts(run: Run, action: Action) -> dict[str, str]:
    """Return the text of each view of debug mode for an action."""
    plain, machine, live = io.StringIO(), io.StringIO(), io.StringIO()
    timeline = Timeline(action, UNIT)
    step = session.Step(timeline, run.result, recurring=True)
    with redirect_stdout(plain):
        reporter = TextView().begin(timeline)
        for fact in run.heard.facts:
            reporter.report(fact)
        TextView().end(step)
    with redirect_stdout(machine):
        JsonView().close(session.Call(action.value, {"unit": UNIT}), [step], run.result.code, Changes())
    Console(file=live, color_system=None, width=120).print(frame(timeline, 120), *result_box(step, 120))
    assert json.loads(machine.getvalue())["reason"] == run.result.reason
    return {"plain": plain.getvalue(), "machine": machine.getvalue(), "live": live.getvalue()}


def log_texts(run: Run, story: Story, directory: Path) -> dict[str, str]:
    """Return the log and the trace of an action; each line of the log begins with a stamp."""
    files = {name: directory / name for name in ("log", "trace")}
    environment = {"HA_LOGFILE": str(files["log"]), "HA_debug": str(int(story.debug)), "OCF_RESOURCE_INSTANCE": "a\nb"}
    environment |= {"OCF_TRACE_RA": "1", "OCF_TRACE_FILE": str(files["trace"]), "MONITOR_HOOK\x1b[31m": "a\x1b[31m\nb"}
    reporter = traced(log_reporter(environment, "systemd"), environment, story.action, "systemd")
    for fact in run.heard.facts:
        reporter.report(fact)
    texts = {name: file.read_text() if file.exists() else "" for name, file in files.items()}
    for file in files.values():
        file.unlink(missing_ok=True)
    stamped = re.compile(r"\w{3} \d\d [\d:]{8} systemd\(ab\)\[\d+\]: (DEBUG|INFO|WARNING|ERROR): .*")
    assert all(map(stamped.fullmatch, texts["log"].splitlines()))
    return texts
