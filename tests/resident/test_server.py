"""The resident server and its clients: the result of each client, whatever the others do."""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGSTOP, SIGTERM
from typing import TYPE_CHECKING

import psutil
import pytest

import ocf_systemd
from ocf_systemd.client import ANSWER, GREETING, GREETING_TIMEOUT_S, VERSION, encode_frame
from tests.resident.host import ACTIVE, NO_ANSWER, Host, gone, wait_until
from tests.unit.builders import run_python

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "from ocf_systemd.commands import main; main()"
REASON = "ocf-exit-reason:"
VANISHED_WITHIN_S = 0.1
BUSY_S = 0.4  # what a loaded machine may add to that


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.close()


@pytest.fixture
def served(host: Host) -> Host:
    host.serve()
    return host


class TestAnswers:
    def test_a_code_without_output(self, served: Host) -> None:
        """A running unit has 0 and no output."""
        result = served.run_agent()
        assert (result.code, result.stderr) == (0, "")

    def test_a_reason_is_the_last_line(self, served: Host) -> None:
        """Log lines, which have no other place here, come before it."""
        result = served.run_agent(monitor_hook=served.hook("echo broken; exit 42"))
        assert result.code == 42
        assert "ERROR: " in result.stderr.splitlines()[0]
        assert result.stderr.splitlines()[-1].startswith(REASON)

    def test_a_wrong_parameter(self, served: Host) -> None:
        """It is 6, as without the server."""
        result = served.run_agent(monitor_hook="relative")
        assert result.code == 6
        assert result.stderr.splitlines()[-1].startswith(f"{REASON}monitor_hook")

    def test_a_hook_has_its_clients_settings(self, served: Host) -> None:
        """Its client's arguments, environment, directory and umask; no input, no descriptor of the server's."""
        hook = served.hook('{ pwd; umask; echo "$OCF_RESKEY_x"; ls /proc/self/fd | wc -l; cat; } >seen')
        result = served.begin(monitor_hook=hook, x="y z", umask=0o031).finish()
        assert result.code == 0, result
        # Three streams, the parent-death pipe, and the directory that ls reads.
        assert served.read("seen").split("\n") == [str(served.directory), "0031", "y z", "5", ""]

    def test_time_counts_from_the_agents_start(self, served: Host) -> None:
        """The time that its interpreter took counts: the result comes before its timeout."""
        result = served.run_agent(timeout_s=2, monitor_hook=served.hook("sleep 20"))  # type: ignore[arg-type]
        assert result.code == 1
        assert result.elapsed_s < 2
        assert "timed out" in result.stderr

    def test_a_hook_is_in_a_group_of_its_own(self, served: Host) -> None:
        """One that signals its whole group, as scripts do in a trap, affects no other process."""
        slow = served.begin(monitor_hook=served.hook("sleep 1", "slow"))
        result = served.run_agent(monitor_hook=served.hook("kill -TERM 0; sleep 5"))
        assert result.code == 1
        assert "SIGTERM" in result.stderr
        assert slow.finish().code == 0
        assert served.run_agent().code == 0

    def test_a_signal_ends_an_action(self, served: Host) -> None:
        """Its hook is ended, and the reason names the signal."""
        agent = served.begin(monitor_hook=served.hook("echo $$ >pid; sleep 20"))
        hook = psutil.Process(int(served.wait_for("pid")))
        agent.process.send_signal(SIGTERM)
        result = agent.finish()
        assert result.code == 1
        assert "interrupted by SIGTERM" in result.stderr
        assert gone([hook], 5)

    @pytest.mark.parametrize("level", ["0", "10"])
    def test_validation(self, served: Host, level: str) -> None:
        """It changes nothing, and so the server performs it."""
        result = served.begin("validate-all", variables={"OCF_CHECK_LEVEL": level}).finish()
        assert (result.code, result.stderr) == (0, "")


class TestGoneTheirOwnWay:
    """An agent that gets no result runs the action in its own process, at once or after a moment."""

    def test_no_socket(self, host: Host) -> None:
        """The agent does not wait."""
        assert host.run_agent().code == NO_ANSWER

    def test_a_server_that_does_not_accept(self, host: Host) -> None:
        """The agent waits a moment for the greeting."""
        with host.listen():
            result = host.begin(greeting_timeout_s=GREETING_TIMEOUT_S).finish()
        assert result.code == NO_ANSWER
        assert GREETING_TIMEOUT_S[0] <= result.elapsed_s < GREETING_TIMEOUT_S[1] + 1

    @pytest.mark.parametrize(
        "sent",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(encode_frame(GREETING, b"0.0.0"), id="another version"),
            pytest.param(encode_frame(GREETING, VERSION), id="a greeting, and gone"),
            pytest.param(encode_frame(GREETING, VERSION) + encode_frame(ANSWER, b"\0")[:-1], id="half a result"),
            pytest.param(b"\xff" * 100, id="rubbish"),
        ],
    )
    def test_a_server_that_disconnects(self, host: Host, sent: bytes) -> None:
        """After any part of its frames."""
        with host.listen() as listener:

            def be_the_server() -> None:
                connection, _ = listener.accept()
                connection.recv(1)
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()

            thread = threading.Thread(target=be_the_server)
            thread.start()
            result = host.run_agent()
            thread.join()
        assert result.code == NO_ANSWER
        assert result.elapsed_s < 2

    def test_a_server_that_is_stopped(self, host: Host) -> None:
        """The agent detects it within a quarter of its timeout."""
        server = host.serve()
        agent = host.begin(timeout_s=6, monitor_hook=host.hook("echo $$ >pid; sleep 20"))
        host.wait_for("pid")
        server.send_signal(SIGSTOP)
        result = agent.finish()
        assert result.code == NO_ANSWER
        assert result.elapsed_s < 4

    def test_a_server_that_is_killed(self, served: Host) -> None:
        """All clients run their actions themselves, and no hook of the server's runs concurrently."""
        hook = served.hook("echo $$ >>pids; exec sleep 20")
        agents = [served.begin(monitor_hook=hook) for _ in range(20)]
        wait_until(lambda: len(served.wait_for("pids").split()) == len(agents))
        hooks = [psutil.Process(int(pid)) for pid in served.read("pids").split()]
        psutil.Process(hooks[0].ppid()).send_signal(SIGKILL)
        assert {agent.finish().code for agent in agents} == {NO_ANSWER}
        assert gone(hooks, 10)

    def test_a_trace_is_ones_own(self, served: Host) -> None:
        """OCF_TRACE_RA is for the process that is traced."""
        assert served.begin(variables={"OCF_TRACE_RA": "1"}).finish().code == NO_ANSWER

    @pytest.mark.parametrize("action", ["start", "stop", "reload", "reload-agent", "meta-data", "promote", ""])
    def test_what_is_not_served(self, host: Host, action: str) -> None:
        """An action that changes something runs in the agent's own process, and ends with it."""
        with host.listen() as listener:
            listener.settimeout(0)
            assert host.run_agent(action).code == NO_ANSWER
            with pytest.raises(BlockingIOError):
                listener.accept()

    @pytest.mark.parametrize("action", [b"start", b"stop", b"reload", b"reload-agent"])
    def test_what_is_not_performed(self, served: Host, action: bytes) -> None:
        """The connection of a client that requests it is closed."""
        served.systemctl(f"echo ran >>{served.directory}/ran; {ACTIVE}")
        with served.request(action, b"systemd", b"22", b"/", b"OCF_RESKEY_unit=no-such-unit") as connection:
            assert connection.recv(100) == encode_frame(GREETING, VERSION)
            assert connection.recv(100) == b""
        assert not (served.directory / "ran").exists()

    def test_standard_streams_that_are_closed(self, served: Host) -> None:
        """A connection in the place of a stream would be written to."""
        agent = 'exec 2>&-; exec "$@"'
        done = served.begin()
        words = list(map(str, done.process.args))  # type: ignore[arg-type]
        done.finish()
        closed = psutil.Popen(["sh", "-c", agent, "sh", *words], env={"PATH": "/usr/bin:/bin"})
        assert closed.wait(10) == NO_ANSWER

    @pytest.mark.parametrize("action", ["monitor", "validate-all"])
    def test_a_server_that_can_start_nothing(self, host: Host, action: str) -> None:
        """The agent's own process may be able to."""
        host.serve(env=planted(host.directory, SHORTAGE))
        result = host.begin(action, variables={"OCF_CHECK_LEVEL": "10"}).finish()
        assert (result.code, result.stderr) == (NO_ANSWER, "")
        assert result.elapsed_s < 2


BUG = """
import ocf_systemd.agent.run
async def perform(request):
    raise RuntimeError("planted")
ocf_systemd.agent.run.perform = perform
"""
# Writes the names of the modules that are imported from the moment on when there is a file for them.
IMPORTS = """
import os, sys
def record(event, arguments):
    if event == "import" and os.path.exists({0!r}):
        with open({0!r}, "a") as file:
            file.write(arguments[0] + "\\n")
sys.addaudithook(record)
"""
SHORTAGE = """
import errno, ocf_systemd.host.processes
def spawn(*_):
    raise OSError(errno.EAGAIN, "planted")
ocf_systemd.host.processes._spawn = spawn
"""


def planted(directory: Path, fault: str) -> dict[str, str]:
    """Return the environment in which Python loads a fault into the server."""
    (directory / "sitecustomize.py").write_text(fault)
    return {"PYTHONPATH": str(directory)}


class TestNoSharedFate:
    def test_a_bug(self, host: Host) -> None:
        """Its client gets 1 and a reason, and the server continues."""
        server = host.serve(env=planted(host.directory, BUG))
        result = host.run_agent()
        assert result.code == 1
        assert result.stderr.splitlines()[-1] == f"{REASON}internal error: RuntimeError: planted"
        assert server.is_running()

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("exec sleep 60", id="hangs"),
            pytest.param("yes", id="floods"),
            pytest.param("for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; wait", id="forks"),
            pytest.param('trap "" TERM HUP; sleep 60', id="ignores SIGTERM"),
        ],
    )
    def test_a_bad_hook(self, served: Host, script: str) -> None:
        """Other clients get results meanwhile, and nothing of it is left."""
        bad = served.begin(timeout_s=4, monitor_hook=served.hook(f"echo $$ >pid\n{script}", "bad"))
        hook = psutil.Process(int(served.wait_for("pid")))
        results = served.run_agents(10, monitor_hook=served.hook("exit 0"))
        assert {result.code for result in results} == {0}
        assert bad.finish().code == 1
        assert gone([hook], 5)

    def test_a_hundred_at_once(self, served: Host) -> None:
        """Each gets its own result."""
        agents = {n: served.begin(monitor_hook=served.hook(f"exit {n}", f"hook{n}")) for n in range(50, 150)}
        assert {n: agent.finish().code for n, agent in agents.items()} == {n: n for n in agents}

    def test_out_of_descriptors(self, host: Host) -> None:
        """An agent that gets no result runs its action itself; no result mentions the server's shortage."""
        host.serve(preexec="ulimit -Hn 128")
        hook = host.hook("sleep 0.5")
        codes = [result.code for result in host.run_agents(20, monitor_hook=hook)]
        assert set(codes) <= {0, NO_ANSWER}
        assert codes.count(0) >= 2
        assert host.run_agent(monitor_hook=hook).code == 0

    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param((b"monitor",), id="too short"),
            pytest.param((b"promote", b"systemd", b"22", b"/"), id="no action of ours"),
            pytest.param((b"monitor", b"systemd", b"x", b"/"), id="no umask"),
            pytest.param((b"monitor", b"systemd", b"22", b"/no/such/directory"), id="no directory"),
            pytest.param((b"\xff" * 1000,), id="rubbish"),
        ],
    )
    def test_what_is_no_request(self, served: Host, request_: tuple[bytes, ...]) -> None:
        """The connection is closed, and the next client is served."""
        with served.request(*request_) as connection:
            assert connection.recv(100) == encode_frame(GREETING, VERSION)
            assert connection.recv(100) == b""
        assert served.run_agent().code == 0

    def test_a_length_beyond_reason(self, served: Host) -> None:
        """The server does not wait for it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(served.address)
            connection.sendall(b"\xff\xff\xff\xff")
            connection.settimeout(2)
            assert connection.recv(100) == encode_frame(GREETING, VERSION)
            assert connection.recv(100) == b""


class TestVanished:
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("sleep 60", id="a child"),
            pytest.param('trap "" TERM; sleep 60 & wait', id="ignores SIGTERM"),
            pytest.param("setsid sleep 60 & wait", id="a session of its own"),
            pytest.param("(setsid sleep 60 &); sleep 60", id="forked twice"),
        ],
    )
    def test_all_it_started_ends_within_100_ms(self, served: Host, script: str) -> None:
        """As with Pacemaker's SIGKILL to its group, and more; processes of other actions are not ended."""

        def ends_in_time() -> bool:
            (served.directory / "pid").unlink(missing_ok=True)
            other = served.begin(monitor_hook=served.hook("sleep 2; exit 0", "other"))
            agent = served.begin(monitor_hook=served.hook(f"echo $$ >pid\n{script}"))
            hook = psutil.Process(int(served.wait_for("pid")))
            wait_until(lambda: any(map(sleeps, [hook, *hook.children(recursive=True)])))
            time.sleep(0.1)
            children = psutil.Process(hook.ppid()).children(recursive=True)
            theirs = [process for process in children if is_of(process, hook)]
            agent.process.kill()
            in_time = gone(theirs, VANISHED_WITHIN_S + BUSY_S)
            assert in_time or gone(theirs, 5)
            assert other.finish().code == 0
            return in_time

        assert any(ends_in_time() for _ in range(3))  # the server may get no processor for a moment

    def test_what_has_rid_itself_of_its_mark(self, served: Host) -> None:
        """Its action is unknown until all actions that may have started it have ended."""
        other = served.begin(monitor_hook=served.hook("sleep 1", "other"))
        agent = served.begin(monitor_hook=served.hook("(env -i setsid sh -c 'echo $$ >pid; sleep 60' &); sleep 60"))
        unmarked = psutil.Process(int(served.wait_for("pid")))
        agent.process.kill()
        assert other.finish().code == 0
        assert gone([unmarked], 5)

    def test_an_action_that_nobody_waits_for_is_logged_no_more(self, served: Host) -> None:
        """Pacemaker cancels monitors as a matter of course."""
        log = served.directory / "log"
        variables = {"HA_LOGFILE": str(log)}
        agent = served.begin(monitor_hook=served.hook("echo $$ >pid; sleep 20"), variables=variables)
        hook = psutil.Process(int(served.wait_for("pid")))
        agent.process.kill()
        assert gone([hook], 5)
        assert served.run_agent().code == 0
        assert not log.exists()


def sleeps(process: psutil.Process) -> bool:
    """Return whether a process has executed sleep(1); not if it has ended meanwhile."""
    with suppress(psutil.Error):
        return process.name() == "sleep"
    return False


def is_of(process: psutil.Process, hook: psutil.Process) -> bool:
    """Return whether a process is a hook, descends from it or has come from it, and not the other hook of the test."""
    own = [hook, *hook.children(recursive=True)]
    with suppress(psutil.Error):  # it has ended meanwhile
        return process in own or process.cmdline()[-1:] == ["60"]
    return False


class TestLeftBehind:
    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("sleep {mark} &", id="a child"),
            pytest.param("setsid sleep {mark} &", id="a session of its own"),
            pytest.param("(setsid sleep {mark} &) &", id="forked twice"),
            pytest.param("env -i setsid /bin/sleep {mark} &", id="without its mark"),
        ],
    )
    def test_it_is_named_and_ended(self, served: Host, script: str) -> None:
        """It is ended with its action, as without the server."""
        mark = f"60.{os.getpid()}"
        # Before it has executed a program it has the command line of the hook's shell.
        wait = f"until pgrep -f '^(/bin/)?sleep {mark}$' >/dev/null; do sleep 0.02; done"
        result = served.run_agent(monitor_hook=served.hook(f"{script.format(mark=mark)} {wait}"))
        assert result.code == 0
        assert re.search(r"left a process behind, killed now: sleep\[[0-9]+\]", result.stderr)

    def test_not_that_of_another(self, served: Host) -> None:
        """A process that another action's hook has left so far is not touched."""
        log = served.directory / "log"
        slow = served.begin(
            monitor_hook=served.hook("setsid sleep 61 & echo $! >pid; until [ -e go ]; do sleep 0.02; done", "slow"),
            variables={"HA_LOGFILE": str(log)},
        )
        left = psutil.Process(int(served.wait_for("pid")))
        assert served.run_agent(monitor_hook=served.hook("sleep 62 & exit 0")).code == 0
        assert left.is_running()
        (served.directory / "go").touch()
        assert slow.finish().code == 0
        assert gone([left], 5)
        assert f"killed now: sleep[{left.pid}]" in log.read_text()


class TestItsOwnLife:
    def test_root_alone_may_connect(self, served: Host) -> None:
        """The socket has that mode from the first moment on."""
        assert Path(served.address).stat().st_mode & 0o777 == 0o600

    def test_it_ends_without_work(self, host: Host) -> None:
        """It ends after the given time without work, with code 0."""
        server = host.serve("--idle-after=1s")
        assert host.run_agent(monitor_hook=host.hook("sleep 2")).code == 0
        assert server.is_running()
        assert server.wait(5) == 0

    def test_it_makes_way_for_a_version_that_replaces_it(self, host: Host) -> None:
        """The old server does not serve clients for ever after an upgrade."""
        package = host.directory / "packages/ocf_systemd"
        shutil.copytree(Path(ocf_systemd.__file__).parent, package)
        server = host.serve(env={"PYTHONPATH": str(package.parent)})
        with host.request(b"monitor", b"systemd", b"22", b"/", version=b"99") as connection:
            assert connection.recv(100) == encode_frame(GREETING, VERSION)
            assert connection.recv(100) == b""
        with pytest.raises(psutil.TimeoutExpired):
            server.wait(1)  # that one is elsewhere, and this one is still in place
        (package / "__init__.py").write_text('__version__ = "99"\n')
        host.request(b"monitor", b"systemd", b"22", b"/", version=b"99").close()
        assert server.wait(5) == 0

    def test_it_imports_nothing_while_it_serves(self, host: Host) -> None:
        """All code that it runs is of one version, also after the package and anyio have been replaced on the disk."""
        imported = host.directory / "imported"
        host.serve(env=planted(host.directory, IMPORTS.format(str(imported))))
        (host.directory / "hooks").mkdir(mode=0o755)
        for name, script in {"hooks/a": "exit 7", "hooks/b": "exit 0"}.items():
            host.hook(script, name)
        hooks: list[dict[str, str]] = [
            {"monitor_hook": host.hook("echo no >&2; exit 1")},
            {"monitor_hook": host.hook("sleep 60 &"), "monitor_hook_args": "'a b' c"},
            {"monitor_hook": host.hook("sleep 60", "slow"), "monitor_hook_timeout": "100ms"},
            {"monitor_hook": host.hook("kill -9 $$", "killed"), "monitor_hook_retries": "1", "poll_interval": "10ms"},
            {"monitor_hook": f"{host.directory}/hooks"},
            {"monitor_hook": f"{host.directory}/missing"},
            {"monitor_hook": "/usr/bin/true", "monitor_hook_user": "nobody", "monitor_hook_order": "gated"},
            {"monitor_hook": "relative"},
        ]
        host.run_agent()  # the first one loads what the event loop needs
        imported.write_text("")
        for given in hooks:
            variables = {"OCF_CHECK_LEVEL": "10", **{f"OCF_RESKEY_{name}": value for name, value in given.items()}}
            for action in ("monitor", "validate-all"):
                host.begin(action, timeout_s=3, variables=variables).finish()
        interrupted = host.begin(monitor_hook=host.hook("echo $$ >pid; sleep 60", "interrupted"))
        host.wait_for("pid")
        interrupted.process.send_signal(SIGTERM)
        interrupted.finish()
        for script in ("echo LoadState=loaded; echo ActiveState=failed; echo Result=signal", "exit 1", "kill -9 $$"):
            host.systemctl(script)
            host.begin(timeout_s=1).finish()
        found = [name for name in imported.read_text().split() if name.startswith(("ocf_systemd", "anyio"))]
        assert found == []

    def test_sigterm_lets_work_end(self, host: Host) -> None:
        """Actions that end soon get their results; the others are left to their agents."""
        server = host.serve()
        soon = host.begin(monitor_hook=host.hook("echo $$ >soon.pid; sleep 0.5", "soon"))
        late = host.begin(monitor_hook=host.hook("echo $$ >late.pid; sleep 20", "late"))
        host.wait_for("soon.pid")
        hook = psutil.Process(int(host.wait_for("late.pid")))
        server.terminate()
        assert soon.finish().code == 0
        assert late.finish().code == NO_ANSWER
        assert server.wait(5) == 0
        assert gone([hook], 5)

    def test_systemd_hears_of_it(self, host: Host) -> None:
        """It notifies systemd that it is ready, alive, and stopping (sd_notify(3))."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(host.directory / "notify"))
            manager.settimeout(5)
            host.serve("--idle-after=1s", env={"NOTIFY_SOCKET": str(host.directory / "notify")})
            sent = [manager.recv(100)]
            while sent[-1] != b"STOPPING=1":
                sent.append(manager.recv(100))
        assert sent[0] == b"READY=1"
        assert set(sent[1:-1]) == {b"WATCHDOG=1"}

    @staticmethod
    def test_no_socket_at_all() -> None:
        """The error message names the option."""
        done = run_python(PROGRAM, "serve", env={"PATH": "/usr/bin:/bin"})
        assert done.returncode == 1
        assert "--socket" in done.stderr
