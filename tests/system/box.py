"""A disposable host with a real systemd, and what a test puts into it."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ocf_systemd.sandbox import Sandbox

SOCKET = "/run/ocf-systemd.socket"
HOOKS = "/usr/local/lib/hooks"
FELL_BACK = "/run/fell-back"
"""Where agents note that the resident server did not serve them."""

# Pid by pid, as the agent does: `systemctl kill` writes cgroup.kill from systemd 257 on.
KILL = """
for unit; do
    group=$(systemctl show --property=ControlGroup --value -- "$unit")
    find "/sys/fs/cgroup${group:-/system.slice/$unit}" -name cgroup.procs -exec cat {} + | xargs -r kill -KILL
done 2>/dev/null
"""
CLEAN = f"""{KILL}
systemctl stop -- "$@" 2>/dev/null
for unit; do
    rm -rf "/etc/systemd/system/$unit" "/etc/systemd/system/$unit.d" "/run/systemd/system/$unit.d"
done
systemctl reset-failed
# A service's name is never used again, so that systemd may keep what it knows of it.
case $* in *[!0-9].service | *.[!s]*) systemctl daemon-reload ;; esac
"""


@dataclass(slots=True)
class Box:
    """The booted sandbox, and what a test put into it."""

    sandbox: Sandbox
    units: list[str] = field(default_factory=list)
    frozen: bool = False
    cannot_be_killed: str = ""
    """Command lines of processes that do not count as left behind."""
    _named: int = 0

    def sh(self, script: str, *arguments: str, check: bool = True) -> str:
        """Run a script in the box and return what it printed, less the last newline."""
        done = self.sandbox.run(["sh", "-c", script, "sh", *arguments], timeout_s=60)
        assert not check or done.returncode == 0, f"{script}: exit {done.returncode}, {done.stderr}"
        return done.stdout.rstrip("\n")

    def path(self, inside: str) -> Path:
        """Return where the host sees a file of the box: much quicker than a command in there."""
        return Path(f"/proc/{self.sandbox.pid}/root{inside}")

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        """Write a file in the box, and the directories above it that are missing."""
        path = self.path(inside)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o755)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def unit(self, name: str, text: str) -> str:
        """Put a unit into the box and return its name."""
        self.write(f"/etc/systemd/system/{name}", text)
        self.units.append(name)
        return name

    def service(self, *lines: str, before: str = "") -> str:
        """Put a service into the box, with a name that none had before; without lines, one that just runs."""
        self._named += 1
        text = "\n".join(lines or ("ExecStart=sleep infinity",))
        return self.unit(f"probe{self._named}.service", f"{before}\n[Service]\n{text}\n")

    def stubborn(self, *lines: str) -> str:
        """Put a service into the box that ignores SIGTERM."""
        ignoring = """ExecStart=sh -c 'trap "" TERM; touch /run/test/trap; while :; do sleep 1; done'"""
        # The unit ignores the signal only once the trap is set.
        ready = "ExecStartPost=sh -c 'until [ -e /run/test/trap ]; do sleep 0.02; done'"
        self.sh("mkdir -p /run/test; rm -f /run/test/trap")
        return self.service(ignoring, ready, *lines)

    def started(self, *lines: str, before: str = "") -> str:
        """Put a service into the box and start it."""
        unit = self.service(*lines, before=before)
        self.sh('systemctl start -- "$1"', unit)
        return unit

    def remember(self, *units: str) -> None:
        """Have systemd keep units loaded while they are down, which it forgets where no other names them.

        See "Unit garbage collection" in systemd.unit(5).
        """
        keeper = self.unit("keeper.target", f"[Unit]\nAfter={' '.join(units)}\n")
        self.sh('systemctl daemon-reload; systemctl start -- "$1"', keeper)

    def put_back(self, unit: str) -> None:
        """Stop a unit that the box has from its host, and remove our files that a start has left."""
        self.sh(
            'systemctl kill --signal=CONT -- "$1"; systemctl stop -- "$1"; rm -rf "/run/systemd/system/$1.d"; '
            "systemctl daemon-reload",
            unit,
            check=False,
        )

    def hook(self, script: str, name: str = "hook", mode: int = 0o755, shebang: str = "#!/bin/sh\n") -> str:
        """Put a hook into the box and return its path."""
        path = f"{HOOKS}/{name}"
        self.write(path, f"{shebang}{script}\n", mode)
        return path

    def marking(self, mark: str, code: int = 0, name: str = "hook") -> str:
        """Put a hook into the box that leaves a mark: a line for each run, with its arguments."""
        self.path("/run/test").mkdir(exist_ok=True)
        return self.hook(f'echo "ran $*" >>/run/test/{mark}; exit {code}', name)

    def marks(self, mark: str) -> list[str]:
        """Return the lines of a mark."""
        file = self.path(f"/run/test/{mark}")
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.sh('systemctl show --property="$2" --value -- "$1"', unit, name)

    def state(self, unit: str) -> str:
        """Return a unit's ActiveState."""
        return self.show(unit, "ActiveState")

    def wait_for(self, unit: str, *states: str) -> None:
        """Wait until a unit is in one of these states."""
        deadline = time.monotonic() + 10
        while (state := self.state(unit)) not in states:
            assert time.monotonic() < deadline, f"{unit} is {state}, expected {states}"
            time.sleep(0.02)

    def wait_for_file(self, inside: str, within_s: float = 10.0) -> None:
        """Wait until there is a file."""
        deadline = time.monotonic() + within_s
        while not self.path(inside).exists():
            assert time.monotonic() < deadline, f"{inside} does not appear"
            time.sleep(0.01)

    def wait_for_visitor(self, command: str) -> None:
        """Wait until a process that entered the box has a command line that begins with this text."""
        deadline = time.monotonic() + 10
        while not any(line.startswith(command) for line in self.visitors().values()):
            assert time.monotonic() < deadline, f"{command} does not appear"
            time.sleep(0.01)

    def wait_until_gone(self, before: Mapping[int, str], within_s: float = 1.0) -> None:
        """Wait until no other processes have entered the box than before: a killed one may still be ending."""
        deadline = time.monotonic() + within_s
        while left := {pid: command for pid, command in self.visitors().items() if pid not in before}:
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.01)

    def in_front_of_systemctl(self, script: str) -> str:
        """Return a PATH with a systemctl in front of the real one that does something first."""
        self.write("/run/test/bin/systemctl", f'#!/bin/sh\n{script}\nexec /usr/bin/systemctl "$@"\n', mode=0o755)
        return "/run/test/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    @contextmanager
    def freeze(self) -> Iterator[None]:
        """Stop the system manager with SIGSTOP for the time of the block: it does not respond."""
        os.kill(self.sandbox.pid, SIGSTOP)
        self.frozen = True
        try:
            yield
        finally:
            self.frozen = False
            os.kill(self.sandbox.pid, SIGCONT)

    @contextmanager
    def without_server(self) -> Iterator[None]:
        """Hide the resident server from agents for the time of the block."""
        socket, aside = self.path(SOCKET), self.path(f"{SOCKET}.aside")
        socket.rename(aside)
        try:
            yield
        finally:
            aside.rename(socket)

    @contextmanager
    def fallbacks_allowed(self) -> Iterator[None]:
        """Do not count agents that the server did not serve during the block: it could not, or must not."""
        noted = self.path(FELL_BACK)
        before = noted.read_bytes()
        try:
            yield
        finally:
            noted.write_bytes(before)

    def visitors(self) -> dict[int, str]:
        """Return the processes in the box that came from outside, or that the resident server started for an action.

        With their command lines, without those that its systemd has to do with.
        """
        namespace = Path(f"/proc/{self.sandbox.pid}/ns/pid").readlink()
        own = _cgroup(self.sandbox.pid).removesuffix("/init.scope")
        found = {}
        for entry in Path("/proc").glob("[1-9]*"):
            with suppress(OSError, psutil.NoSuchProcess):  # gone meanwhile
                if (entry / "ns/pid").readlink() == namespace and self._is_foreign(int(entry.name), own):
                    found[int(entry.name)] = (
                        (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    )
        return {pid: command for pid, command in found.items() if command}  # a zombie has none

    def _is_foreign(self, pid: int, own: str) -> bool:
        """Return whether a process is in none of systemd's own cgroups, those below `own`, or belongs to an action."""
        cgroup = _cgroup(pid)
        if not cgroup.startswith(own):
            return True
        # The server itself is a child of PID 1; of what it starts it is the subreaper.
        return cgroup.endswith("/ocf-systemd.service") and psutil.Process(pid).ppid() != self.sandbox.pid

    def kill(self, unit: str) -> None:
        """Send SIGKILL to all processes of a unit."""
        self.sh(KILL, unit, check=False)

    def clean(self) -> None:
        """Remove what a test put into the box."""
        if self.units:
            self.sh(CLEAN, *self.units, check=False)
            self.units.clear()
        for directory in (HOOKS, "/run/test"):
            shutil.rmtree(self.path(directory), ignore_errors=True)


def _cgroup(pid: int) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
