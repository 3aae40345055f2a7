"""One node of a cluster: a sandbox that corosync and Pacemaker run in, and that can be booted again."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import ocf_systemd
from ocf_systemd.sandbox import Sandbox, boot
from tests.cluster.fence_sandbox import __file__ as fence_agent
from tests.cluster.fencing import end, has_not_ended
from tests.cluster.journal import Entry, Journal

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(sys.executable).with_name("ocf-systemd")
DAEMONS = {
    "pacemakerd",
    *(f"pacemaker-{name}" for name in ("based", "fenced", "execd", "attrd", "schedulerd", "controld")),
}
_BOOT_TIMEOUT_S = 60.0
# Pacemaker's controller is no root, and runs the agent's meta-data all the same: without it nothing can be reloaded.
# An interpreter in a home directory is made readable in the sandbox, whose files are copies.
_PREPARE = """
for path; do
    while [ "$path" != / ]; do
        chmod o+x "$path"
        path=$(dirname "$path")
    done
done
chown hacluster:haclient /var/lib/pacemaker/cib/cib.xml
chmod 0600 /var/lib/pacemaker/cib/cib.xml
"""
# What runs in Pacemaker's cgroup: name and command line of each process.
_IN_PACEMAKER = """
for pid in $(cat /sys/fs/cgroup/system.slice/pacemaker.service/cgroup.procs); do
    echo "$(cat /proc/$pid/comm) $(tr '\\0' ' ' </proc/$pid/cmdline)"
done 2>/dev/null
"""


@dataclass(slots=True)
class Node:
    """A node, by its name; while it is down there is nothing to run in it."""

    name: str
    number: int
    killed_at_s: float | None = None
    _sandbox: Sandbox | None = None
    _holding: ExitStack = field(default_factory=ExitStack)
    _journals: list[Journal] = field(default_factory=list)

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox it is now."""
        assert self._sandbox is not None, f"{self.name} has not been booted"
        return self._sandbox

    @property
    def is_up(self) -> bool:
        """Whether there is a sandbox that it lives in."""
        return self._sandbox is not None and has_not_ended(self._sandbox)

    def boot(self, files: dict[str, tuple[str, int]]) -> None:
        """Boot, with the agent installed and these files in place; Pacemaker does not run yet."""
        self.close()
        self.killed_at_s = None
        self._sandbox = self._holding.enter_context(boot(name=self.name, timeout_s=_BOOT_TIMEOUT_S))
        self._journals.append(Journal(self.sandbox))
        for path, (text, mode) in files.items():
            self.sandbox.write(path, text, mode)
        agent = Path(fence_agent).read_text(encoding="utf-8")
        self.sandbox.write("/usr/sbin/fence_sandbox", f"#!{sys.executable} -I\n{agent}", 0o755)
        self.sh(
            _PREPARE, *{str(Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, ocf_systemd.__path__[0])}
        )
        self.run(str(PROGRAM), "install")
        self.run("systemctl", "daemon-reload")

    def kill(self) -> None:
        """End it as a cut of its power would."""
        end(self.sandbox)
        self.killed_at_s = time.monotonic()

    def close(self) -> None:
        """End it, and wait until nothing of it is left."""
        self._holding.close()
        if self._journals:
            self._journals[-1].close()

    def power_off(self, timeout_s: float) -> None:
        """Shut it down, and wait until it is off; no process enters it meanwhile, which its PID 1 would wait for."""
        self.run("systemctl", "poweroff")
        deadline = time.monotonic() + timeout_s
        while self.is_up:
            assert time.monotonic() < deadline, f"{self.name} is not off after {timeout_s:.0f} s"
            time.sleep(0.05)

    def run(self, *argv: str, timeout_s: float = 60, check: bool = True) -> str:
        """Run a command in it and return what it printed, less the last newline."""
        done = self.sandbox.run(argv, timeout_s=timeout_s)
        assert not check or done.returncode == 0, f"{self.name}: {argv}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n")

    def sh(self, script: str, *arguments: str, timeout_s: float = 60, check: bool = True) -> str:
        """Run a script in it and return what it printed, less the last newline."""
        return self.run("sh", "-c", script, "sh", *arguments, timeout_s=timeout_s, check=check)

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit, as systemd prints it."""
        return self.run("systemctl", "show", f"--property={name}", "--value", "--", unit)

    def pid_of(self, daemon: str) -> int:
        """Return the process id, as it is inside, of one of Pacemaker's daemons."""
        return int(self.run("pidof", f"/usr/lib/pacemaker/{daemon}"))

    def is_in_cluster(self) -> bool:
        """Return whether Pacemaker runs here and knows of its cluster."""
        return self.is_up and self.sandbox.run(["crm_mon", "-1"], timeout_s=30).returncode == 0

    def journal(self, identifier: str = "", *, since_s: float = 0.0) -> list[Entry]:
        """Return what its journal has had since then, or since it was first booted, of one program or of all."""
        entries = [entry for journal in self._journals for entry in journal.read(since_s)]
        return [entry for entry in entries if not identifier or entry.identifier == identifier]

    def wait_for_entry(self, matches: Callable[[Entry], bool], what: str, timeout_s: float = 30) -> Entry:
        """Wait until the journal has an entry, and return it."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = next(filter(matches, self.journal()), None)
            if found:
                return found
            assert time.monotonic() < deadline, f"{self.name}: not in the journal: {what}"
            time.sleep(0.2)

    def leftovers(self) -> list[str]:
        """Return the processes in Pacemaker's cgroup that are not its daemons."""
        lines = self.sh(_IN_PACEMAKER, check=False).splitlines()
        names = tuple(daemon[:15] for daemon in DAEMONS)  # proc(5): comm has no more characters
        return [line for line in lines if line.strip() and not line.startswith(names)]
