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

from ocf_systemd.observations import (
    ActiveState,
    CommandOutcome,
    Exited,
    JobOutcome,
    JobResult,
    LoadState,
    NoAnswer,
    NotStarted,
    Signalled,
    TimedOut,
    UnitState,
)
from ocf_systemd.systemd import (
    DropInChange,
    Systemd,
    drop_in_path,
    drop_in_text,
    job_outcome,
    parse_show,
    put_drop_in,
    remove_drop_in,
    tool_environment,
)
from tests.unit.builders import UNIT, is_one_line, run_python

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from ocf_systemd.processes import Command

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
                    "status=3",
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
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="signal=11"),
                id="main process killed",
            ),
            pytest.param(
                b"LoadState=loaded\nActiveState=failed\nExecMainCode=3\nExecMainStatus=6\n",
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="signal=6"),
                id="main process dumped core",
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
        assert parse_show(UNIT, stdout) == state

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
        assert parse_show(UNIT, stdout) == NoAnswer("systemctl show told no state")

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
        assert state == UnitState(UNIT, load, active)


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
            pytest.param(Exited(0.1, code=1), JobOutcome(JobResult.LOST), id="silent"),
            pytest.param(
                Exited(0.1, stderr=b"\xff\x1b[31m\n", code=1), JobOutcome(JobResult.LOST, "\\xff"), id="garbage"
            ),
            pytest.param(TimedOut(5.04), JobOutcome(JobResult.PENDING, "its job still runs after 5.0 s"), id="timeout"),
            pytest.param(
                Signalled(0.1, signal=9), JobOutcome(JobResult.LOST, said="systemctl died by SIGKILL"), id="killed"
            ),
            pytest.param(
                NotStarted(24, "Too many open files"),
                JobOutcome(JobResult.LOST, said="systemctl could not be started: Too many open files"),
                id="not started",
            ),
        ],
    )
    def test_what_else_may_come_of_a_request(self, outcome: CommandOutcome, job: JobOutcome) -> None:
        """Done, not permitted, still running when our time was up, or lost: then it may not even be queued."""
        assert job_outcome(outcome) == job

    @given(st.binary(max_size=200), st.integers(1, 255))
    def test_bytes_never_raise(self, stderr: bytes, code: int) -> None:
        """Whatever systemctl writes, it is told in one line."""
        job = job_outcome(Exited(0.1, stderr=stderr, code=code))
        assert job.result is not JobResult.DONE
        assert is_one_line(job.said)


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


def ask(outcome: CommandOutcome, call: Callable[[Systemd], Awaitable[object]]) -> tuple[object, Recorder]:
    """Return what a call to systemd comes to, and what was run for it."""
    recorder = Recorder(outcome)

    async def main() -> object:
        return await call(Systemd(UNIT, {"SYSTEMD_OFFLINE": "1", "X": "y"}, recorder))

    return anyio.run(main), recorder


SYSTEMCTL = ("systemctl", "--no-ask-password", "--no-pager")
JOURNALCTL = ("journalctl", "--quiet", "--no-pager")


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
                lambda systemd: systemd.kill(9.0), (*SYSTEMCTL, "kill", "--signal=SIGKILL", "--", UNIT), id="kill"
            ),
            pytest.param(
                lambda systemd: systemd.daemon_reload(9.0),
                ("systemctl", "--no-ask-password", "daemon-reload"),
                id="daemon-reload",
            ),
            pytest.param(
                lambda systemd: systemd.journal(5, 9.0),
                (*JOURNALCTL, "--output=short", "--lines=5", f"--unit={UNIT}"),
                id="journal",
            ),
        ],
    )
    def test_argument_lists(self, call: Callable[[Systemd], Awaitable[object]], arguments: tuple[str, ...]) -> None:
        """No shell, no password prompt, no pager, and the unit after `--`, with the deadline it was given."""
        _, recorder = ask(Exited(0.1, stdout=b"a line"), call)
        ((command, deadline),) = recorder.calls
        assert command.arguments == arguments
        assert command.environment == tool_environment({"X": "y"})
        assert (command.user, command.time_limit_s, deadline) == (None, None, 9.0)

    def test_where_the_unit_said_nothing_pid_1_may_have(self) -> None:
        """An unmet condition is told by systemd, and by nobody else."""
        _, recorder = ask(Exited(0.1), lambda systemd: systemd.last_journal_line(1.5, 9.0))
        last_line = (*JOURNALCTL, "--output=cat", "--reverse", "--lines=1", "--since=-1.500s")
        assert [command.arguments for command, _ in recorder.calls] == [
            (*JOURNALCTL, "--sync"),
            (*last_line, f"_SYSTEMD_UNIT={UNIT}"),
            (*last_line, "_PID=1", f"UNIT={UNIT}"),
        ]

    def test_one_call_tells_all_of_the_state(self) -> None:
        """One `systemctl show` asks for every property that the parser reads."""
        answer, recorder = ask(Exited(0.1, stdout=ACTIVE), lambda systemd: systemd.show(9.0))
        assert isinstance(answer, UnitState)
        ((command, _),) = recorder.calls
        *head, properties, end, unit = command.arguments
        assert (head, end, unit) == ([*SYSTEMCTL, "show"], "--", UNIT)
        name, _, asked = properties.partition("=")
        read = {line.split("=")[0] for line in (ACTIVE + STARTING).decode().splitlines()}
        assert (name, set(asked.split(","))) == ("--property", read)

    @pytest.mark.parametrize(
        ("outcome", "why"),
        [
            pytest.param(
                Exited(0.1, stderr=b"Connection reset by peer\n", code=1),
                "Connection reset by peer (systemctl exited with 1)",
                id="failed",
            ),
            pytest.param(Exited(0.1, code=1), "it said nothing (systemctl exited with 1)", id="failed silently"),
            pytest.param(Exited(0.1), "systemctl show told no state", id="told nothing"),
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
        assert ask(outcome, lambda systemd: systemd.last_journal_line(1.5, 9.0))[0] == last


@pytest.fixture
def pacemakers_umask() -> Iterator[None]:
    before = os.umask(0o026)
    yield
    os.umask(before)


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
        assert lines[2:] == (["[Service]", "Restart=no"] if has_service_part else [])

    def test_where_it_stands(self, tmp_path: Path) -> None:
        """In /run, so that a reboot forgets it, where systemd.unit(5) looks."""
        assert str(drop_in_path(UNIT)) == f"/run/systemd/system/{UNIT}.d/50-ocf-systemd.conf"
        assert drop_in_path(UNIT, tmp_path) == tmp_path / "systemd/system" / f"{UNIT}.d" / "50-ocf-systemd.conf"

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
from ocf_systemd.systemd import put_drop_in
def watch(event, arguments):
    if event == "os.chmod":
        print(oct(stat.S_IMODE(os.stat(arguments[0]).st_mode)))
sys.addaudithook(watch)
os.umask(0)
put_drop_in(sys.argv[1], Path(sys.argv[2]))
"""
        done = run_python(code, UNIT, str(drop_in_path(UNIT, tmp_path)))
        assert done.stderr == ""
        assert done.stdout.split() == ["0o755", "0o755", "0o755", "0o644"]

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
from ocf_systemd.systemd import put_drop_in
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
