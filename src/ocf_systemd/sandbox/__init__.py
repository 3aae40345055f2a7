"""Boots a sandbox: a temporary container with its own systemd and an overlay of this host's files.

boot.sh creates the namespaces and their root file system, and removes both; this module runs boot.sh. A sandbox is no
security boundary: it protects the host from accidents, not from a malicious root.
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
# The programs of a sandbox, with the Debian packages that contain them.
_PACKAGES = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "pivot_root": "util-linux-extra (before Debian 14: util-linux)",
}
# systemctl(1): `is-system-running --wait` returns when the boot is complete, but fails until PID 1 listens. After the
# boot, nothing reads the console any more. /dev/null replaces it, because systemd would otherwise try for a second to
# open the console, for each message.
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
_TOO_SLOW = "the sandbox did not boot in time"
_CRASHED = "systemd exited while the sandbox booted"
_UNSUPPORTED = "this machine does not support sandboxes. Use a physical or virtual machine, or a privileged container"
_CONSOLE_LINES = 5
_POLL_S = 0.01  # seconds between two checks
_END_TIMEOUT_S = 10.0  # seconds within which boot.sh must have ended the sandbox


class SandboxUnavailableError(Exception):
    """A sandbox cannot be booted on this machine; the message says why, and what to do."""


class SandboxEndedError(Exception):
    """The sandbox has ended: it was closed, or it has powered off."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file or directory of this host, and the path of its copy in the sandbox."""

    source: Path
    destination: PurePosixPath

    @classmethod
    def parse(cls, text: str) -> Copy:
        """Parse `SRC:DST`; SRC may contain colons.

        Raises ValueError with a message for the user.
        """
        source, _, destination = text.rpartition(":")
        if not source or not destination:
            raise ValueError(f"{text!r} is not SRC:DST")
        if not destination.startswith("/"):
            raise ValueError(f"{destination!r} is not an absolute path in the sandbox")
        if not Path(source).exists():
            raise ValueError(f"{source!r} does not exist on this host")
        return cls(Path(source), PurePosixPath(destination))


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A booted sandbox, as `boot` yields it."""

    pid: int
    """The PID on this host of the sandbox's PID 1; its namespaces are below `/proc/PID/ns`."""
    boot_s: float
    """Seconds from the call of `boot` until the boot was complete and all copies were made."""
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
        """Return the command that runs `argv` in the sandbox when it is started on this host.

        `env` is merged into a minimal environment. `terminal` gives `argv` a terminal of the sandbox that relays to
        ours, because neither job control nor the name of a terminal works across namespaces. The command ends with the
        exit code or signal of `argv`, but with exit code 1 if `argv` dies by HUP, INT or QUIT. env(1) exits with 126 or
        127 if it cannot execute `argv`.

        Raises SandboxEndedError.
        """
        if _mount_namespace(self.pid) != self._namespace or not self._namespace:
            raise SandboxEndedError("the sandbox has ended")
        environment = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb", **(env or {})}
        assignments = [f"{variable}={value}" for variable, value in environment.items()]
        if terminal:
            # script(1) starts a shell, and some shells drop variables that they use, such as PS1: env(1) sets these.
            line = f"exec {shlex.join(['env', *assignments, *argv])}"
            argv = ["script", "--quiet", "--return", "--command", line, "/dev/null"]
        return [
            # Ctrl-C must end `argv`, but not nsenter, which reaps it: see _kill_on_error.
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
        input: str | None = None,  # noqa: A002 - as in subprocess.run
        timeout_s: float | None = None,
        cwd: str = "/root",
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` in the sandbox and wait for it; the caller checks its exit code.

        Raises SandboxEndedError, and subprocess.TimeoutExpired after it has killed `argv`.
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
        """Run `argv` in the sandbox on the standard streams of this process; return its exit code, or minus its signal.

        Raises SandboxEndedError.
        """
        process = subprocess.Popen(self.command(argv, env=env, cwd=cwd, terminal=terminal))
        with _kill_on_error(process):
            return process.wait()

    def copy_in(self, source: Path, destination: PurePosixPath | str) -> None:
        """Copy a file or directory of this host to the path `destination`; the copy belongs to root.

        Missing parents are created. Raises OSError and SandboxEndedError.
        """
        # The path of the source may not exist in the sandbox, but the descriptor refers to the host's file there, too.
        descriptor = os.open(source, os.O_PATH)
        try:
            command = self.command(["sh", "-e", "-c", _COPY, "copy", str(destination)])
            _check(_capture(command, descriptor))
        finally:
            os.close(descriptor)

    def write(self, destination: PurePosixPath | str, text: str, mode: int = 0o644) -> None:
        """Write a file that belongs to root and has `mode`; missing parents are created.

        Raises OSError and SandboxEndedError.
        """
        command = ["install", "-D", "-T", "-m", f"{mode:o}", "--", "/dev/stdin", str(destination)]
        _check(self.run(command, input=text))

    def close(self) -> None:
        """Kill all processes in the sandbox and remove its cgroups.

        Raises subprocess.TimeoutExpired if a process cannot be killed.
        """
        _end(self._supervisor)


@contextmanager
def boot(*, name: str = "sandbox", copies: Sequence[Copy] = (), timeout_s: float = 30.0) -> Iterator[Sandbox]:
    """Boot a sandbox with the host name `name`; the sandbox ends with the block, or with this process.

    Raises SandboxUnavailableError, and OSError if a copy fails.
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
    """Return the command that runs boot.sh on this host."""
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
    """Return the path of systemd; raise SandboxUnavailableError if anything that a sandbox needs is missing."""
    if os.geteuid() != 0:
        raise SandboxUnavailableError("a sandbox needs root privileges. Run this command as root")
    for tool, package in _PACKAGES.items():
        if shutil.which(tool, path=_PATH) is None:
            raise SandboxUnavailableError(f"a sandbox needs {tool}. Install the package {package}")
    for systemd in _SYSTEMD:
        if systemd.exists():
            return systemd
    raise SandboxUnavailableError("a sandbox needs systemd. Install the package systemd")


def _python_directories() -> set[PurePosixPath]:
    """Return the directories of this interpreter and this package, with and without symbolic links resolved."""
    directories = (Path(sys.prefix), Path(sys.base_prefix), _PACKAGE)
    return {PurePosixPath(path) for each in directories for path in (each, each.resolve())}


@dataclass(slots=True)
class _Console:
    """The pseudo-terminal that serves as the sandbox's /dev/console while it boots."""

    reader: int
    terminal: int
    _output: bytes = b""

    def follow(self, timeout_s: float) -> bool:
        """Wait for output and read it; return whether there was any. Unread output blocks systemd at some point."""
        if not select.select([self.reader], [], [], timeout_s)[0]:
            return False
        self._output += os.read(self.reader, 64 * 1024)
        return True

    def last_lines(self) -> str:
        while self.follow(_POLL_S):
            pass
        text = _TERMINAL_CONTROL.sub("", self._output.decode(errors="replace"))
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return "; ".join(lines[-_CONSOLE_LINES:]) or "none"


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
    """Start boot.sh, which ends the sandbox when this process closes its end of the pipe or dies."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal,
        cwd="/",
        env={"PATH": _PATH, "LC_ALL": "C"},
        start_new_session=True,  # only this process gets Ctrl-C, and then ends the sandbox
    ) as supervisor:
        try:
            yield supervisor
        finally:
            _end(supervisor)


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    supervisor.communicate(timeout=_END_TIMEOUT_S)  # closes the pipe, then waits


def _wait_for_init(supervisor: subprocess.Popen[bytes], console: _Console, deadline: float) -> Sandbox:
    """Wait until systemd takes over, and return the sandbox: before that, its namespaces show the host's files."""
    output, left_s = supervisor.stdout, max(0.0, deadline - time.monotonic())
    if output is None or not select.select([output], [], [], left_s)[0]:
        raise _failure(_TOO_SLOW, console)
    pid = output.readline()
    if not pid:
        raise _failure(_UNSUPPORTED, console)
    return Sandbox(int(pid), 0.0, _mount_namespace(int(pid)), supervisor)


def _wait_until_booted(sandbox: Sandbox, console: _Console, deadline: float) -> None:
    try:
        command = sandbox.command(["sh", "-c", _UNTIL_BOOTED])
    except SandboxEndedError:
        raise _failure(_CRASHED, console) from None
    waiter = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with _kill_on_error(waiter):
        while waiter.poll() is None and time.monotonic() < deadline:
            console.follow(_POLL_S)
        if waiter.returncode != 0:
            raise _failure(_TOO_SLOW if waiter.returncode is None else _CRASHED, console)


def _failure(problem: str, console: _Console) -> SandboxUnavailableError:
    return SandboxUnavailableError(f"{problem} (last console lines: {console.last_lines()})")


def _capture(
    command: Sequence[str], stdin: int, text: str | None = None, timeout_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command. subprocess.run is not used: after a timeout it waits for each process that has the pipes open."""
    process = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
    )
    with _kill_on_error(process):
        stdout, stderr = process.communicate(text, timeout_s)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@contextmanager
def _kill_on_error(process: subprocess.Popen[AnyStr]) -> Iterator[None]:
    """If the block raises, kill the children of a process, which is an nsenter, and wait until it has reaped them.

    nsenter itself must not be killed: its children would become children of the host's PID 1, and a PID namespace does
    not end before all its processes have been reaped (pid_namespaces(7)). In many containers PID 1 does not reap.
    """
    with process:
        try:
            yield
        except BaseException:
            while process.poll() is None:
                _kill_children(process)
                time.sleep(_POLL_S)
            raise


def _kill_children(process: subprocess.Popen[AnyStr]) -> None:
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    except FileNotFoundError:  # proc(5): a kernel may be built without this file
        process.kill()
        return
    for child in children.split():
        with suppress(ProcessLookupError):
            os.kill(int(child), SIGKILL)


def _mount_namespace(pid: int) -> str:
    """Return the name of the mount namespace of a process, empty if it has ended."""
    try:
        return str(Path(f"/proc/{pid}/ns/mnt").readlink())
    except OSError:
        return ""


def _check(completed: subprocess.CompletedProcess[str]) -> None:
    if completed.returncode != 0:
        raise OSError(completed.stderr.strip())
