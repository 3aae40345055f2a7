"""The log that Pacemaker's people know: where it goes, what its lines look like, and what stays out of it."""

from __future__ import annotations

import os
import re
import syslog
from signal import SIGSEGV, SIGTERM
from typing import TYPE_CHECKING

import pytest

from ocf_systemd.agent.events import (
    ActionEnded,
    ActionStarted,
    CommandEnded,
    CommandStarted,
    Escalated,
    Event,
    Interrupted,
    Notice,
    Observed,
    Purpose,
    StillWaiting,
    UnitObserved,
    Waiting,
    WarningNotice,
)
from ocf_systemd.agent.log import Level, LogReporter, describe_outcome, log_reporter, messages
from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.judgement import judge_hook
from ocf_systemd.core.observations import (
    ActiveState,
    Exited,
    HookAttempted,
    HookMissing,
    HookOutcome,
    HookStuck,
    HookUnsafe,
    NoAnswer,
    NotStarted,
    Observation,
    Process,
    Signalled,
    TimedOut,
)
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.host.processes import Command
from tests.unit.builders import BIDI_CONTROLS, HOOK, UNIT, died, exited, run_python, timed_out, unit_in

if TYPE_CHECKING:
    from pathlib import Path

LINE = re.compile(r"[A-Z][a-z]{2} [0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} (.*)")
ACTIVE = unit_in(ActiveState.ACTIVE)
COMMAND = Command(("systemctl", "show", "--", UNIT), {})
BEGAN = CommandStarted(Purpose.SYSTEMD, COMMAND)
FAILED = ActionResult(1, "x.service failed: exit-code, status 1")


def lines_of(path: Path) -> list[str]:
    """Return the lines of a log without their times, each of which has one."""
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines()]
    return [match[1] if match else "no time stands before this line" for match in found]


class TestMessages:
    @pytest.mark.parametrize(
        ("event", "level", "text"),
        [
            pytest.param(
                ActionStarted(Action.START, UNIT, 90.04, 100.0),
                Level.DEBUG,
                f"start of {UNIT}: 90.0 s left of 100.0 s",
                id="action began",
            ),
            pytest.param(BEGAN, Level.DEBUG, f"running systemctl show -- {UNIT}", id="command began"),
            pytest.param(
                CommandEnded(BEGAN, Exited(0.1, code=4)),
                Level.DEBUG,
                f"systemctl show -- {UNIT}: exit 4",
                id="command ended",
            ),
            pytest.param(
                CommandEnded(BEGAN, None),
                Level.DEBUG,
                f"systemctl show -- {UNIT}: ended, no longer needed",
                id="command dropped",
            ),
            pytest.param(
                UnitObserved(ACTIVE), Level.DEBUG, f"observed: {UNIT} is loaded, active ()", id="unit observed"
            ),
            pytest.param(
                UnitObserved(NoAnswer("systemctl died by SIGKILL")),
                Level.DEBUG,
                "observed: no answer: systemctl died by SIGKILL",
                id="no answer",
            ),
            pytest.param(Waiting(FAILED, 0.25), Level.DEBUG, f"polling again in 0.25 s: {FAILED.reason}", id="waiting"),
            pytest.param(Notice("drop-in written"), Level.DEBUG, "drop-in written", id="noted"),
            pytest.param(
                StillWaiting("x is active, hook smtp: refused", 70.6, 90.0),
                Level.INFO,
                "waiting: x is active, hook smtp: refused; 71 s left of 90 s",
                id="still waiting",
            ),
            pytest.param(WarningNotice("odd"), Level.WARNING, "odd", id="warned"),
            pytest.param(
                Escalated(UNIT),
                Level.WARNING,
                f"{UNIT} does not stop: sending SIGKILL to its processes",
                id="escalated",
            ),
            pytest.param(
                Interrupted(Action.STOP, SIGTERM), Level.DEBUG, "stop interrupted by SIGTERM", id="interrupted"
            ),
            pytest.param(
                ActionEnded(Action.MONITOR, ActionResult(0)), Level.DEBUG, "monitor: OCF_SUCCESS", id="success"
            ),
            pytest.param(
                ActionEnded(Action.MONITOR, ActionResult(7)), Level.DEBUG, "monitor: OCF_NOT_RUNNING", id="a probe's 7"
            ),
            pytest.param(ActionEnded(Action.MONITOR, FAILED), Level.ERROR, FAILED.reason, id="failure"),
            pytest.param(
                ActionEnded(Action.MONITOR, ActionResult(190, "slow")), Level.WARNING, "slow", id="degraded is no error"
            ),
            pytest.param(
                ActionEnded(Action.START, ActionResult(0, "odd")),
                Level.DEBUG,
                "start: OCF_SUCCESS",
                id="success with a reason",
            ),
        ],
    )
    def test_the_lines_of_an_event(self, event: Event, level: Level, text: str) -> None:
        """Each event has its line and level."""
        assert list(messages(event)) == [(level, text)]

    def test_a_look_adds_nothing_to_what_was_observed(self) -> None:
        """A query whose unit was logged already adds no line; hooks are logged with the result."""
        assert list(messages(Observed(Observation(ACTIVE, (exited(0),))))) == []

    def test_every_kind_of_outcome(self) -> None:
        """Each has a short description."""
        outcomes = (Exited(0.1, code=0), Signalled(0.1, signal=SIGSEGV), TimedOut(0.1), NotStarted(2, "gone"), None)
        assert [describe_outcome(outcome) for outcome in outcomes] == [
            "exit 0",
            "died by SIGSEGV",
            "timed out",
            "not started: gone",
            "ended, no longer needed",
        ]


class TestDestinations:
    def test_a_log_file(self, tmp_path: Path) -> None:
        """HA_LOGFILE: time, tag, level, text; appended, and nothing at debug level."""
        log = tmp_path / "ha.log"
        environment = {"HA_LOGFILE": str(log), "OCF_RESOURCE_INSTANCE": "mail"}
        for text in ("one", "two"):
            reporter = log_reporter(environment, "systemd")
            reporter.report(StillWaiting(text, 9.0, 10.0))
            reporter.report(BEGAN)
        tag = f"systemd(mail)[{os.getpid()}]"
        left = "9 s left of 10 s"
        assert lines_of(log) == [f"{tag}: INFO: waiting: one; {left}", f"{tag}: INFO: waiting: two; {left}"]

    def test_the_tag_without_an_instance(self, tmp_path: Path) -> None:
        """The name alone, with the process id."""
        assert log_reporter({}, "systemd").tag == f"systemd[{os.getpid()}]"
        hostile = log_reporter({"OCF_RESOURCE_INSTANCE": "a\nb\x1b[31m\udcff"}, "systemd")
        assert hostile.tag == f"systemd(ab\\xff)[{os.getpid()}]"
        assert tmp_path.is_dir()

    def test_a_debug_log(self, tmp_path: Path) -> None:
        """HA_DEBUGLOG gets what HA_LOGFILE gets, and with HA_debug what is at debug level."""
        log, debug = tmp_path / "ha.log", tmp_path / "ha.debug"
        environment = {"HA_LOGFILE": str(log), "HA_DEBUGLOG": str(debug), "HA_debug": "1"}
        reporter = log_reporter(environment, "systemd")
        reporter.report(WarningNotice("odd"))
        reporter.report(BEGAN)
        tag = f"systemd[{os.getpid()}]"
        assert lines_of(log) == [f"{tag}: WARNING: odd"]
        assert lines_of(debug) == [f"{tag}: WARNING: odd", f"{tag}: DEBUG: running systemctl show -- {UNIT}"]

    def test_one_file_for_both(self, tmp_path: Path) -> None:
        """No line stands in it twice."""
        log = tmp_path / "ha.log"
        reporter = log_reporter({"HA_LOGFILE": str(log), "HA_DEBUGLOG": str(log)}, "systemd")
        reporter.report(WarningNotice("odd"))
        assert len(lines_of(log)) == 1

    @pytest.mark.parametrize(
        ("value", "is_on"),
        [
            pytest.param(None, False, id="not set"),
            pytest.param("", False, id="empty"),
            pytest.param("0", False, id="0"),
            pytest.param("1", True, id="1"),
            pytest.param("2", True, id="2"),
        ],
    )
    def test_debug_is_off_unless_enabled(self, value: str | None, *, is_on: bool) -> None:
        """HA_debug, as ocf-shellfuncs reads it."""
        assert log_reporter({} if value is None else {"HA_debug": value}, "systemd").debug is is_on

    @pytest.mark.parametrize(
        ("name", "facility"),
        [
            pytest.param("daemon", syslog.LOG_DAEMON, id="daemon"),
            pytest.param("LOCAL7", syslog.LOG_LOCAL7, id="local7"),
            pytest.param("local0", syslog.LOG_LOCAL0, id="local0"),
            pytest.param("none", None, id="none"),
            pytest.param("", None, id="empty"),
            pytest.param("nonsense", None, id="nonsense"),
        ],
    )
    def test_a_syslog_facility(self, name: str, facility: int | None) -> None:
        """HA_LOGFACILITY by the names of syslog, in either case."""
        assert log_reporter({"HA_LOGFACILITY": name}, "systemd").facility == facility

    def test_standard_error_where_nothing_else_is_configured(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Standard error is what the executor reads; a successful monitor writes nothing."""
        reporter = log_reporter({}, "systemd")
        for event in (BEGAN, CommandEnded(BEGAN, Exited(0.1)), Observed(Observation(ACTIVE))):
            reporter.report(event)
        reporter.report(ActionEnded(Action.MONITOR, ActionResult(0)))
        assert capfd.readouterr().err == ""
        reporter.report(WarningNotice("odd"))
        match = LINE.fullmatch(capfd.readouterr().err.rstrip("\n"))
        assert match is not None
        assert match[1] == "WARNING: odd"

    def test_syslog_alone_keeps_standard_error_free(self, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        """A log that was requested is written there and nowhere else."""
        LogReporter("x", log_file=str(tmp_path / "log")).report(WarningNotice("odd"))
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize(
        "place",
        [
            pytest.param("/dev/full", id="full disk"),
            pytest.param("/no/such/directory/log", id="no directory"),
            pytest.param("/", id="a directory"),
            pytest.param("/proc/version", id="read-only"),
            pytest.param("a\0b", id="no file name"),
        ],
    )
    def test_a_log_that_cannot_be_written(self, place: str) -> None:
        """A full disk is no reason to fail an action."""
        LogReporter("x", log_file=place, debug_file=place, debug=True).report(WarningNotice("odd"))

    @pytest.mark.parametrize(
        "closing",
        [
            pytest.param("os.close(2)", id="closed"),
            pytest.param("os.dup2(os.open('/dev/full', os.O_WRONLY), 2)", id="full"),
            pytest.param("r, w = os.pipe(); os.close(r); os.dup2(w, 2)", id="no reader"),
        ],
    )
    def test_a_standard_error_that_cannot_be_written(self, closing: str) -> None:
        """Nor is one whose reader has gone."""
        code = f"""
import os
from ocf_systemd.agent.events import WarningNotice
from ocf_systemd.agent.log import LogReporter
{closing}
LogReporter("x").report(WarningNotice("odd"))
print("went on", flush=True)
"""
        assert run_python(code).stdout == "went on\n"

    def test_a_named_pipe_that_nobody_reads(self, tmp_path: Path) -> None:
        """Logging never blocks: what cannot be written at once is lost, and the action continues."""
        os.mkfifo(tmp_path / "log")
        imports = "import sys; from ocf_systemd.agent import events, log"
        code = f"{imports}; log.LogReporter('x', log_file=sys.argv[1]).report(events.WarningNotice('odd'))"
        assert run_python(code, f"{tmp_path}/log", timeout_s=10).returncode == 0

    def test_bytes_that_are_no_utf8(self, tmp_path: Path) -> None:
        """A text of the environment's bytes loses no line."""
        log = tmp_path / "log"
        LogReporter("x", log_file=str(log)).report(WarningNotice("caf\udce9"))
        assert lines_of(log) == ["x: WARNING: caf\\udce9"]


class TestHookOutput:
    def report(self, log: Path, hooks: tuple[HookOutcome, ...], result: ActionResult) -> list[str]:
        reporter = LogReporter("x", log_file=str(log))
        reporter.report(Observed(Observation(ACTIVE, hooks)))
        reporter.report(ActionEnded(Action.MONITOR, result))
        return lines_of(log) if log.exists() else []

    def test_it_is_logged_where_it_led_to_a_failure(self, tmp_path: Path) -> None:
        """Its path and how it ended, then both streams, line by line; then the result, which has a base name only."""
        hook = HookAttempted(HOOK, Exited(0.1, b"220 hello\n", b"no answer\ngiving up\n", code=1))
        assert self.report(tmp_path / "log", (hook,), FAILED) == [
            f"x: WARNING: {HOOK}: exit 1",
            f"x: WARNING: {HOOK}: 220 hello",
            f"x: WARNING: {HOOK}: no answer",
            f"x: WARNING: {HOOK}: giving up",
            f"x: ERROR: {FAILED.reason}",
        ]

    @pytest.mark.parametrize(
        ("hook", "lines"),
        [
            pytest.param(exited(1, b"gone\n"), [], id="one line"),
            pytest.param(exited(1, b"ocf-exit-reason:gone\n"), [], id="an exit reason"),
            pytest.param(exited(1, b"220 hello\ngone\n"), ["220 hello"], id="two lines"),
            pytest.param(exited(1, b"gone\ngone\n"), ["gone"], id="twice"),
            pytest.param(HookAttempted(HOOK, Exited(0.1, b"gone\n", code=1)), [], id="on standard output"),
            pytest.param(HookAttempted(HOOK, Exited(0.1, b"gone\n", b"gone\n", code=1)), ["gone"], id="on both"),
            pytest.param(exited(1), [], id="no line"),
            pytest.param(timed_out(), [], id="timed out"),
            pytest.param(died(SIGSEGV), [], id="died"),
            pytest.param(HookMissing(HOOK, "gone"), [], id="missing"),
        ],
    )
    def test_each_failure_is_logged_once(self, tmp_path: Path, hook: HookOutcome, lines: list[str]) -> None:
        """What the reason has of a hook is in the line of the result alone."""
        result = judge_hook(hook, HookProtocol.OCF)
        assert result.reason is not None
        reason = result.reason.replace("hook smtp: ", f"hook {HOOK}: ")
        expected = [*(f"x: WARNING: {HOOK}: {line}" for line in lines), f"x: ERROR: {reason}"]
        assert self.report(tmp_path / "log", (hook,), result) == expected

    def test_it_is_not_logged_where_all_is_well(self, tmp_path: Path) -> None:
        """A good monitor logs at debug level only."""
        assert self.report(tmp_path / "log", (exited(0, b"all is well\n"),), ActionResult(0)) == []

    def test_only_the_last_look_counts(self, tmp_path: Path) -> None:
        """While a service starts, failing is what its hook should do."""
        log = tmp_path / "log"
        reporter = LogReporter("x", log_file=str(log))
        reporter.report(Observed(Observation(ACTIVE, (exited(7, b"not yet\n"),))))
        reporter.report(Observed(Observation(ACTIVE, (exited(0, b"ready\n"),))))
        reporter.report(ActionEnded(Action.START, ActionResult(0)))
        assert not log.exists()

    @pytest.mark.parametrize(
        "output",
        [
            pytest.param("".join(f"line {number:04}\n" for number in range(6553)), id="lines"),
            pytest.param("ab\n" * 21_845, id="short lines"),
            pytest.param("0123456789abcdef" * 4096, id="one line"),
            pytest.param("ü" * 32_768, id="letters of two bytes"),
        ],
    )
    def test_none_of_64_kib_is_lost(self, tmp_path: Path, output: str) -> None:
        """The last lines as they were, older ones joined; in so few and short pieces as a syslog daemon can take."""
        assert len(output.encode()) > 65_000
        prefix = f"x: WARNING: {HOOK}: "
        ended, *lines, _ = self.report(tmp_path / "log", (exited(1, output.encode()),), FAILED)
        assert ended == f"{prefix}exit 1"
        pieces = [line.removeprefix(prefix) for line in lines]
        assert "".join(pieces).replace(" | ", "") == output.replace("\n", "")
        assert pieces[-50:] == output.split("\n")[-51:-1] or output.count("\n") == 0
        assert len(lines) < 150
        assert max(len(line.encode()) for line in lines) < 8192

    def test_what_grows_as_it_is_made_printable(self, tmp_path: Path) -> None:
        """Bytes that are no UTF-8 take four letters each, and none of those is lost either."""
        lines = self.report(tmp_path / "log", (exited(1, b"\xff" * 65_536),), FAILED)
        assert sum(line.count("\\xff") for line in lines) >= 65_536 - len(lines)  # some stand across a break
        assert len(lines) < 150

    @pytest.mark.parametrize(
        ("hook", "line"),
        [
            pytest.param(HookMissing(HOOK, "gone"), "gone", id="missing"),
            pytest.param(HookMissing(HOOK, "a\nb\x1b[31m"), "ab", id="made printable"),
            pytest.param(HookUnsafe(HOOK, "/h is writable by everyone"), "/h is writable by everyone", id="unsafe"),
            pytest.param(
                HookStuck(HOOK, Process(812, 1, "ls", is_uninterruptible=True)),
                "not started, ls[812] of its last run cannot be killed",
                id="stuck",
            ),
            pytest.param(
                HookAttempted(HOOK, NotStarted(11, "no process")), "not started: no process", id="not started"
            ),
            pytest.param(timed_out(), "timed out", id="silent and timed out"),
            pytest.param(died(SIGSEGV), "died by SIGSEGV", id="silent and dead"),
        ],
    )
    def test_hooks_without_output(self, tmp_path: Path, hook: HookOutcome, line: str) -> None:
        """Their path and what became of them, and the result."""
        assert self.report(tmp_path / "log", (hook,), FAILED) == [
            f"x: WARNING: {HOOK}: {line}",
            f"x: ERROR: {FAILED.reason}",
        ]

    def test_each_hook_of_a_directory(self, tmp_path: Path) -> None:
        """Hooks that passed are logged as well: the log shows which of them ran."""
        hooks = (exited(0, hook="/h/a"), exited(7, b"no\n", hook="/h/b"))
        assert self.report(tmp_path / "log", hooks, FAILED)[:-1] == [
            "x: WARNING: /h/a: exit 0",
            "x: WARNING: /h/b: exit 7",
            "x: WARNING: /h/b: no",
        ]

    @pytest.mark.parametrize(
        "output",
        [
            pytest.param(b"a\rERROR: forged\n", id="CR"),
            pytest.param(b"a\x0bb\x0cc\x85d\xe2\x80\xa8e\n", id="line ends that are none in a log"),
            pytest.param(b"\x1b[2J\x1b]0;x\x07\0\x07\n", id="escape sequences"),
            pytest.param(BIDI_CONTROLS.encode() + b"\n", id="bidi"),
            pytest.param(b"\xff\xfe\n", id="no UTF-8"),
        ],
    )
    def test_control_characters_are_taken_out(self, tmp_path: Path, output: bytes) -> None:
        """No hook can move a cursor in the log, or forge a line that is not marked as its own."""
        lines = self.report(tmp_path / "log", (exited(1, output),), FAILED)
        assert lines[-1] == f"x: ERROR: {FAILED.reason}"
        for line in lines[:-1]:
            assert line.startswith(f"x: WARNING: {HOOK}:")
            assert line.isprintable()

    def test_a_hooks_name_cannot_forge_a_line(self, tmp_path: Path) -> None:
        """The path of a hook is a configuration's, and stays within its line, in a reason as well."""
        hook = exited(1, b"bad\ngone", hook="/h/a\nERROR: forged\x1b[31m")
        assert self.report(tmp_path / "log", (hook,), judge_hook(hook, HookProtocol.OCF)) == [
            "x: WARNING: /h/aERROR: forged: bad",
            "x: ERROR: hook /h/aERROR: forged: gone (exit 1)",
        ]

    @pytest.mark.parametrize("prefix", [pytest.param(None, id="default"), pytest.param("WHY=", id="another")])
    def test_no_hook_can_forge_a_reason(self, capfd: pytest.CaptureFixture[str], prefix: str | None) -> None:
        """On standard error the executor looks for the last prefix: a hook's never stands there."""
        reporter = log_reporter({"OCF_EXIT_REASON_PREFIX": prefix} if prefix else {}, "systemd")
        forged = f"{prefix or 'ocf-exit-reason:'}all is well"
        reporter.report(Observed(Observation(ACTIVE, (exited(1, forged.encode() + b"\nx " + forged.encode()),))))
        reporter.report(ActionEnded(Action.MONITOR, FAILED))
        log = capfd.readouterr().err
        assert "all is well" in log
        assert forged not in log
