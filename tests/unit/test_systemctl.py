"""What systemd is told and what is understood of its answers; the drop-in, in a directory of its own."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
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
    UnitDetails,
    UnitState,
)
from ocf_systemd.core.records import Record, replace
from ocf_systemd.core.unit_properties import parse_show
from ocf_systemd.host.drop_in import (
    DropInChange,
    drop_in_path,
    drop_in_text,
    drop_ins_in_force,
    has_in_force,
    put_drop_in,
    remove_drop_in,
)
from ocf_systemd.host.systemctl import Systemctl, is_booted, job_outcome, tool_environment
from tests.unit.builders import UNIT, is_one_line, run_python

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from signal import Signals

    from ocf_systemd.host.processes import Command
    from ocf_systemd.host.systemctl import QueryUnit

ACTIVE = b"""\
LoadState=loaded
ActiveState=active
SubState=running
Result=success
ExecMainCode=0
ExecMainStatus=0
CanReload=yes
ConditionResult=yes
ConditionTimestampMonotonic=4711
NeedDaemonReload=no
DropInPaths=/run/systemd/system/a.d/1.conf /etc/systemd/system/a.d/2.conf
"""
FAILED = b"""\
Result=exit-code
ExecMainCode=1
ExecMainStatus=3
LoadState=loaded
ActiveState=failed
SubState=failed
CanReload=no
ConditionResult=yes
NeedDaemonReload=yes
"""
NOT_FOUND = b"LoadState=not-found\nActiveState=inactive\nSubState=dead\nCanReload=no\nConditionResult=no\n"
DETAILS = """\
Id=mariadb.service
Names=mariadb.service mysql.service mysqld.service
Restart=on-abort
RestartForceExitStatus=3 SIGHUP
KillMode=mixed
MainPID=812
ExecMainPID=812
ExecMainStartTimestampMonotonic=4711000000
ControlGroup=/system.slice/mariadb.service
Slice=system.slice
"""
ALL_DETAILS = UnitDetails(
    id="mariadb.service",
    names=("mariadb.service", "mysql.service", "mysqld.service"),
    restart="on-abort",
    restart_force="3 SIGHUP",
    kill_mode="mixed",
    main_pid=812,
    main_started_us=4_711_000_000,
    control_group="/system.slice/mariadb.service",
    slice="system.slice",
)
STARTING = b"LoadState=loaded\nActiveState=activating\nSubState=start\nJob=1234\nResult=success\n"


class TestShow:
    @pytest.mark.parametrize(
        ("stdout", "state"),
        [
            pytest.param(
                ACTIVE,
                UnitState(
                    UNIT,
                    LoadState.LOADED,
                    ActiveState.ACTIVE,
                    "running",
                    "success",
                    can_reload=True,
                    drop_in_paths=("/run/systemd/system/a.d/1.conf", "/etc/systemd/system/a.d/2.conf"),
                ),
                id="active",
            ),
            pytest.param(
                FAILED,
                UnitState(
                    UNIT,
                    LoadState.LOADED,
                    ActiveState.FAILED,
                    "failed",
                    "exit-code",
                    "status 3",
                    needs_daemon_reload=True,
                ),
                id="failed, drop-in not in force",
            ),
            pytest.param(
                NOT_FOUND,
                UnitState(UNIT, LoadState.NOT_FOUND, ActiveState.INACTIVE, "dead"),
                id="not found",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=inactive\nConditionResult=no\nConditionTimestampMonotonic=4711\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE, condition_met=False),
                id="condition not met",
            ),
            pytest.param(
                STARTING,
                UnitState(UNIT, LoadState.LOADED, ActiveState.ACTIVATING, "start", "success", has_job=True),
                id="starting, with a job",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=failed\nExecMainCode=2\nExecMainStatus=11\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="SIGSEGV"),
                id="main process killed",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=failed\nExecMainCode=3\nExecMainStatus=6\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="SIGABRT"),
                id="main process dumped core",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=failed\nExecMainCode=2\nExecMainStatus=63\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="SIG63"),
                id="main process killed by a signal without a name",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=failed\nExecMainCode=1\nExecMainStatus=x\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="status 0"),
                id="a status that is no number",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=inactive\nJob=0\nExecMainCode=9\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE),
                id="no job, a code that means nothing",
            ),
            pytest.param(
                b"LoadState=vanished\nActiveState=hibernating\nNewProperty=a=b\n",
                UnitState(UNIT, LoadState.UNRECOGNISED, ActiveState.UNRECOGNISED),
                id="a later systemd",
            ),
            pytest.param(
                b"LoadState=masked\r\nActiveState=inactive\r\n",
                UnitState(UNIT, LoadState.MASKED, ActiveState.INACTIVE),
                id="CR LF",
            ),
            pytest.param(
                "LoadState=loaded\nActiveState=active\nDropInPaths=/a\u2028ActiveState=inactive\nSubState=a\x1b[2Jb".encode(),
                UnitState(UNIT, LoadState.LOADED, ActiveState.ACTIVE, "ab", drop_in_paths=("/aActiveState=inactive",)),
                id="what is a line's end to others",
            ),
        ],
    )
    def test_what_systemctl_prints(self, stdout: bytes, state: UnitState) -> None:
        """Each property finds its place; what is missing is at its default, what is unknown is unrecognised."""
        assert parse_show(UNIT, stdout) == replace(state, details=UnitDetails(UNIT))

    @pytest.mark.parametrize(
        ("properties", "details"),
        [
            pytest.param("", UnitDetails(UNIT), id="none"),
            pytest.param(DETAILS, ALL_DETAILS, id="all"),
            pytest.param("Id=\nNames=\nMainPID=\nControlGroup=\n", UnitDetails(UNIT), id="empty"),
            pytest.param("MainPID=0\n", UnitDetails(UNIT), id="no main process"),
            pytest.param("MainPID=812\nExecMainPID=4711\nExecMainCode=0\n", UnitDetails(UNIT, main_pid=812), id="both"),
            pytest.param(
                "MainPID=0\nExecMainPID=812\nExecMainCode=0\nKillMode=process\n",
                UnitDetails(UNIT, main_pid=812, kill_mode="process"),
                id="a main process that systemd has given up on",
            ),
            pytest.param(
                "MainPID=0\nExecMainPID=812\nExecMainCode=0\nKillMode=none\n",
                UnitDetails(UNIT, kill_mode="none"),
                id="one that was not asked to end",
            ),
            pytest.param(
                "MainPID=0\nExecMainPID=812\nExecMainCode=2\nKillMode=mixed\n",
                UnitDetails(UNIT, kill_mode="mixed"),
                id="one that has ended",
            ),
            pytest.param("MainPID=-1\nExecMainStartTimestampMonotonic=n/a\n", UnitDetails(UNIT), id="no numbers"),
            pytest.param("MainPID=" + "9" * 21 + "\n", UnitDetails(UNIT), id="a number that is too long"),
            pytest.param("MainPID=\uff11\n", UnitDetails(UNIT), id="a digit of another script"),
            pytest.param("Names='a\n", UnitDetails(UNIT), id="a quote without an end"),
            pytest.param(
                r"""Names="dev-disk-by\\x2dlabel.mount" b.service""",
                UnitDetails(UNIT, (r"dev-disk-by\x2dlabel.mount", "b.service")),
                id="a name with a backslash, which systemctl quotes",
            ),
        ],
    )
    def test_what_tells_of_its_processes(self, properties: str, details: UnitDetails) -> None:
        """Its real name, what restarts it, how it is killed, and where its processes are; what is missing is empty."""
        state = parse_show(UNIT, f"LoadState=loaded\nActiveState=inactive\n{properties}\n".encode())
        assert isinstance(state, UnitState)
        assert state.details == details

    @pytest.mark.parametrize(
        "stdout",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"\n\n", id="empty lines"),
            pytest.param(b"LoadState=loaded\n", id="no ActiveState"),
            pytest.param(b"ActiveState=inactive\n", id="no LoadState"),
            pytest.param(b"LoadState\nActiveState\n", id="no values"),
            pytest.param(b"\xff\0\xfe", id="garbage"),
        ],
    )
    def test_what_tells_no_state_is_no_answer(self, stdout: bytes) -> None:
        """In doubt is not stopped."""
        assert parse_show(UNIT, stdout) == NoAnswer("systemctl show printed no state")

    @given(st.binary(max_size=300))
    def test_bytes_never_raise(self, stdout: bytes) -> None:
        """Any bytes are a state or no answer; alone they are never a stopped unit."""
        assert isinstance(parse_show(UNIT, stdout), UnitState | NoAnswer)
        state = parse_show(UNIT, b"LoadState=loaded\nActiveState=active\n" + stdout)
        assert isinstance(state, UnitState)

    @given(st.sampled_from(list(LoadState)), st.sampled_from(list(ActiveState)))
    def test_every_state_is_read_as_itself(self, load: LoadState, active: ActiveState) -> None:
        """The words of systemd are the words of the facts."""
        state = parse_show(UNIT, f"ActiveState={active}\nLoadState={load}\n".encode())
        assert state == UnitState(UNIT, load, active, details=UnitDetails(UNIT))


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
    def test_what_systemctl_says_of_a_job(self, message: str, result: JobResult) -> None:
        """Each message of systemctl's tells which end the job had; its first line is kept."""
        told = job_outcome(Exited(0.5, stderr=message.encode(), code=1))
        assert told == JobOutcome(result, message.splitlines()[0])

    @pytest.mark.parametrize(("message", "result"), JOB_MESSAGES)
    def test_a_warning_before_it_does_not_matter(self, message: str, result: JobResult) -> None:
        """Systemctl may warn that unit files changed before it says how the job ended."""
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
                JobOutcome(JobResult.REFUSED, "Failed to start x.service: Access denied"),
                id="not permitted",
            ),
            pytest.param(
                Exited(0.1, stderr=b"Failed to start x.service: Unit x.service not found.\n", code=5),
                JobOutcome(JobResult.LOST, "Failed to start x.service: Unit x.service not found."),
                id="not found",
            ),
            pytest.param(
                Exited(0.1, stderr=MANUAL_REFUSAL.encode(), code=1),
                JobOutcome(JobResult.MANUAL_REFUSED, MANUAL_REFUSAL.splitlines()[0]),
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
        """Whatever systemctl writes, it is told in one line."""
        job = job_outcome(Exited(0.1, stderr=stderr, code=code))
        assert job.result is not JobResult.DONE
        assert is_one_line(job.message)


def test_the_tools_environment_leads_nobody_astray() -> None:
    """What changes what systemd's tools do, or whom they talk to, does not reach them; the rest does."""
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
    """A runner that notes what it is to run, and always answers the same."""

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


def ask(outcome: CommandOutcome, call: Callable[[Systemctl], Awaitable[object]]) -> tuple[object, Recorder]:
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
        _, recorder = ask(Exited(0.1, stdout=b"a line"), call)
        ((command, deadline),) = recorder.calls
        assert command.arguments == arguments
        assert command.environment == tool_environment({"X": "y"})
        assert (command.user, command.time_limit_s, deadline) == (None, None, 9.0)

    def test_last_words_are_asked_for_by_the_units_id(self) -> None:
        """The journal knows a unit by its primary name, whatever the parameter calls it; read to its end before."""
        _, recorder = ask(
            Exited(0.1, stdout=b"x\n"), lambda systemd: systemd.last_log_line("mariadb.service", 1.5, 9.0)
        )
        assert [command.arguments for command, _ in recorder.calls] == [
            (*JOURNALCTL, "--sync"),
            (*LAST_LINE, "_SYSTEMD_UNIT=mariadb.service"),
        ]

    def test_where_the_unit_said_nothing_pid_1_may_have(self) -> None:
        """An unmet condition is told by systemd, and by nobody else; where the unit spoke, its own words count."""
        _, recorder = ask(Exited(0.1), lambda systemd: systemd.last_log_line_about("mariadb.service", 1.5, 9.0))
        assert [command.arguments for command, _ in recorder.calls] == [
            (*JOURNALCTL, "--sync"),
            (*LAST_LINE, "_SYSTEMD_UNIT=mariadb.service"),
            (*LAST_LINE, "_PID=1", "UNIT=mariadb.service"),
        ]
        words, recorder = ask(Exited(0.1, stdout=b"x\n"), lambda systemd: systemd.last_log_line_about(UNIT, 1.5, 9.0))
        assert words == "x"
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
            pytest.param("812 stop.service pacemaker.service stop\n", False, id="words in other places"),
            pytest.param("pacemaker.service stop\n\xff", False, id="something else"),
        ],
    )
    def test_whether_pacemaker_is_being_stopped(self, stdout: str, *, is_stopping: bool) -> None:
        """A job that stops it, as at the host's shutdown; a restart's job is one too. Nothing else is."""
        answer, _ = ask(Exited(0.1, stdout=stdout.encode()), lambda systemd: systemd.is_stopping_pacemaker(9.0))
        assert answer is is_stopping

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
        assert ask(outcome, lambda systemd: systemd.is_stopping_pacemaker(9.0))[0] is False

    @given(st.binary(max_size=200))
    def test_any_list_of_jobs(self, stdout: bytes) -> None:
        """Whatever is printed, it is a list with such a job or without."""
        answer, _ = ask(Exited(0.1, stdout=stdout), lambda systemd: systemd.is_stopping_pacemaker(9.0))
        assert isinstance(answer, bool)

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

    def test_what_pid_1_has_said_itself_is_not_asked_again(self) -> None:
        """Where the state is known from its bus, systemctl is not run; where it is not, it is."""
        state = UnitState(UNIT, LoadState.LOADED, ActiveState.ACTIVE)
        answers = {"known": state, "unknown": None}
        for answer in answers.values():
            recorder = Recorder(Exited(0.1, stdout=ACTIVE))

            async def known(_: str, __: float, answer: UnitState | None = answer) -> UnitState | None:
                return answer

            async def main(recorder: Recorder = recorder, known: QueryUnit = known) -> UnitState | NoAnswer:
                return await Systemctl(UNIT, {}, recorder, known).show(9.0)

            shown = anyio.run(main)
            assert isinstance(shown, UnitState)
            assert (shown == state, len(recorder.calls)) == ((True, 0) if answer else (False, 1))

    def test_one_call_tells_all_of_the_state(self) -> None:
        """One `systemctl show` asks for every property that the parser reads."""
        answer, recorder = ask(Exited(0.1, stdout=ACTIVE), lambda systemd: systemd.show(9.0))
        assert isinstance(answer, UnitState)
        ((command, _),) = recorder.calls
        *head, properties, end, unit = command.arguments
        assert (head, end, unit) == ([*SYSTEMCTL, "show"], "--", UNIT)
        name, _, asked = properties.partition("=")
        read = {line.split("=")[0] for line in [*(ACTIVE + STARTING).decode().splitlines(), *DETAILS.splitlines()]}
        assert (name, set(asked.split(","))) == ("--property", read)

    @pytest.mark.parametrize(
        ("outcome", "why"),
        [
            pytest.param(
                Exited(0.1, stderr=b"Connection reset by peer\n", code=1),
                "Connection reset by peer (systemctl exited with 1)",
                id="failed",
            ),
            pytest.param(Exited(0.1, code=1), "no output (systemctl exited with 1)", id="failed silently"),
            pytest.param(Exited(0.1), "systemctl show printed no state", id="told nothing"),
            pytest.param(Signalled(0.1, signal=11), "systemctl died by SIGSEGV", id="died"),
            pytest.param(TimedOut(4.96), "no answer within 5.0 s", id="timeout"),
            pytest.param(
                NotStarted(2, "No such file or directory"),
                "systemctl could not be started: No such file or directory",
                id="not there",
            ),
        ],
    )
    def test_what_is_no_answer(self, outcome: CommandOutcome, why: str) -> None:
        """Whatever else than a state comes is no answer, and what came is told."""
        answer, _ = ask(outcome, lambda systemd: systemd.show(9.0))
        assert answer == NoAnswer(why)

    def test_daemon_reload_tells_what_went_wrong(self) -> None:
        """Nothing when it went well, else why."""
        assert ask(Exited(0.1), lambda systemd: systemd.daemon_reload(9.0))[0] == ""
        failed = Exited(0.1, stderr=b"Access denied\n", code=4)
        told = "daemon-reload: Access denied (systemctl exited with 4)"
        assert ask(failed, lambda systemd: systemd.daemon_reload(9.0))[0] == told

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
        assert ask(outcome, lambda systemd: systemd.journal(5, 9.0))[0] == lines
        last = lines[-1] if lines else ""
        assert ask(outcome, lambda systemd: systemd.last_log_line(UNIT, 1.5, 9.0))[0] == last


@pytest.fixture
def pacemakers_umask() -> Iterator[None]:
    before = os.umask(0o026)
    yield
    os.umask(before)


OTHERS_DROP_INS = ("override.conf", "50-CPUQuota.conf", "10-timeout-abort.conf", "local.conf", "z.conf")


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if not path.is_dir()]


class TestDropIn:
    @pytest.mark.parametrize(
        ("unit", "has_service_part"),
        [
            pytest.param("nginx.service", True, id="service"),
            pytest.param("cups.socket", False, id="socket"),
            pytest.param("app.target", False, id="target"),
            pytest.param("a.timer", False, id="timer"),
            pytest.param("srv.mount", False, id="mount"),
            pytest.param("x.path", False, id="path"),
        ],
    )
    def test_what_it_says(self, unit: str, *, has_service_part: bool) -> None:
        """The unit is stopped after Pacemaker at shutdown; restarts of a service are Pacemaker's."""
        lines = [line for line in drop_in_text(unit).splitlines() if line and not line.startswith("#")]
        assert lines[:2] == ["[Unit]", "Before=pacemaker.service pacemaker_remote.service"]
        assert lines[2:] == (["[Service]", "Restart=no", "RestartForceExitStatus="] if has_service_part else [])

    def test_where_it_stands(self, tmp_path: Path) -> None:
        """In /run, so that a reboot forgets it, where systemd.unit(5) looks."""
        assert str(drop_in_path(UNIT)) == f"/run/systemd/system/{UNIT}.d/zz-ocf-systemd.conf"
        assert drop_in_path(UNIT, tmp_path) == tmp_path / "systemd/system" / f"{UNIT}.d" / "zz-ocf-systemd.conf"

    @pytest.mark.parametrize("other", [pytest.param(name, id=name) for name in OTHERS_DROP_INS])
    def test_it_comes_after_others(self, other: str) -> None:
        """Drop-ins apply in the order of their names over all directories: what comes last has its way."""
        assert drop_in_path(UNIT).name > other
        assert drop_in_path(UNIT).name != other

    @pytest.mark.usefixtures("pacemakers_umask")
    def test_it_is_written_readable_for_all(self, tmp_path: Path) -> None:
        """0644 in directories of 0755, under Pacemaker's umask of 0026; nothing else is left there."""
        path = drop_in_path(UNIT, tmp_path)
        assert put_drop_in(UNIT, path) is DropInChange.WRITTEN
        assert path.read_text() == drop_in_text(UNIT)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        made = (tmp_path / "systemd", tmp_path / "systemd/system", path.parent)
        assert {stat.S_IMODE(directory.stat().st_mode) for directory in made} == {0o755}
        assert files_below(tmp_path) == [path]

    def test_others_may_write_it_at_no_moment(self, tmp_path: Path) -> None:
        """Not even under a umask of 0 between its making and its last mode: it can name programs to run as root."""
        code = """
import os, stat, sys
from pathlib import Path
from ocf_systemd.host.drop_in import put_drop_in
def watch(event, arguments):
    if event == "os.chmod":
        print(oct(stat.S_IMODE(os.stat(arguments[0]).st_mode)))
sys.addaudithook(watch)
os.umask(0)
put_drop_in(sys.argv[1], Path(sys.argv[2]))
"""
        done = run_python(code, UNIT, str(drop_in_path(UNIT, tmp_path)))
        assert done.stderr == ""
        assert done.stdout.split() == ["0o755", "0o755", "0o755", "0o600"]

    def test_writing_and_removing_are_idempotent(self, tmp_path: Path) -> None:
        """Twice is as good as once, and says that nothing changed."""
        path = drop_in_path(UNIT, tmp_path)
        assert remove_drop_in(path) is DropInChange.UNCHANGED
        assert put_drop_in(UNIT, path) is DropInChange.WRITTEN
        inode = path.stat().st_ino
        assert put_drop_in(UNIT, path) is DropInChange.UNCHANGED
        assert path.stat().st_ino == inode
        assert remove_drop_in(path) is DropInChange.REMOVED
        assert remove_drop_in(path) is DropInChange.UNCHANGED
        assert not path.parent.exists()

    @pytest.mark.parametrize("is_there", [pytest.param(True, id="both"), pytest.param(False, id="only the old one")])
    def test_one_of_the_old_name_goes(self, tmp_path: Path, *, is_there: bool) -> None:
        """An earlier version wrote 50-ocf-systemd.conf: gone once the new one is written, and when that is removed."""
        path = drop_in_path(UNIT, tmp_path)
        old = path.with_name("50-ocf-systemd.conf")
        path.parent.mkdir(parents=True)
        if is_there:
            put_drop_in(UNIT, path)
        old.write_text("[Unit]\n")
        assert put_drop_in(UNIT, path) is DropInChange.WRITTEN
        assert files_below(tmp_path) == [path]
        if not is_there:
            path.unlink()
        old.write_text("[Unit]\n")
        assert remove_drop_in(path) is DropInChange.REMOVED
        assert not path.parent.exists()

    def test_the_old_one_goes_where_the_new_one_stands_already(self, tmp_path: Path) -> None:
        """That is a change which systemd has to be told of, though nothing was written."""
        path = drop_in_path(UNIT, tmp_path)
        put_drop_in(UNIT, path)
        inode = path.stat().st_ino
        path.with_name("50-ocf-systemd.conf").write_text("[Unit]\n")
        assert put_drop_in(UNIT, path) is DropInChange.WRITTEN
        assert path.stat().st_ino == inode
        assert files_below(tmp_path) == [path]

    @pytest.mark.parametrize(
        ("listed", "needs_reload", "has_it", "has_none"),
        [
            pytest.param((), False, False, True, id="none"),
            pytest.param(("zz-ocf-systemd.conf",), False, True, False, id="it"),
            pytest.param(("a.conf", "zz-ocf-systemd.conf", "zzz.conf"), False, True, False, id="among others"),
            pytest.param(("a.conf",), False, False, True, id="others"),
            pytest.param(("50-ocf-systemd.conf",), False, False, False, id="the old one"),
            pytest.param(("50-ocf-systemd.conf", "zz-ocf-systemd.conf"), False, False, False, id="both"),
            pytest.param(("zz-ocf-systemd.conf",), True, False, False, id="it, outdated"),
            pytest.param((), True, False, False, id="none, outdated"),
        ],
    )
    def test_whether_it_is_in_force(
        self, tmp_path: Path, listed: tuple[str, ...], *, needs_reload: bool, has_it: bool, has_none: bool
    ) -> None:
        """What PID 1 lists, not what the directory holds; another's of the same name does not count."""
        path = drop_in_path(UNIT, tmp_path)
        paths = ("/etc/systemd/system/x.service.d/zz-ocf-systemd.conf", *(str(path.with_name(name)) for name in listed))
        unit = UnitState(
            UNIT, LoadState.LOADED, ActiveState.ACTIVE, needs_daemon_reload=needs_reload, drop_in_paths=paths
        )
        assert has_in_force(unit, path, wanted=True) is has_it
        assert has_in_force(unit, path, wanted=False) is has_none
        ours = {"50-ocf-systemd.conf", "zz-ocf-systemd.conf"}.intersection(listed)
        assert drop_ins_in_force(unit, path) == {str(path.with_name(name)) for name in ours}

    @pytest.mark.parametrize(
        "there",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"[Unit]\n", id="an older one"),
            pytest.param(b"\xff", id="bytes"),
        ],
    )
    def test_another_content_is_replaced(self, tmp_path: Path, there: bytes) -> None:
        """What an earlier version wrote, or half wrote, does not stay."""
        path = drop_in_path(UNIT, tmp_path)
        path.parent.mkdir(parents=True)
        path.write_bytes(there)
        assert put_drop_in(UNIT, path) is DropInChange.WRITTEN
        assert path.read_text() == drop_in_text(UNIT)

    def test_others_drop_ins_stay(self, tmp_path: Path) -> None:
        """The directory goes only when nothing else is in it."""
        path = drop_in_path(UNIT, tmp_path)
        put_drop_in(UNIT, path)
        other = path.with_name("90-mine.conf")
        other.write_text("[Unit]\n")
        assert remove_drop_in(path) is DropInChange.REMOVED
        assert files_below(tmp_path) == [other]

    def test_where_it_cannot_be_written_nothing_is_left(self, tmp_path: Path) -> None:
        """A place that cannot be written to raises OSError, and no half of a file stays behind."""
        path = drop_in_path(UNIT, tmp_path)
        path.mkdir(parents=True)  # a directory in its place: no file can be moved over it
        (path / "x").touch()
        with pytest.raises(OSError, match="directory"):
            put_drop_in(UNIT, path)
        assert files_below(tmp_path) == [path / "x"]
        with pytest.raises(OSError, match="directory"):
            remove_drop_in(path)

    def test_where_its_directory_cannot_be_made(self, tmp_path: Path) -> None:
        """A file where a directory has to be raises OSError."""
        (tmp_path / "systemd").touch()
        with pytest.raises(OSError, match=r"Not a directory|File exists"):
            put_drop_in(UNIT, drop_in_path(UNIT, tmp_path))

    def test_a_full_disk_leaves_nothing_behind(self, tmp_path: Path) -> None:
        """When writing fails half way, the file that stood there stands as it was, and no draft beside it."""
        path = drop_in_path(UNIT, tmp_path)
        path.parent.mkdir(parents=True)
        path.write_text("[Unit]\n")
        code = """
import resource, sys
from pathlib import Path
from ocf_systemd.host.drop_in import put_drop_in
resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))
try:
    put_drop_in(sys.argv[1], Path(sys.argv[2]))
except OSError as error:
    print(error.strerror)
"""
        done = run_python(code, UNIT, str(path))
        assert (done.stdout, done.stderr) == ("File too large\n", "")
        assert [(file, file.read_text()) for file in files_below(tmp_path)] == [(path, "[Unit]\n")]

    def test_a_read_only_place(self) -> None:
        """Where nothing can be written, not even by root: OSError."""
        with pytest.raises(OSError, match=r"Operation not permitted|Read-only|Permission denied"):
            put_drop_in(UNIT, drop_in_path(UNIT, Path("/sys")))


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
