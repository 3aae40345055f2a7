"""A throw-away host with a real systemd, to try a unit and a hook before the cluster does.

It owns namespaces, their root file system and their end; boot.sh does it, this module asks for it.
It is no security boundary: who is root in the sandbox can be kept from accidents, not from malice.
"""

from __future__ import annotations

import os
import re
import secrets
import select
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from signal import SIGKILL
from typing import TYPE_CHECKING, AnyStr

from ocf_systemd.sandbox.layers import cgroup2_directory, choose_layers, parse_mounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Copy", "Sandbox", "SandboxEndedError", "SandboxUnavailableError", "boot"]

_PACKAGE = Path(__file__).parent.parent
_BOOT = Path(__file__).with_name("boot.sh")
_SYSTEMD = (Path("/usr/lib/systemd/systemd"), Path("/lib/systemd/systemd"))
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# systemctl(1): --wait returns when the boot is over, but fails while PID 1 does not listen yet.
# Nobody reads the console afterwards: systemd would try for a second to open it, at every message.
_UNTIL_BOOTED = """\
until systemctl is-system-running --wait | grep --quiet -E '^(running|degraded)$'; do
    sleep 0.02
done
exec mount --bind /dev/null /dev/console
"""
_COPY = """\
umask 022
mkdir -p -- "$(dirname -- "$1")"
exec cp -R -H --preserve=mode,timestamps,links -T -- /proc/self/fd/0 "$1"
"""
_TERMINAL_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\r")  # ECMA-48, 5.4: control sequences
_TOO_LATE = "the sandbox did not boot in time: allow it more"
_CRASHED = "systemd ended while the sandbox booted"
_LAST_LINES = 5
_LOOK_AGAIN_S = 0.01
_END_WITHIN_S = 10.0


class SandboxUnavailableError(Exception):
    """Why this machine boots no sandbox: one sentence that ends in what to do."""


class SandboxEndedError(Exception):
    """The sandbox was used after its end: it was closed, or powered off from within."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file or a directory of the host, and the path that its copy gets in the sandbox."""

    source: Path
    destination: PurePosixPath

    @classmethod
    def parse(cls, text: str) -> Copy:
        """Read `SRC:DST`; SRC may hold colons.

        Raises ValueError with a sentence for the user.
        """
        source, _, destination = text.rpartition(":")
        if not source or not destination:
            raise ValueError(f"{text!r} is no copy, expected SRC:DST")
        if not destination.startswith("/"):
            raise ValueError(f"{destination!r} is no absolute path in the sandbox")
        if not Path(source).exists():
            raise ValueError(f"{source!r} does not exist here")
        return cls(Path(source), PurePosixPath(destination))


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A booted sandbox, as `boot` yields it."""

    pid: int
    """The sandbox's PID 1 as this host counts; its namespaces are below `/proc/PID/ns`."""
    boot_s: float
    """Seconds from the call of `boot` until systemd had started everything."""
    _namespace: str
    _supervisor: subprocess.Popen[bytes]

    def command(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "/root",
        terminal: bool = False,
    ) -> list[str]:
        """Return the argument list that runs `argv` in the sandbox when this host starts it.

        `env` adds to a clean environment and replaces parts of it. `terminal` gives it a terminal of the sandbox's own
        that is joined to ours: job control and the terminal's name mean nothing across the border. The exit code and
        the signal pass through, but HUP, INT and QUIT become 1; what cannot be executed is env(1)'s 126 or 127.

        Raises SandboxEndedError.
        """
        if _mount_namespace(self.pid) != self._namespace or not self._namespace:
            raise SandboxEndedError("the sandbox has ended; boot another one")
        environment = {
            "PATH": _PATH,
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            **(env or {}),
        }
        assignments = [f"{variable}={value}" for variable, value in environment.items()]
        if terminal:
            # script(1) takes a line for a shell, and some shells drop variables that mean something to them, as PS1.
            line = f"exec {shlex.join(['env', *assignments, *argv])}"
            argv = ["script", "--quiet", "--return", "--command", line, "/dev/null"]
        return [
            # A Ctrl-C is for `argv`, and nsenter is to reap it: see _attend.
            *("env", "--ignore-signal=HUP,INT,QUIT"),
            *("nsenter", "--target", str(self.pid)),
            *("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"),
            *("setpriv", "--pdeathsig", "KILL", "--bounding-set", "-sys_module,-sys_time", "--"),
            *("env", "--default-signal", "--ignore-environment", f"--chdir={cwd}"),
            *assignments,
            *argv,
        ]

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        input: str | None = None,  # noqa: A002 - subprocess.run's name for it
        timeout_s: float | None = None,
        cwd: str = "/root",
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` in the sandbox to its end; its exit code is for the caller to check.

        Raises SandboxEndedError, and subprocess.TimeoutExpired once `argv` has been killed.
        """
        command = self.command(argv, env=env, cwd=cwd)
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        return _capture(command, stdin, input, timeout_s)

    def call(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "/root",
        terminal: bool = False,
    ) -> int:
        """Run `argv` in the sandbox on this process's own streams; return its exit code, or minus its signal.

        Raises SandboxEndedError.
        """
        process = subprocess.Popen(self.command(argv, env=env, cwd=cwd, terminal=terminal))
        with _attend(process):
            return process.wait()

    def copy_in(self, source: Path, destination: PurePosixPath | str) -> None:
        """Copy a file or a directory, which becomes root's; `destination` is the new path itself.

        Missing parents are made. Raises OSError, and SandboxEndedError.
        """
        # The descriptor still leads to the host's file after its path has become unreachable.
        descriptor = os.open(source, os.O_PATH)
        try:
            command = self.command(["sh", "-e", "-c", _COPY, "copy", str(destination)])
            _check(_capture(command, descriptor))
        finally:
            os.close(descriptor)

    def write(self, destination: PurePosixPath | str, text: str, mode: int = 0o644) -> None:
        """Write a file that is root's and has `mode`; missing parents are made.

        Raises OSError, and SandboxEndedError.
        """
        installing = ["install", "-D", "-T", "-m", f"{mode:o}", "--", "/dev/stdin", str(destination)]
        _check(self.run(installing, input=text))

    def close(self) -> None:
        """Kill everything in the sandbox and remove what the host had to hold for it.

        Raises subprocess.TimeoutExpired when the kernel does not let go of a process.
        """
        _end(self._supervisor)


@contextmanager
def boot(*, name: str = "sandbox", copies: Sequence[Copy] = (), timeout_s: float = 30.0) -> Iterator[Sandbox]:
    """Boot a sandbox with `name` as its host name; it ends with the block, or when this process dies.

    Raises SandboxUnavailableError, and OSError when a copy fails.
    """
    started = time.monotonic()
    command = _boot_command(name)
    with ExitStack() as stack:
        with _open_console() as console:
            supervisor = stack.enter_context(_start(command, console.terminal))
            sandbox = _wait_for_init(supervisor, console, started + timeout_s)
            _wait_until_booted(sandbox, console, started + timeout_s)
        for copy in copies:
            sandbox.copy_in(copy.source, copy.destination)
        if copies:
            sandbox.run(["systemctl", "daemon-reload"])
        yield replace(sandbox, boot_s=time.monotonic() - started)


def _boot_command(name: str) -> list[str]:
    """Return the call of boot.sh that suits this host."""
    systemd = _find_systemd()
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    layers = choose_layers(
        [mount for mount in mounts if Path(mount.point).exists()],
        file_systems=Path("/proc/filesystems").read_text(encoding="ascii"),
        needed=_python_directories(),
    )
    return [
        *("unshare", "--mount", "--pid", "--", "sh", str(_BOOT), "supervise"),
        str(cgroup2_directory(mounts) or "/sys/fs/cgroup"),
        f"ocf-systemd-{name}-{secrets.token_hex(4)}",
        *(name, str(systemd)),
        *map(str, layers),
    ]


def _find_systemd() -> Path:
    """Return systemd's path, if the rest that a sandbox takes is there as well."""
    if os.geteuid() != 0:
        raise SandboxUnavailableError("a sandbox needs root: run this command as root")
    for tool in ("unshare", "nsenter", "setpriv"):
        if shutil.which(tool, path=_PATH) is None:
            raise SandboxUnavailableError(f"a sandbox needs {tool}: install the package util-linux")
    for systemd in _SYSTEMD:
        if systemd.exists():
            return systemd
    raise SandboxUnavailableError("a sandbox needs systemd: install the package systemd")


def _python_directories() -> set[PurePosixPath]:
    """Return where this interpreter and this package are, by name and by what the name leads to."""
    directories = (Path(sys.prefix), Path(sys.base_prefix), _PACKAGE)
    return {PurePosixPath(path) for each in directories for path in (each, each.resolve())}


@dataclass(slots=True)
class _Console:
    """The pseudo-terminal that serves as the sandbox's /dev/console while it boots."""

    reader: int
    terminal: int
    _output: bytes = b""

    def follow(self, timeout_s: float) -> bool:
        """Wait for output and tell whether there was any; unread output would block systemd in the end."""
        if not select.select([self.reader], [], [], timeout_s)[0]:
            return False
        self._output += os.read(self.reader, 64 * 1024)
        return True

    def last_lines(self) -> str:
        more = True
        while more:
            more = self.follow(_LOOK_AGAIN_S)
        text = _TERMINAL_CONTROL.sub("", self._output.decode(errors="replace"))
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "; ".join(lines[-_LAST_LINES:]) or "nothing"


@contextmanager
def _open_console() -> Iterator[_Console]:
    reader, terminal = os.openpty()
    try:
        yield _Console(reader, terminal)
    finally:
        os.close(reader)
        os.close(terminal)


@contextmanager
def _start(command: Sequence[str], terminal: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start boot.sh, which ends the sandbox when this process closes its end of the pipe, or dies."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal,
        cwd="/",
        env={"PATH": _PATH, "LC_ALL": "C"},
        start_new_session=True,  # a Ctrl-C is for this process alone, which then ends the sandbox
    ) as supervisor:
        try:
            yield supervisor
        finally:
            _end(supervisor)


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    supervisor.communicate(timeout=_END_WITHIN_S)  # which closes the pipe first


def _wait_for_init(supervisor: subprocess.Popen[bytes], console: _Console, deadline: float) -> Sandbox:
    """Wait until systemd runs: before that, entering the namespaces would lead to the host's files."""
    answer, left_s = supervisor.stdout, max(0.0, deadline - time.monotonic())
    if answer is None or not select.select([answer], [], [], left_s)[0]:
        raise _failure(_TOO_LATE, console)
    pid = answer.readline()
    if not pid:
        raise _failure("this machine allows no sandbox: use a host, a virtual machine, a privileged container", console)
    return Sandbox(int(pid), 0.0, _mount_namespace(int(pid)), supervisor)


def _wait_until_booted(sandbox: Sandbox, console: _Console, deadline: float) -> None:
    try:
        command = sandbox.command(["sh", "-c", _UNTIL_BOOTED])
    except SandboxEndedError:
        raise _failure(_CRASHED, console) from None
    waiter = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with _attend(waiter):
        while waiter.poll() is None and time.monotonic() < deadline:
            console.follow(_LOOK_AGAIN_S)
        if waiter.returncode != 0:
            raise _failure(_TOO_LATE if waiter.returncode is None else _CRASHED, console)


def _failure(what: str, console: _Console) -> SandboxUnavailableError:
    return SandboxUnavailableError(f"{what} (its console ends with: {console.last_lines()})")


def _capture(
    command: Sequence[str], stdin: int, text: str | None = None, timeout_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as subprocess.run does, which after a timeout however waits for everyone who holds the pipes."""
    process = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
    )
    with _attend(process):
        stdout, stderr = process.communicate(text, timeout_s)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@contextmanager
def _attend(process: subprocess.Popen[AnyStr]) -> Iterator[None]:
    """When the block raises, kill what the process, an nsenter, runs in the sandbox.

    nsenter itself has to stay and reap that: otherwise the host's PID 1 must, and the kernel lets no PID namespace end
    before (pid_namespaces(7)). Many a container's PID 1 never does.
    """
    with process:
        try:
            yield
        except BaseException:
            while process.poll() is None:
                _kill_children(process)
                time.sleep(_LOOK_AGAIN_S)
            raise


def _kill_children(process: subprocess.Popen[AnyStr]) -> None:
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    except FileNotFoundError:  # proc(5): a kernel may be built without it
        process.kill()
        return
    for child in children.split():
        with suppress(ProcessLookupError):
            os.kill(int(child), SIGKILL)


def _mount_namespace(pid: int) -> str:
    """Name the mount namespace of a process; one that has ended has none, waited for or not."""
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""


def _check(completed: subprocess.CompletedProcess[str]) -> None:
    if completed.returncode != 0:
        raise OSError(completed.stderr.strip())
