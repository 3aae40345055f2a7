"""The example hooks against real servers, each a child process on loopback, with real clients."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parent
EXAMPLES = HERE.parent.parent / "examples"
HOOKS = EXAMPLES / "hooks"
PACKAGES = {
    "nc": "netcat-openbsd",
    "nc.openbsd": "netcat-openbsd",
    "ncat": "ncat",
    "curl": "curl",
    "pg_isready": "postgresql-client",
    "psql": "postgresql-client",
    "redis-cli": "redis-tools",
    "check_http": "monitoring-plugins-basic",
    "timeout": "coreutils",
    "tr": "coreutils",
    "grep": "grep",
    "find": "findutils",
    "dash": "dash",
    "bash": "bash",
    "sh": "dash",
}
SMTP = ("220 relay ESMTP", "HELO=250 relay", "MAIL=250 ok", "QUIT=221 bye")


class Server(NamedTuple):
    port: int
    process: subprocess.Popen[str]
    directory: Path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def find_program(name: str, package: str = "", *, path: str | None = None) -> str:
    found = shutil.which(name, path=path)
    if found is None:
        pytest.fail(f"{name} is missing: install the Debian package {package or PACKAGES[name]}")
    return found


@contextmanager
def running(
    argv: Sequence[str], *, user: str | None = None, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        argv,
        user=user,
        env=env,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.communicate(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until(ready: Callable[[], bool], what: str) -> None:
    for _ in range(200):
        if ready():
            return
        time.sleep(0.05)
    pytest.fail(f"not ready after 10 s: {what}")


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def owner(name: str) -> str | None:
    """Servers that refuse to run as root, or should not, run as their package's user."""
    return name if os.geteuid() == 0 else None


@contextmanager
def directory_of(user: str | None) -> Iterator[Path]:
    # Not tmp_path: its parents are closed to other users, and too long for a socket's name.
    with tempfile.TemporaryDirectory(prefix="hooks-") as name:
        if user is not None:
            shutil.chown(name, user, user)
        yield Path(name)


@contextmanager
def line_server(*script: str, port: int = 0) -> Iterator[Server]:
    argv = [sys.executable, "-I", str(HERE / "line_server.py"), str(port), *script]
    with running(argv) as process:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()), process, HERE)


@pytest.fixture
def beacon() -> Iterator[Server]:
    port = free_port()
    env = {"BEACON_PORT": str(port), "BEACON_WARM_UP": "0"}
    python = find_program("python3", "python3", path="/usr/bin")
    with running([python, "-I", str(EXAMPLES / "units/beacon.py")], env=env) as process:
        wait_until(lambda: listens(port), "beacon")
        yield Server(port, process, EXAMPLES)


@contextmanager
def redis_server(*options: str) -> Iterator[Server]:
    program = find_program("redis-server", "redis-server")
    user, port = owner("redis"), free_port()
    with directory_of(user) as directory:
        argv = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
        argv += ["--dir", str(directory), "--unixsocket", str(directory / "socket"), *options]
        with running(argv, user=user) as process:
            wait_until(lambda: listens(port), "redis-server")
            yield Server(port, process, directory)


@pytest.fixture
def redis() -> Iterator[Server]:
    with redis_server() as server:
        yield server


def _postgresql_program(name: str) -> str:
    directories = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda at: at.parent.name)
    return find_program(name, "postgresql", path=os.pathsep.join(map(str, reversed(directories))))


@pytest.fixture(scope="session")
def postgresql_template() -> Iterator[Path]:
    """Make a new cluster that was shut down cleanly; no client may log in."""
    user = owner("postgres")
    with directory_of(user) as directory:
        cluster = directory / "cluster"
        argv = [_postgresql_program("initdb"), "--no-sync", "--auth=reject", "-U", "admin"]
        subprocess.run([*argv, "-D", str(cluster)], user=user, check=True, stdout=subprocess.DEVNULL)
        yield cluster


@contextmanager
def postgresql_server(template: Path, *options: str, standby: bool = False) -> Iterator[Server]:
    user, port = owner("postgres"), free_port()
    with directory_of(user) as directory:
        cluster = directory / "cluster"
        subprocess.run(["cp", "-a", str(template), str(cluster)], check=True)
        if standby:
            (cluster / "standby.signal").touch()
        argv = [_postgresql_program("postgres"), "-F", "-D", str(cluster), "-p", str(port)]
        argv += ["-h", "127.0.0.1", "-k", str(directory), *options]
        with running(argv, user=user) as process:
            wait_until(lambda: listens(port), "postgres")
            yield Server(port, process, directory)


@pytest.fixture
def postgresql(postgresql_template: Path) -> Iterator[Server]:
    with postgresql_server(postgresql_template) as server:
        wait_until(lambda: _accepts(server), "postgres accepts connections")
        yield server


def _accepts(server: Server) -> bool:
    argv = [_postgresql_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(server.port)]
    return subprocess.run(argv, check=False).returncode == 0


class Said(NamedTuple):
    code: int
    reason: str
    elapsed_s: float


def marked(marker: str) -> list[psutil.Process]:
    """Whatever a hook started carries its environment, however often it forked."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("OCF_RESOURCE_INSTANCE") == marker:
                found.append(process)
        except psutil.Error:
            continue
    return found


def run(hook: str | Path, *args: object, env: dict[str, str] | None = None, interpreter: str = "") -> Said:
    """Run a hook as the agent does, and hold it to what every hook owes."""
    marker = str(uuid.uuid4())
    argv = [*([interpreter] if interpreter else []), str(HOOKS / hook), *map(str, args)]
    environment = {"PATH": os.environ["PATH"], "OCF_RESOURCE_INSTANCE": marker} | (env or {})
    begun = time.monotonic()
    with subprocess.Popen(
        argv,
        env=environment,
        cwd="/",
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            out, err = process.communicate(timeout=30)
            elapsed_s = time.monotonic() - begun
        finally:
            left = marked(marker)
            for each in left:
                each.kill()
    assert left == [], "the hook left a process behind"
    spoken, silent = (out, err) if "check_" in str(hook) else (err, out)
    assert silent == "", "the hook speaks on the wrong stream"
    if Path(hook).is_absolute():
        return Said(process.returncode, spoken, elapsed_s)  # the distribution's, not ours
    expected_lines = 0 if process.returncode == 0 and spoken is err else 1
    assert spoken.count("\n") == expected_lines, spoken
    return Said(process.returncode, spoken.rstrip("\n"), elapsed_s)


@contextmanager
def stopped(process: psutil.Process | subprocess.Popen[str]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def unaccepting() -> Iterator[int]:
    """Give a port with a full backlog: new connections are neither refused nor made."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _ in range(3):
            client = sockets.enter_context(socket.socket())
            client.settimeout(0)
            client.connect_ex(("127.0.0.1", port))
        yield port


def tools(directory: Path, *names: str, **stand_ins: str) -> dict[str, str]:
    """Make a PATH that holds these programs and no others."""
    for name in names:
        (directory / name).symlink_to(find_program(name))
    for name, program in stand_ins.items():
        (directory / name).symlink_to(find_program(program))
    return {"PATH": str(directory)}


# What every hook's arguments look like, up to the port, and from the port on.
def arguments(hook: str, port: int, seconds: int = 1) -> list[object]:
    if hook == "http":
        return [f"http://127.0.0.1:{port}/", seconds]
    return ["127.0.0.1", port, seconds, *(["220"] if hook == "tcp" else [])]


NETWORK_HOOKS = [pytest.param(name, id=name) for name in ("smtp", "tcp", "http", "postgresql", "redis")]


class TestEveryHook:
    @pytest.mark.parametrize("path", [pytest.param(p, id=p.name) for p in sorted(HOOKS.iterdir())])
    def test_is_portable_and_installable(self, path: Path) -> None:
        """A hook is an executable sh script with a run-parts name that dash takes; shellcheck is lint's."""
        assert path.stat().st_mode & 0o777 == 0o755
        assert path.read_text().startswith("#!/bin/sh\n# ")
        assert path.name.replace("_", "").replace("-", "").isalnum()
        assert subprocess.run([find_program("dash"), "-n", path], check=False).returncode == 0

    @pytest.mark.parametrize("hook", NETWORK_HOOKS)
    def test_nobody_listens(self, hook: str) -> None:
        """A refused connection is the one thing a hook on TCP calls not running: 7, at once."""
        result = run(hook, *arguments(hook, free_port(), seconds=5))
        assert result.code == 7
        assert "refused" in result.reason
        assert result.elapsed_s < 2

    @pytest.mark.parametrize("hook", NETWORK_HOOKS)
    def test_full_backlog(self, hook: str) -> None:
        """A connection that is neither made nor refused is a failure within the time limit, not 7."""
        with unaccepting() as port:
            result = run(hook, *arguments(hook, port))
        assert result.code == 1
        assert "1 s" in result.reason
        assert 1 <= result.elapsed_s < 4

    @pytest.mark.parametrize("hook", NETWORK_HOOKS)
    def test_accepts_and_sends_nothing(self, hook: str) -> None:
        """A server that reads, and never replies, is a failure within the time limit."""
        with line_server("") as server:
            result = run(hook, *arguments(hook, server.port))
        assert result.code == 1
        assert "1 s" in result.reason
        assert 1 <= result.elapsed_s < 4

    @pytest.mark.parametrize("hook", NETWORK_HOOKS)
    def test_speaks_another_protocol(self, hook: str) -> None:
        """A server of another kind on the port is a failure, neither running nor not running."""
        with line_server("SSH-2.0-other", *(f"{c}=what?" for c in ("PING", "GET", "QUIT"))) as s:
            assert run(hook, *arguments(hook, s.port, seconds=2)).code == 1

    @pytest.mark.parametrize("hook", NETWORK_HOOKS)
    def test_name_that_does_not_resolve(self, hook: str) -> None:
        """No such host is 1: to Pacemaker the 6 that curl ends with means stop it everywhere."""
        host = "no-such-host.invalid"
        args = [f"http://{host}/", 5] if hook == "http" else [host, 25, 5]
        assert run(hook, *args).code == 1

    @pytest.mark.parametrize("hook", NETWORK_HOOKS)
    def test_address_that_cannot_be_reached(self, hook: str) -> None:
        """No way to the address is 1: no connection is not the same as a refused one."""
        broadcast = "255.255.255.255"  # no TCP leads there, whatever network the machine has
        args = [f"http://{broadcast}/", 5] if hook == "http" else [broadcast, 25, 5]
        result = run(hook, *args)
        assert result.code == 1
        assert "unreachable" in result.reason

    @pytest.mark.parametrize("hook", NETWORK_HOOKS)
    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param({"port": "smtp", "seconds": 5}, id="port"),
            pytest.param({"port": 25, "seconds": "5s"}, id="seconds"),
            pytest.param({"port": 25, "seconds": 0}, id="zero seconds"),
        ],
    )
    def test_wrong_arguments(self, hook: str, bad: dict[str, object]) -> None:
        """Wrong arguments are 1 with a reason: 2, which shells use for that, would be a hard error on this node."""
        port, seconds = bad["port"], bad["seconds"]
        args = [f"http://127.0.0.1:{port}/", seconds] if hook == "http" else ["::1", port, seconds]
        result = run(hook, *args)
        assert result.code == 1
        assert result.reason

    @pytest.mark.parametrize(
        ("hook", "tool"),
        [
            pytest.param(hook, tool, id=f"{hook} without {tool}")
            for hook, needed in (
                ("smtp", ("nc", "timeout")),
                ("tcp", ("nc", "timeout")),
                ("http", ("curl", "timeout")),
                ("postgresql", ("pg_isready", "psql", "timeout")),
                ("redis", ("redis-cli", "timeout")),
            )
            for tool in needed
        ],
    )
    def test_missing_tool(self, tmp_path: Path, hook: str, tool: str) -> None:
        """On a node without the hook's tool the hook returns 5, not installed, and names the tool."""
        there = {"sh", "grep", "tr", "nc", "curl", "pg_isready", "psql", "redis-cli", "timeout"}
        result = run(hook, *arguments(hook, 25), env=tools(tmp_path, *(there - {tool})))
        assert result.code == 5
        assert result.reason.endswith(f"{tool} is not installed")

    @pytest.mark.parametrize("hook", NETWORK_HOOKS)
    def test_dies_with_its_process_group(self, hook: str) -> None:
        """Pacemaker kills an action by its process group: nothing of a hook may live on after it."""
        marker = str(uuid.uuid4())
        with (
            line_server("") as server,
            subprocess.Popen(
                [HOOKS / hook, *map(str, arguments(hook, server.port, seconds=20))],
                env={"PATH": os.environ["PATH"], "OCF_RESOURCE_INSTANCE": marker},
                process_group=0,
                stderr=subprocess.DEVNULL,
            ) as process,
        ):
            wait_until(lambda: len(marked(marker)) > 2, "the hook has its client under way")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            wait_until(lambda: not marked(marker), "nothing of the hook is left")

    @pytest.mark.parametrize("hook", NETWORK_HOOKS)
    def test_hides_nothing_in_the_environment(self, hook: str) -> None:
        """A proxy, a curlrc or a PostgreSQL service in the environment leads no hook elsewhere."""
        elsewhere = {
            "http_proxy": "http://127.0.0.1:1",
            "ALL_PROXY": "http://127.0.0.1:1",
            "PGHOST": "/nonexistent",
            "PGPORT": "1",
            "PGDATABASE": "host=/nonexistent",
            "LANG": "de_DE.UTF-8",
            "LC_ALL": "de_DE.UTF-8",
        }
        with unaccepting() as port:
            assert run(hook, *arguments(hook, port), env=elsewhere).code == 1
        assert run(hook, *arguments(hook, free_port()), env=elsewhere).code == 7


class TestSmtpAndTcp:
    @pytest.mark.parametrize(
        ("sh", "nc"),
        [
            pytest.param("dash", "nc.openbsd", id="dash, nc.openbsd"),
            pytest.param("bash", "ncat", id="bash, ncat"),
        ],
    )
    @pytest.mark.parametrize(
        ("hook", "script", "args", "expected"),
        [
            pytest.param("smtp", SMTP, [], 0, id="smtp: well"),
            pytest.param("smtp", ("220-a\r\n220 b", "QUIT=221 bye"), [], 0, id="smtp: two lines"),
            pytest.param("smtp", ("554 go away",), [], 1, id="smtp: 554"),
            pytest.param("smtp", ("421 busy",), [], 1, id="smtp: 421"),
            pytest.param("smtp", ("220 relay",), [], 1, id="smtp: greets, then hangs"),
            pytest.param("smtp", ("220-relay",), [], 1, id="smtp: half a greeting"),
            pytest.param("smtp", ("nc: connect failed: Connection refused",), [], 1, id="smtp: lies"),
            pytest.param("smtp", ("end 1",), [], 1, id="smtp: sends end"),
            pytest.param("tcp", SMTP, [], 0, id="tcp: connects"),
            pytest.param("tcp", SMTP, ["220 "], 0, id="tcp: greets"),
            pytest.param("tcp", SMTP, ["* OK"], 1, id="tcp: greets wrongly"),
            pytest.param("tcp", ("* OK imap",), ["* OK"], 0, id="tcp: greeting is no pattern"),
            pytest.param("tcp", ("SSH-2.0",), ["*"], 1, id="tcp: star is no pattern"),
            pytest.param("tcp", ("end 1",), ["220"], 1, id="tcp: sends end"),
        ],
    )
    def test_conversation(  # noqa: PLR0913, PLR0917  # a table's columns
        self,
        tmp_path: Path,
        sh: str,
        nc: str,
        hook: str,
        script: tuple[str, ...],
        args: list[str],
        expected: int,
    ) -> None:
        """Both shells, and both netcats that distributions call nc, give the same results."""
        env = tools(tmp_path, "timeout", nc=nc, sh=sh)
        with line_server(*script) as server:
            result = run(hook, "127.0.0.1", server.port, 1, *args, env=env, interpreter=f"{tmp_path}/sh")
        assert result.code == expected
        assert result.elapsed_s < 3

    @pytest.mark.parametrize("nc", [pytest.param(n, id=n) for n in ("nc.openbsd", "ncat")])
    @pytest.mark.parametrize("hook", [pytest.param(h, id=h) for h in ("smtp", "tcp")])
    def test_no_connection(self, tmp_path: Path, hook: str, nc: str) -> None:
        """Refused is 7 and silence 1 with either netcat."""
        env = tools(tmp_path, "sh", "timeout", nc=nc)
        assert run(hook, "127.0.0.1", free_port(), 5, env=env).code == 7
        with unaccepting() as port:
            assert run(hook, "127.0.0.1", port, 1, env=env).code == 1

    def test_quick(self) -> None:
        """A healthy server costs no waiting: the hook runs many times a second during a start."""
        with line_server(*SMTP) as server:
            assert run("smtp", "127.0.0.1", server.port, 20).elapsed_s < 1

    @pytest.mark.parametrize("level", [pytest.param(n, id=n) for n in ("0", "9", "10", "20")])
    def test_smtp_level(self, level: str) -> None:
        """Only from check level 10 on does the hook check whether the server accepts mail."""
        with line_server("220 relay", "QUIT=221 bye", "HELO=250 ok", "MAIL=550 no") as server:
            result = run("smtp", "127.0.0.1", server.port, 5, env={"OCF_CHECK_LEVEL": level})
        assert result.code == (1 if int(level) >= 10 else 0)

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            pytest.param("250 ok", 0, id="takes mail"),
            pytest.param("452 disk full", 190, id="takes none for now"),
            pytest.param("550 never", 1, id="takes none"),
        ],
    )
    def test_smtp_requests_a_mail(self, answer: str, expected: int) -> None:
        """A full disk degrades a mail server: a restart would not make room."""
        with line_server("220 relay", "HELO=250 ok", f"MAIL={answer}", "QUIT=221 bye") as server:
            result = run("smtp", "127.0.0.1", server.port, 5, env={"OCF_CHECK_LEVEL": "10"})
        assert result.code == expected

    def test_smtp_hung_server(self) -> None:
        """A stopped process, still connected to by the kernel, is a failure; continued, it is well."""
        with line_server(*SMTP) as server:
            with stopped(server.process):
                result = run("smtp", "127.0.0.1", server.port, 1)
            assert result.code == 1
            assert result.reason.endswith("connected, but silent for 1 s (greeting)")
            assert run("smtp", "127.0.0.1", server.port, 5).code == 0

    def test_tcp_hung_server(self) -> None:
        """Hook tcp detects a hang only if it waits for a greeting, as its header documents."""
        with line_server(*SMTP) as server, stopped(server.process):
            assert run("tcp", "127.0.0.1", server.port, 1, "220").code == 1
            assert run("tcp", "127.0.0.1", server.port, 1).code == 0
        assert "accepts connections on behalf of" in (HOOKS / "tcp").read_text()

    @pytest.mark.parametrize("hook", [pytest.param("smtp", id="smtp"), pytest.param("tcp", id="tcp")])
    def test_timeout_that_does_not_pass_signals_on(self, tmp_path: Path, hook: str) -> None:
        """timeout(1) leaves its command running if a signal comes before its fork(2) has returned, on a busy host."""
        env = tools(tmp_path, "sh", "nc")
        stand_in = tmp_path / "timeout"
        stand_in.write_text('#!/bin/sh\nshift 4\nexec 3<&0\n"$@" <&3 3<&- &\nwait "$!"\n', encoding="ascii")
        stand_in.chmod(0o755)
        with line_server(*SMTP) as server:
            assert run(hook, *arguments(hook, server.port, 5), env=env).code == 0

    def test_one_address_of_two(self) -> None:
        """A name with two addresses, one of which refuses, passes if the other one accepts."""
        with line_server(*SMTP) as server:
            assert run("smtp", "localhost", server.port, 5).code == 0

    def test_ten_at_once(self) -> None:
        """Concurrent runs do not meet: no file, no name, no port is shared."""
        with line_server(*SMTP) as server, ExitStack() as stack:
            argv = [str(HOOKS / "smtp"), "127.0.0.1", str(server.port), "10"]
            hooks = [stack.enter_context(subprocess.Popen(argv)) for _ in range(10)]
            assert [hook.wait() for hook in hooks] == [0] * 10


class Status(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.send_header("Location", "http://no-such-host.invalid/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(scope="session")
def status_server() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Status) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


class TestHttp:
    def test_beacon(self, beacon: Server) -> None:
        """The example service is well, survives a reload, is a failure while it hangs, then well."""
        url = f"http://127.0.0.1:{beacon.port}/"
        assert run("http", url, 5).code == 0
        beacon.process.send_signal(signal.SIGHUP)
        assert run("http", url, 5).code == 0
        with stopped(beacon.process):
            result = run("http", url, 1)
        assert result.code == 1
        assert result.reason == f"http {url}: no complete answer within 1 s"
        assert run("http", url, 5).code == 0

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            pytest.param(status, 0 if status < 400 else 1, id=str(status))
            for status in (200, 204, 301, 304, 399, 400, 401, 404, 500, 503)
        ],
    )
    def test_status(self, status_server: int, status: int, expected: int) -> None:
        """200 to 399 is well, and a redirection is not followed; anything above is a failure."""
        result = run("http", f"http://127.0.0.1:{status_server}/{status}", 5)
        assert result.code == expected
        assert result.reason.endswith("" if expected == 0 else f": status {status}")

    @pytest.mark.parametrize(
        ("level", "deep", "expected"),
        [
            pytest.param("0", True, 0, id="level 0"),
            pytest.param("9", True, 0, id="level 9"),
            pytest.param("10", True, 1, id="level 10"),
            pytest.param("20", True, 1, id="level 20"),
            pytest.param("10", False, 0, id="level 10, one page"),
        ],
    )
    def test_level(self, status_server: int, level: str, expected: int, *, deep: bool) -> None:
        """From check level 10 on the hook requests DEEP-URL, if there is one."""
        base = f"http://127.0.0.1:{status_server}"
        pages = [f"{base}/200", 5, *([f"{base}/503"] if deep else [])]
        result = run("http", *pages, env={"OCF_CHECK_LEVEL": level})
        assert result.code == expected
        assert result.reason == ("" if expected == 0 else f"http {base}/503: status 503")

    def test_slow_drip(self) -> None:
        """A reply that never ends is a failure at the time limit."""
        script = ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n",)
        with line_server(*script) as server:
            result = run("http", f"http://127.0.0.1:{server.port}/", 1)
        assert result.code == 1

    def test_server_that_lies(self) -> None:
        """Headers that look like curl's own output change nothing."""
        lie = "X: connect to 127.0.0.1 port 1 failed: Connection refused"
        answer = f"HTTP/1.1 503 No\r\n{lie}\r\nstatus: status 200\r\nContent-Length: 0\r\n"
        with line_server(answer) as server:
            assert run("http", f"http://127.0.0.1:{server.port}/", 5).code == 1

    @pytest.mark.parametrize(
        "url",
        [
            pytest.param("file:///etc/hostname", id="file"),
            pytest.param("ftp://127.0.0.1/", id="ftp"),
            pytest.param("-V", id="option"),
            pytest.param("http://", id="no host"),
        ],
    )
    def test_no_web_address(self, url: str) -> None:
        """What is no address of a web page is a failure, and never opened or taken as an option."""
        assert run("http", url, 5).code == 1


class TestPostgresql:
    def test_accepts(self, postgresql: Server) -> None:
        """A server that refuses everyone's login accepts connections, and is well, by both ways."""
        assert run("postgresql", "127.0.0.1", postgresql.port, 5).code == 0
        assert run("postgresql", postgresql.directory, postgresql.port, 5).code == 0

    def test_hung_server(self, postgresql: Server) -> None:
        """A stopped postmaster is a failure within the time limit; continued, it is well again."""
        with stopped(postgresql.process):
            for host in ("127.0.0.1", postgresql.directory):
                result = run("postgresql", host, postgresql.port, 1)
                assert result.code == 1
                assert result.reason.endswith("no answer within 1 s")
                assert result.elapsed_s < 4
        assert run("postgresql", "127.0.0.1", postgresql.port, 5).code == 0

    def test_no_socket(self, postgresql: Server) -> None:
        """No socket in the directory is 7, not running."""
        result = run("postgresql", postgresql.directory, free_port(), 5)
        assert result.code == 7
        assert result.reason.endswith("No such file or directory")

    def test_hot_standby(self, postgresql_template: Path) -> None:
        """A hot standby, in recovery for ever, is well."""
        with postgresql_server(postgresql_template, standby=True) as server:
            wait_until(lambda: _accepts(server), "the standby accepts connections")
            assert run("postgresql", "127.0.0.1", server.port, 5).code == 0

    def test_rejects(self, postgresql_template: Path) -> None:
        """A running server that rejects logins (here a cold standby) is a failure, not 7."""
        cold = ("-c", "hot_standby=off")
        with postgresql_server(postgresql_template, *cold, standby=True) as server:
            result = run("postgresql", "127.0.0.1", server.port, 5)
        assert result.code == 1
        assert "rejects connections" in result.reason

    def test_stale_socket(self) -> None:
        """A socket that a killed server left behind refuses: 7."""
        with directory_of(None) as directory:
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(directory / ".s.PGSQL.5432"))
            result = run("postgresql", directory, 5432, 5)
        assert result.code == 7


class TestRedis:
    def test_answers(self, redis: Server) -> None:
        """A server that replies to PING passes, in both ways."""
        assert run("redis", "127.0.0.1", redis.port, 5).code == 0
        assert run("redis", redis.directory / "socket", 0, 5).code == 0

    def test_hung_server(self, redis: Server) -> None:
        """A stopped server is a failure within the time limit; continued, it is well again."""
        with stopped(redis.process):
            result = run("redis", "127.0.0.1", redis.port, 1)
        assert result.code == 1
        assert result.elapsed_s < 3
        assert run("redis", "127.0.0.1", redis.port, 5).code == 0

    def test_no_socket(self, redis: Server) -> None:
        """No socket is 7, and so is one that a killed server left behind."""
        assert run("redis", redis.directory / "other", 0, 5).code == 7
        redis.process.kill()
        redis.process.wait()
        assert (redis.directory / "socket").is_socket()
        assert run("redis", redis.directory / "socket", 0, 5).code == 7

    @pytest.mark.parametrize("stale", [pytest.param(s, id=f"stale data {s}") for s in ("yes", "no")])
    def test_replica_without_master(self, stale: str) -> None:
        """A replica whose master is away is degraded, whether or not it serves stale data."""
        options = ("--replicaof", f"127.0.0.1 {free_port()}", "--replica-serve-stale-data", stale)
        with redis_server(*options) as server:
            result = run("redis", "127.0.0.1", server.port, 5)
        assert result.code == 190
        assert "without a link to its master" in result.reason

    def test_replica_with_master(self, redis: Server) -> None:
        """A replica with its master is well, once it has the data."""
        client = find_program("redis-cli")
        at_once = ("config", "set", "repl-diskless-sync-delay", "0")
        subprocess.run([client, "-p", str(redis.port), *at_once], check=True, capture_output=True)
        with redis_server("--replicaof", f"127.0.0.1 {redis.port}") as replica:
            wait_until(
                lambda: run("redis", "127.0.0.1", replica.port, 5).code == 0,
                "the replica has its master's data",
            )

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            pytest.param("geheim\n", 0, id="right"),
            pytest.param("geheim", 0, id="right, no newline"),
            pytest.param("falsch\n", 190, id="wrong"),
            pytest.param(None, 1, id="no file"),
        ],
    )
    def test_password(self, tmp_path: Path, content: str | None, expected: int) -> None:
        """The password comes from a file; a wrong one degrades, since a restart would not fix it."""
        file = tmp_path / "password"
        if content is not None:
            file.write_text(content)
        with redis_server("--requirepass", "geheim") as server:
            assert run("redis", "127.0.0.1", server.port, 5).code == 190
            result = run("redis", "127.0.0.1", server.port, 5, file)
        assert result.code == expected
        assert "geheim" not in result.reason

    @pytest.mark.parametrize(
        ("answer", "interval", "expected"),
        [
            pytest.param("-LOADING the dataset", "0", 1, id="loading after start"),
            pytest.param("-LOADING the dataset", None, 1, id="loading, no interval"),
            pytest.param("-LOADING the dataset", "10000", 190, id="loading in service"),
            pytest.param("-MISCONF cannot persist", "10000", 190, id="cannot save"),
            pytest.param("-BUSY running a script", "10000", 1, id="busy"),
            pytest.param("+PANG", "10000", 1, id="no PONG"),
        ],
    )
    def test_errors(self, answer: str, interval: str | None, expected: int) -> None:
        """What a restart would not fix is degraded; what start must wait for is a failure during start."""
        env = {} if interval is None else {"OCF_RESKEY_CRM_meta_interval": interval}
        with line_server("", f"PING={answer}", f"INFO={answer}") as server:
            result = run("redis", "127.0.0.1", server.port, 5, env=env)
        assert result.code == expected
        assert "within" not in result.reason

    def test_falls_silent(self) -> None:
        """A server that replies to PING and to nothing after it is a failure within the time limit."""
        with line_server("", "PING=+PONG") as server:
            result = run("redis", "127.0.0.1", server.port, 1)
        assert result.code == 1
        assert result.elapsed_s < 3


class TestNagios:
    @pytest.mark.parametrize(
        ("args", "expected", "word"),
        [
            pytest.param((), 0, "OK", id="defaults"),
            pytest.param((4,), 0, "OK", id="below warning"),
            pytest.param((3,), 1, "WARNING", id="warning"),
            pytest.param((1, 4), 1, "WARNING", id="below critical"),
            pytest.param((1, 3), 2, "CRITICAL", id="critical"),
            pytest.param(("x",), 3, "UNKNOWN", id="no number"),
            pytest.param((1, 3, "x"), 3, "UNKNOWN", id="no seconds"),
        ],
    )
    def test_check_queue(self, tmp_path: Path, args: tuple[object, ...], expected: int, word: str) -> None:
        """The plugin counts files at any depth and prints one line on stdout, as plugins do."""
        for name in ("1", "a/2", "a/b/3"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        result = run("check_queue", tmp_path, *args)
        assert result.code == expected
        assert result.reason.startswith(f"QUEUE {word}: ")

    def test_check_queue_returns_unknown(self, tmp_path: Path) -> None:
        """No directory, no absolute path or no tool is UNKNOWN, since a plugin may not return 5."""
        assert run("check_queue", tmp_path / "none").code == 3
        assert run("check_queue", "tmp").code == 3
        result = run("check_queue", tmp_path, env=tools(tmp_path, "sh", "timeout"))
        assert result.code == 3
        assert result.reason == "QUEUE UNKNOWN: find is not installed"

    def test_plugin_of_the_distribution(self, beacon: Server) -> None:
        """check_http, called as the README shows, keeps its own time limit and Nagios' codes."""
        plugin = find_program("check_http", path="/usr/lib/nagios/plugins")
        line = next(s for s in (EXAMPLES / "README.md").read_text().splitlines() if "-I 127" in s)
        text = line.split('"')[1]
        args = text.replace("-p 80", f"-p {beacon.port}").split()
        assert run(plugin, *args).code == 0
        with stopped(beacon.process):
            result = run(plugin, *args)
        assert result.code == 2
        assert "timeout after 5 seconds" in result.reason
        assert run(plugin, *text.replace("-p 80", f"-p {free_port()}").split()).code == 2


class TestReadme:
    def test_names_every_example(self) -> None:
        """The table lists every hook, and links to nothing that is not there."""
        text = (EXAMPLES / "README.md").read_text()
        links = {part.split(")")[0] for part in text.split("](")[1:]}
        assert {f"hooks/{hook.name}" for hook in HOOKS.iterdir()} <= links
        assert [link for link in links if not (EXAMPLES / link).exists()] == []
