"""A resident server in a process of its own, and its clients, on a host whose systemctl is a script."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

import ocf_systemd
from ocf_systemd.client import VERSION
from tests.unit.builders import executable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ACTIVE = "echo LoadState=loaded; echo ActiveState=active; echo SubState=running"
NO_ANSWER = 99
"""The exit code of an agent of these tests that would run its action in its own process."""

LONG_GREETING_TIMEOUT_S = (10.0, 10.0)
"""What agents of these tests have in place of `client.GREETING_TIMEOUT_S`: the server may be late on a busy machine."""

# A /run of its own in which systemd has booted the host (sd_booted(3)), whatever is true of the one that tests run on.
_BOOTED = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount -t tmpfs run /run && mkdir -p /run/systemd/system && exec "$@"',
    "sh",
)

_PACKAGES = str(Path(ocf_systemd.__file__).parent.parent)
_AGENT = f"""
import sys
sys.path.insert(0, {_PACKAGES!r})
from ocf_systemd import client
client.GREETING_TIMEOUT_S = tuple(map(float, sys.argv[3:]))
code = client.request_action(["/usr/lib/ocf/resource.d/pacemaker/systemd", sys.argv[2]], sys.argv[1])
sys.exit({NO_ANSWER} if code is None else code)
"""


@dataclass(frozen=True)
class AgentResult:
    code: int
    stderr: str
    elapsed_s: float


@dataclass
class Agent:
    """A client; it may be signalled."""

    process: subprocess.Popen[str]
    began: float = field(default_factory=time.monotonic)

    def finish(self) -> AgentResult:
        _, stderr = self.process.communicate(timeout=20)
        return AgentResult(self.process.returncode, stderr, time.monotonic() - self.began)


@dataclass
class Host:
    """A directory with a systemctl, hooks, and the server's socket in it."""

    directory: Path
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.directory.chmod(0o755)
        (self.directory / "bin").mkdir()
        self.systemctl(ACTIVE)

    @property
    def address(self) -> str:
        """The path of the server's socket."""
        return str(self.directory / "socket")

    def systemctl(self, script: str) -> None:
        executable(self.directory / "bin/systemctl", f"#!/bin/sh\n{script}\n")

    def hook(self, script: str, name: str = "hook") -> str:
        return str(executable(self.directory / name, f"#!/bin/sh\n{script}\n"))

    def serve(self, *options: str, preexec: str = "", env: Mapping[str, str] | None = None) -> psutil.Process:
        """Start the server and wait until it listens."""
        command = [sys.executable, "-m", "ocf_systemd", "serve", f"--socket={self.address}", *options]
        process = subprocess.Popen(
            [*_BOOTED, "sh", "-c", f'{preexec}\nexec "$@"', "sh", *command],
            env={**os.environ, **(env or {})},
            text=True,
            start_new_session=True,  # as under systemd; the kernel shares processors out by sessions (sched(7))
        )
        self._processes.append(process)
        wait_until(self._listens)
        return psutil.Process(process.pid)

    def _listens(self) -> bool:
        """Return whether the server accepts connections; its socket's file exists a moment before that."""
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(self.address) == 0

    def begin(
        self,
        action: str = "monitor",
        *,
        timeout_s: float = 10,
        variables: Mapping[str, str] | None = None,
        umask: int = -1,
        greeting_timeout_s: tuple[float, float] = LONG_GREETING_TIMEOUT_S,
        **parameters: str,
    ) -> Agent:
        environment = {
            "PATH": f"{self.directory}/bin:/usr/bin:/bin",
            "OCF_RESKEY_unit": "no-such-unit",
            "OCF_RESKEY_CRM_meta_timeout": str(round(timeout_s * 1000)),
            "OCF_RESKEY_CRM_meta_interval": "10000",
            **{f"OCF_RESKEY_{name}": value for name, value in parameters.items()},
            **(variables or {}),
        }
        process = subprocess.Popen(
            [sys.executable, "-IS", "-c", _AGENT, self.address, action, *map(str, greeting_timeout_s)],
            env=environment,
            cwd=self.directory,
            umask=umask,
            stderr=subprocess.PIPE,
            process_group=0,
            text=True,
        )
        self._processes.append(process)
        return Agent(process)

    def run_agent(self, action: str = "monitor", **given: str) -> AgentResult:
        """Run an agent to its end."""
        return self.begin(action, **given).finish()  # type: ignore[arg-type]  # parameters are all that is given

    def run_agents(self, count: int, **parameters: str) -> list[AgentResult]:
        agents = [self.begin(**parameters) for _ in range(count)]  # type: ignore[arg-type]
        return [agent.finish() for agent in agents]

    def read(self, name: str) -> str:
        return (self.directory / name).read_text()

    def wait_for(self, name: str) -> str:
        """Wait until a file has something in it, and return that."""
        file = self.directory / name
        wait_until(lambda: file.exists() and bool(file.read_text()))
        return self.read(name)

    def listen(self) -> socket.socket:
        """Return a socket that listens where the server's would be."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.address)
        listener.listen()
        return listener

    def request(self, *fields: bytes, version: bytes = VERSION) -> socket.socket:
        """Send a request of any form, and return the connection."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        connection.connect(self.address)
        body = b"\0".join((version, *fields))
        connection.sendall(len(body).to_bytes(4, "big") + body)
        return connection

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
            if process.stderr:
                process.stderr.close()


def wait_until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.01)


def gone(processes: Iterable[psutil.Process], within_s: float) -> bool:
    """Return whether processes end in that time."""
    deadline = time.monotonic() + within_s
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
