"""The commands of systemctl and journalctl, and what is read from their output."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.observations import (
    ActiveState,
    CommandOutcome,
    Exited,
    JobOutcome,
    JobResult,
    LoadState,
    NoAnswer,
    NotStarted,
    Process,
    Signalled,
    TimedOut,
    UnitState,
)
from ocf_systemd.core.records import Record, replace
from ocf_systemd.host.systemctl import Systemctl, is_booted, job_outcome, tool_environment
from tests.unit.builders import UNIT, is_one_line
from tests.unit.show_output import ACTIVE, DETAILS, STARTING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from signal import Signals

    from ocf_systemd.host.processes import Command
    from ocf_systemd.host.systemctl import QueryPid1


# bus-wait-for-jobs.c: log_job_error_with_service_result() and check_wait_response().
SEE = f'\nSee "systemctl status {UNIT}" and "journalctl -xeu {UNIT}" for details.\n'
JOB_MESSAGES = [
    pytest.param(f"Job for {UNIT} canceled.\n", JobResult.CANCELED, id="canceled"),
    pytest.param(f"Job for {UNIT} timed out.\n", JobResult.TIMEOUT, id="timeout"),
    pytest.param(
        f"A dependency job for {UNIT} failed. See 'journalctl -xe' for details.\n",
        JobResult.DEPENDENCY,
        id="dependency",
    ),
    pytest.param(f"{UNIT} is not active, cannot reload.\n", JobResult.INVALID, id="invalid"),
    pytest.param(f"Assertion failed on job for {UNIT}.\n", JobResult.ASSERT, id="assert"),
    pytest.param(
        f"Operation on or unit type of {UNIT} not supported on this system.\n", JobResult.UNSUPPORTED, id="unsupported"
    ),
    pytest.param(f"Queued job for {UNIT} was garbage collected.\n", JobResult.COLLECTED, id="collected"),
    pytest.param(f"Unit {UNIT} was started already once and can't be started again.\n", JobResult.ONCE, id="once"),
    pytest.param(f"Job for {UNIT} failed.{SEE}", JobResult.FAILED, id="failed"),
    pytest.param(
        'Job failed. See "journalctl -xe" for details.\n', JobResult.FAILED, id="failed, of what is no service"
    ),
    *(
        pytest.param(f"Job for {UNIT} failed because {why}.{SEE}", JobResult.FAILED, id=f"failed because {why}")
        for why in (
            "of unavailable resources or another system error",
            "the service did not take the steps required by its unit configuration",
            "a timeout was exceeded",
            "the control process exited with error code",
            "a fatal signal was delivered to the control process",
            "a fatal signal was delivered causing the control process to dump core",
            "the service failed to send watchdog ping",
            "start of the service was attempted too often",
        )
    ),
]


MANUAL_REFUSAL = (
    f"Failed to start {UNIT}: Operation refused, unit {UNIT} may be requested by dependency only (it is configured to "
    f"refuse manual start/stop).\nSee system logs and 'systemctl status {UNIT}' for details.\n"
)


class TestJobOutcome:
    @pytest.mark.parametrize(("message", "result"), JOB_MESSAGES)
    def test_what_systemctl_prints_of_a_job(self, message: str, result: JobResult) -> None:
        """Each message of systemctl's has a job result; its first line is kept."""
        outcome = job_outcome(Exited(0.5, stderr=message.encode(), code=1))
        assert outcome == JobOutcome(result, message.splitlines()[0])

    @pytest.mark.parametrize(("message", "result"), JOB_MESSAGES)
    def test_a_warning_before_it_does_not_matter(self, message: str, result: JobResult) -> None:
        """Systemctl may warn about changed unit files before the message about the job."""
        warning = (
            f"Warning: The unit file, source configuration file or drop-ins of {UNIT} changed on disk. "
            "Run 'systemctl daemon-reload' to reload units.\n"
        )
        assert job_outcome(Exited(0.5, stderr=(warning + message).encode(), code=1)).result is result

    @pytest.mark.parametrize(
        ("outcome", "job"),
        [
            pytest.param(Exited(0.1), JobOutcome(JobResult.DONE), id="done"),
            pytest.param(
                Exited(0.1, stderr=b"Warning: x changed on disk.\n"), JobOutcome(JobResult.DONE), id="done, warned"
            ),
            pytest.param(
                Exited(0.1, stderr=b"Failed to connect to bus: No such file or directory\n", code=1),
                JobOutcome(JobResult.LOST, "Failed to connect to bus: No such file or directory"),
                id="no connection",
            ),
            pytest.param(
                Exited(0.1, stderr=b"Failed to start x.service: Access denied\nSee system logs\n", code=4),
                JobOutcome(JobResult.ACCESS_DENIED, "Failed to start x.service: Access denied"),
                id="not permitted",
            ),
            pytest.param(
                Exited(0.1, stderr=b"Failed to start x.service: Unit x.service not found.\n", code=5),
                JobOutcome(JobResult.LOST, "Failed to start x.service: Unit x.service not found."),
                id="not found",
            ),
            pytest.param(
                Exited(0.1, stderr=MANUAL_REFUSAL.encode(), code=1),
                JobOutcome(JobResult.REFUSE_MANUAL, MANUAL_REFUSAL.splitlines()[0]),
                id="RefuseManualStart=yes",
            ),
            pytest.param(Exited(0.1, code=1), JobOutcome(JobResult.LOST), id="silent"),
            pytest.param(
                Exited(0.1, stderr=b"\xff\x1b[31m\n", code=1), JobOutcome(JobResult.LOST, "\\xff"), id="garbage"
            ),
            pytest.param(TimedOut(5.04), JobOutcome(JobResult.PENDING, "its job still runs after 5.0 s"), id="timeout"),
            pytest.param(
                Signalled(0.1, signal=9), JobOutcome(JobResult.LOST, message="systemctl died by SIGKILL"), id="killed"
            ),
            pytest.param(
                NotStarted(24, "Too many open files"),
                JobOutcome(JobResult.LOST, message="systemctl could not be started: Too many open files"),
                id="not started",
            ),
        ],
    )
    def test_what_else_may_come_of_a_request(self, outcome: CommandOutcome, job: JobOutcome) -> None:
        """Done, not permitted, refused by the unit's own settings, still running when our time was up, or lost.

        Then it may not even be queued.
        """
        assert job_outcome(outcome) == job

    @given(st.binary(max_size=200), st.integers(1, 255))
    def test_bytes_never_raise(self, stderr: bytes, code: int) -> None:
        """The message is one line, whatever systemctl writes."""
        job = job_outcome(Exited(0.1, stderr=stderr, code=code))
        assert job.result is not JobResult.DONE
        assert is_one_line(job.message)


def test_the_tools_environment_leads_nobody_astray() -> None:
    """Systemd's tools get the environment without the variables that change what they do or connect to."""
    environment = {
        "PATH": "/opt/bin",
        "OCF_RESKEY_unit": "nginx",
        "LC_ALL": "de_DE.UTF-8",
        "SYSTEMD_OFFLINE": "1",
        "SYSTEMD_COLORS": "1",
        "SYSTEMD_PAGER": "less",
        "SYSTEMCTL_FORCE_BUS": "1",
        "NOTIFY_SOCKET": "/run/x",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "2",
        "WATCHDOG_USEC": "1",
        "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/x",
        "XDG_RUNTIME_DIR": "/run/user/0",
        "MY_SYSTEMD_X": "kept",
    }
    assert tool_environment(environment) == {
        "PATH": "/opt/bin",
        "OCF_RESKEY_unit": "nginx",
        "MY_SYSTEMD_X": "kept",
        "LC_ALL": "C",
        "SYSTEMD_COLORS": "0",
        "SYSTEMD_PAGER": "",
    }


def test_the_tools_are_found_without_an_environment() -> None:
    """Pcs calls agents without PATH."""
    assert tool_environment({})["PATH"] == "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Recorder:
    """A runner that notes what it must run, and always returns the same."""

    outcome: CommandOutcome
    calls: list[tuple[Command, float]] = field(default_factory=list)

    async def __call__(self, command: Command, *, deadline: float) -> CommandOutcome:
        self.calls.append((command, deadline))
        return self.outcome


class Finder(Record):
    """Finds one process of whatever unit, and sends no signals."""

    process: Process

    def find(self, unit: UnitState) -> UnitState:
        return replace(unit, processes=(self.process,))

    def send_signal(self, unit: UnitState, number: Signals) -> None:
        raise AssertionError(f"{number} to {unit.unit}")


def call_systemctl(outcome: CommandOutcome, call: Callable[[Systemctl], Awaitable[object]]) -> tuple[object, Recorder]:
    """Return what a call to systemd comes to, and what was run for it."""
    recorder = Recorder(outcome)

    async def main() -> object:
        return await call(Systemctl(UNIT, {"SYSTEMD_OFFLINE": "1", "X": "y"}, recorder))

    return anyio.run(main), recorder


SYSTEMCTL = ("systemctl", "--no-ask-password", "--no-pager")
JOURNALCTL = ("journalctl", "--quiet", "--no-pager")
LAST_LINE = (*JOURNALCTL, "--output=cat", "--reverse", "--lines=1", "--since=-1.600s")


class TestCalls:
    @pytest.mark.parametrize(
        ("call", "arguments"),
        [
            pytest.param(lambda systemd: systemd.start(9.0), (*SYSTEMCTL, "start", "--", UNIT), id="start"),
            pytest.param(lambda systemd: systemd.stop(9.0), (*SYSTEMCTL, "stop", "--", UNIT), id="stop"),
            pytest.param(lambda systemd: systemd.reload(9.0), (*SYSTEMCTL, "reload", "--", UNIT), id="reload"),
            pytest.param(
                lambda systemd: systemd.reset_failed(9.0), (*SYSTEMCTL, "reset-failed", "--", UNIT), id="reset-failed"
            ),
            pytest.param(
                lambda systemd: systemd.stop_at_once(9.0),
                (*SYSTEMCTL, "stop", "--job-mode=ignore-dependencies", "--", UNIT),
                id="stop at once",
            ),
            pytest.param(
                lambda systemd: systemd.is_stopping_pacemaker(9.0),
                (
                    *(*SYSTEMCTL, "list-jobs", "--no-legend"),
                    *("pacemaker.service", "pacemaker_remote.service"),
                ),
                id="list-jobs",
            ),
            pytest.param(
                lambda systemd: systemd.daemon_reload(9.0),
                (*SYSTEMCTL, "daemon-reload"),
                id="daemon-reload",
            ),
            pytest.param(
                lambda systemd: systemd.journal(5, 9.0),
                (*JOURNALCTL, "--output=short", "--lines=5", f"--unit={UNIT}"),
                id="journal",
            ),
        ],
    )
    def test_argument_lists(self, call: Callable[[Systemctl], Awaitable[object]], arguments: tuple[str, ...]) -> None:
        """No shell, no password prompt, no pager, and the unit after `--`, with the deadline it was given."""
        _, recorder = call_systemctl(Exited(0.1, stdout=b"a line"), call)
        ((command, deadline),) = recorder.calls
        assert command.arguments == arguments
        assert command.environment == tool_environment({"X": "y"})
        assert (command.user, command.time_limit_s, deadline) == (None, None, 9.0)

    def test_the_last_line_is_queried_by_the_units_id(self) -> None:
        """The journal knows a unit by its primary name, whatever the parameter calls it; read to its end before."""
        _, recorder = call_systemctl(
            Exited(0.1, stdout=b"x\n"), lambda systemd: systemd.last_log_line("mariadb.service", 1.5, 9.0)
        )
        assert [command.arguments for command, _ in recorder.calls] == [
            (*JOURNALCTL, "--sync"),
            (*LAST_LINE, "_SYSTEMD_UNIT=mariadb.service"),
        ]

    def test_where_the_unit_logged_nothing_pid_1_may_have(self) -> None:
        """Systemd logs an unmet condition; the unit's own log line takes precedence."""
        _, recorder = call_systemctl(
            Exited(0.1), lambda systemd: systemd.last_log_line_about("mariadb.service", 1.5, 9.0)
        )
        assert [command.arguments for command, _ in recorder.calls] == [
            (*JOURNALCTL, "--sync"),
            (*LAST_LINE, "_SYSTEMD_UNIT=mariadb.service"),
            (*LAST_LINE, "_PID=1", "UNIT=mariadb.service"),
        ]
        line, recorder = call_systemctl(
            Exited(0.1, stdout=b"x\n"), lambda systemd: systemd.last_log_line_about(UNIT, 1.5, 9.0)
        )
        assert line == "x"
        assert len(recorder.calls) == 2

    @pytest.mark.parametrize(
        ("stdout", "is_stopping"),
        [
            pytest.param("", False, id="no job"),
            pytest.param("812 pacemaker.service stop waiting\n", True, id="stop waiting"),
            pytest.param("812 pacemaker.service stop running\n", True, id="stop running"),
            pytest.param("812 pacemaker.service restart waiting\n", True, id="restart, which stops first"),
            pytest.param("812 pacemaker.service start running\n", False, id="start"),
            pytest.param("812 pacemaker.service verify-active waiting\n", False, id="verify-active"),
            pytest.param("812 pacemaker.service try-restart waiting\n", False, id="no job that is ever queued"),
            pytest.param("812 pacemaker_remote.service stop waiting\n", True, id="remote"),
            pytest.param("812 other.service stop waiting\n", False, id="another unit"),
            pytest.param(
                "812 pacemaker.service start waiting\n9 pacemaker_remote.service stop waiting", True, id="two"
            ),
            pytest.param("  812   pacemaker.service   stop   running\n\n", True, id="columns"),
            pytest.param("812 stop.service pacemaker.service stop\n", False, id="in other columns"),
            pytest.param("pacemaker.service stop\n\xff", False, id="something else"),
        ],
    )
    def test_whether_pacemaker_is_being_stopped(self, stdout: str, *, is_stopping: bool) -> None:
        """A job that stops it, as at the host's shutdown; a restart's job is one too. Nothing else is."""
        result, _ = call_systemctl(
            Exited(0.1, stdout=stdout.encode()), lambda systemd: systemd.is_stopping_pacemaker(9.0)
        )
        assert result is is_stopping

    @pytest.mark.parametrize(
        "outcome",
        [
            pytest.param(Exited(0.1, stdout=b"812 pacemaker.service stop waiting\n", code=1), id="failed"),
            pytest.param(TimedOut(1.0, stdout=b"812 pacemaker.service stop waiting\n"), id="timeout"),
            pytest.param(Signalled(0.1, signal=11), id="died"),
            pytest.param(NotStarted(24, "Too many open files"), id="not started"),
        ],
    )
    def test_in_doubt_pacemaker_is_not_being_stopped(self, outcome: CommandOutcome) -> None:
        """Then a stop keeps to all dependencies."""
        assert call_systemctl(outcome, lambda systemd: systemd.is_stopping_pacemaker(9.0))[0] is False

    @given(st.binary(max_size=200))
    def test_any_list_of_jobs(self, stdout: bytes) -> None:
        """Whatever is printed, it is a list with such a job or without."""
        result, _ = call_systemctl(Exited(0.1, stdout=stdout), lambda systemd: systemd.is_stopping_pacemaker(9.0))
        assert isinstance(result, bool)

    @pytest.mark.parametrize("active", [pytest.param(state, id=state) for state in ActiveState])
    def test_the_processes_of_what_is_inactive_are_looked_for(self, active: ActiveState) -> None:
        """Of an inactive or failed unit, and of no other: a monitor of one that runs costs nothing more."""
        found = Process(812, 1, "sleep")
        stdout = f"LoadState=loaded\nActiveState={active}\nKillMode=mixed\n".encode()
        systemd = Systemctl(UNIT, {}, Recorder(Exited(0.1, stdout=stdout)), unit_processes=Finder(found))

        async def main() -> UnitState | NoAnswer:
            return await systemd.show(9.0)

        state = anyio.run(main)
        assert isinstance(state, UnitState)
        assert state.processes == ((found,) if active in {"inactive", "failed"} else ())

    def test_what_pid_1_has_logged_itself_is_not_queried_again(self) -> None:
        """Where the state is known from its bus, systemctl is not run; where it is not, it is."""
        state = UnitState(UNIT, LoadState.LOADED, ActiveState.ACTIVE)
        answers = {"known": state, "unknown": None}
        for answer in answers.values():
            recorder = Recorder(Exited(0.1, stdout=ACTIVE))

            async def known(_: str, __: float, answer: UnitState | None = answer) -> UnitState | None:
                return answer

            async def main(recorder: Recorder = recorder, known: QueryPid1 = known) -> UnitState | NoAnswer:
                return await Systemctl(UNIT, {}, recorder, known).show(9.0)

            shown = anyio.run(main)
            assert isinstance(shown, UnitState)
            assert (shown == state, len(recorder.calls)) == ((True, 0) if answer else (False, 1))

    def test_one_call_returns_all_of_the_state(self) -> None:
        """One `systemctl show` queries every property that the parser reads."""
        result, recorder = call_systemctl(Exited(0.1, stdout=ACTIVE), lambda systemd: systemd.show(9.0))
        assert isinstance(result, UnitState)
        ((command, _),) = recorder.calls
        *head, properties, end, unit = command.arguments
        assert (head, end, unit) == ([*SYSTEMCTL, "show"], "--", UNIT)
        name, _, queried = properties.partition("=")
        read = {line.split("=")[0] for line in [*(ACTIVE + STARTING).decode().splitlines(), *DETAILS.splitlines()]}
        assert (name, set(queried.split(","))) == ("--property", read)

    @pytest.mark.parametrize(
        ("outcome", "why"),
        [
            pytest.param(
                Exited(0.1, stderr=b"Connection reset by peer\n", code=1),
                "Connection reset by peer (systemctl exited with 1)",
                id="failed",
            ),
            pytest.param(Exited(0.1, code=1), "no output (systemctl exited with 1)", id="failed silently"),
            pytest.param(Exited(0.1), "systemctl show printed no state", id="no output"),
            pytest.param(Signalled(0.1, signal=11), "systemctl died by SIGSEGV", id="died"),
            pytest.param(TimedOut(4.96), "no answer within 5.0 s", id="timeout"),
            pytest.param(
                NotStarted(2, "No such file or directory"),
                "systemctl could not be started: No such file or directory",
                id="not there",
            ),
        ],
    )
    def test_no_state(self, outcome: CommandOutcome, why: str) -> None:
        """Without a state the reason names what systemctl returned instead."""
        result, _ = call_systemctl(outcome, lambda systemd: systemd.show(9.0))
        assert result == NoAnswer(why)

    def test_daemon_reload_returns_what_went_wrong(self) -> None:
        """Nothing when it went well, else why."""
        assert call_systemctl(Exited(0.1), lambda systemd: systemd.daemon_reload(9.0))[0] == ""
        failed = Exited(0.1, stderr=b"Access denied\n", code=4)
        message = "daemon-reload: Access denied (systemctl exited with 4)"
        assert call_systemctl(failed, lambda systemd: systemd.daemon_reload(9.0))[0] == message

    @pytest.mark.parametrize(
        ("outcome", "lines"),
        [
            pytest.param(Exited(0.1, stdout=b"one\n\x1b[31mtwo\n\n\xff\n"), ("one", "two", "\\xff"), id="lines"),
            pytest.param(Exited(0.1), (), id="nothing"),
            pytest.param(Exited(0.1, stdout=b"x\n", code=1), (), id="failed"),
            pytest.param(TimedOut(1.0, stdout=b"x\n"), (), id="timeout"),
            pytest.param(NotStarted(2, "No such file or directory"), (), id="not there"),
        ],
    )
    def test_the_journals_lines_are_safe_to_show(self, outcome: CommandOutcome, lines: tuple[str, ...]) -> None:
        """Printable lines, or none where there is no journal."""
        assert call_systemctl(outcome, lambda systemd: systemd.journal(5, 9.0))[0] == lines
        last = lines[-1] if lines else ""
        assert call_systemctl(outcome, lambda systemd: systemd.last_log_line(UNIT, 1.5, 9.0))[0] == last


@pytest.mark.parametrize(
    ("place", "is_directory", "booted"),
    [
        pytest.param("systemd/system", True, True, id="booted"),
        pytest.param("systemd/system", False, False, id="a file in its place"),
        pytest.param("systemd", True, False, id="another's directory"),
        pytest.param("", True, False, id="nothing"),
    ],
)
def test_whether_systemd_booted_this_host(tmp_path: Path, place: str, *, is_directory: bool, booted: bool) -> None:
    """As sd_booted(3) finds out: by a directory that systemd makes as early as it can."""
    path = tmp_path / "run" / place
    (path if is_directory else path.parent).mkdir(parents=True)
    if not is_directory:
        path.touch()
    assert is_booted(tmp_path / "run") is booted
