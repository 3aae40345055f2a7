"""The sandbox that is measured in: the agents, the units and hooks they are called for, and the launcher."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ocf_systemd.sandbox import boot
from tests.system.agent import AGENT, executor_environment
from tests.system.agent_result import REASON
from tests.system.box import HOOKS, Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ocf_systemd.sandbox import Sandbox
    from tests.bench.launcher import Call, Ended, Request, Response

PROGRAM = Path(sys.executable).with_name("ocf-systemd")
SOCKET = "/run/ocf-systemd.socket"
SERVER = "ocf-systemd.service"
SHELL_AGENT = "/usr/lib/ocf/resource.d/pacemaker/shellwrap"
UNITS = 20
DOWN = "bench-down.service"
SLOW = "bench-slow.service"
NO_HOOK = ""
TRIVIAL, SLEEPING, SLOW_HOOK = (f"{HOOKS}/{name}" for name in ("trivial", "sleeping", "slow"))
HOOK_SLEEPS_S = 0.02
_TIMEOUT_S = 100.0  # no deadline may come near
_COLD_FROM_CPU_S = 0.05  # the agent cold takes more than twice as much, with the server a fifth
_LAUNCHER = "/run/bench/launcher.py"
_SYSTEMCTL_RAN = "/run/bench/systemctl-ran"
_NOTING = f"""#!/bin/sh
printf '%s\\037' "$@" >>{_SYSTEMCTL_RAN}
echo >>{_SYSTEMCTL_RAN}
exec /usr/bin/systemctl "$@"
"""
_SCRIPTS = {
    TRIVIAL: "exit 0",
    SLEEPING: f"exec sleep {HOOK_SLEEPS_S}",
    SLOW_HOOK: "[ -e /run/bench-slow/ready ] || exit 7",
}
_SERVICES = {
    "bench@.service": "ExecStart=sleep infinity",
    DOWN: "ExecStart=sleep infinity",
    SLOW: "Type=exec\nRuntimeDirectory=bench-slow\n"
    "ExecStart=sh -c 'sleep 0.3; touch /run/bench-slow/ready; exec sleep infinity'",
}


class Variant(StrEnum):
    """The agents that are compared."""

    SHELL = "shell"
    RESIDENT = "resident"
    COLD = "cold"


@dataclass(slots=True)
class Host:
    """The sandbox, what was wrong in it, how many actions its server has done, and how many it left to the agent.

    An agent that does without the server does not report that; its processor time shows it.
    """

    box: Box
    launcher: subprocess.Popen[str]
    wrong: list[str] = field(default_factory=list)
    served: int = 0
    fell_back: int = 0
    server_pid: int = 0
    _server_cgroup: str = ""

    def run(self, variant: Variant | None, calls: Sequence[Call], *, at_once: int = 1) -> Response:
        """Run calls of one variant; without one they are no agents."""
        request: Request = {
            "calls": list(calls),
            "at_once": at_once,
            "watched": self._cgroup() if variant is Variant.RESIDENT else "",
            "aside": SOCKET if variant is Variant.COLD else "",
        }
        if self.launcher.stdin is None or self.launcher.stdout is None:
            raise TypeError("the launcher has no pipes")
        print(json.dumps(request), file=self.launcher.stdin, flush=True)
        line = self.launcher.stdout.readline()
        if not line:
            raise RuntimeError(f"the launcher has ended with {self.launcher.wait()}")
        response = cast("Response", json.loads(line))
        if variant is Variant.RESIDENT:
            alone = sum(ended["cpu_s"] > _COLD_FROM_CPU_S for ended in response["ended"])
            self.fell_back += alone
            self.served += len(calls) - alone
        return response

    def _cgroup(self) -> str:
        if not self._server_cgroup:
            found = self.box.show(SERVER, "ControlGroup")
            self._server_cgroup = f"/sys/fs/cgroup{found}" if found else ""
        return self._server_cgroup

    def check(self, what: str, ended: Ended, code: int = 0, reason: str = "") -> None:
        """Record a wrong result: its code, nothing on stdout, a reason if one is due."""
        stderr = ended["stderr"]
        is_right = reason in stderr if reason else not stderr
        if ended["code"] != code or ended["stdout"] or not is_right or stderr.count(REASON) > 1:
            self.wrong.append(f"{what}: expected {code} {reason!r}, got {ended}")

    def server(self) -> tuple[int, float]:
        """Return the server's process id, 0 for none, and the memory of all its processes in MB."""
        pid = int(self.box.show(SERVER, "MainPID"))
        processes = self.box.path(f"{self._cgroup()}/cgroup.procs").read_text(encoding="ascii").split() if pid else []
        return pid, sum(map(_resident_kb, processes)) / 1024

    def systemctl_of(self, variant: Variant, call: Call) -> list[Call]:
        """Return the calls of systemctl that a call of the agent makes, to be measured alone."""
        noted = self.box.path(_SYSTEMCTL_RAN)
        noted.unlink(missing_ok=True)
        path = f"/run/bench/bin:{call['environment']['PATH']}"
        self.run(variant, [{**call, "environment": {**call["environment"], "PATH": path}}])
        lines = noted.read_text(encoding="utf-8").splitlines() if noted.exists() else []
        return [
            {"argv": ["/usr/bin/systemctl", *line.split("\037")[:-1]], "environment": call["environment"]}
            for line in lines
        ]


def _resident_kb(pid: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):  # a hook that has ended meanwhile
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def call_of(variant: Variant, action: str, unit: str, hook: str = NO_HOOK, *, instance: str = "bench") -> Call:
    """Return a call of an agent, as Pacemaker's executor makes it."""
    environment = executor_environment(action, _TIMEOUT_S, 10 if action == "monitor" else 0)
    environment |= {"OCF_RESOURCE_INSTANCE": instance, "OCF_RESKEY_unit": unit}
    environment |= {"OCF_RESKEY_monitor_hook": hook} if hook else {}
    agent = AGENT
    if variant is Variant.SHELL:
        agent, environment["OCF_RESOURCE_TYPE"] = SHELL_AGENT, Path(SHELL_AGENT).name
    return {"argv": [agent, action], "environment": environment}


def unit_of(number: int) -> str:
    """Return one of the units that run."""
    return f"bench@{number % UNITS}.service"


@contextmanager
def host(hooks: Iterable[tuple[str, str]] = (), program: Path = PROGRAM) -> Iterator[Host]:
    """Boot the sandbox, with these hooks too (path and script), and the agent that `program` installs.

    All of it ends with the block.
    """
    with boot(name="bench") as sandbox:
        box = Box(sandbox)
        box.sh('"$@"', str(program), "install", "--resident")
        box.write(SHELL_AGENT, Path(__file__).with_name("shell_agent.sh").read_text(encoding="utf-8"), 0o755)
        box.write(_LAUNCHER, Path(__file__).with_name("launcher.py").read_text(encoding="utf-8"))
        box.write("/run/bench/bin/systemctl", _NOTING, 0o755)
        for path, script in (*_SCRIPTS.items(), *hooks):
            box.write(path, f"#!/bin/sh\n{script}\n", 0o755)
        for unit, text in _SERVICES.items():
            box.write(f"/etc/systemd/system/{unit}", f"[Service]\n{text}\n")
        box.sh('systemctl daemon-reload; systemctl start "$@"', *map(unit_of, range(UNITS)))
        with _launched(sandbox) as launcher:
            yield Host(box, launcher)


@contextmanager
def _launched(sandbox: Sandbox) -> Iterator[subprocess.Popen[str]]:
    command = sandbox.command([sys.executable, "-I", "-S", _LAUNCHER])
    pipe = subprocess.PIPE
    # In a group of its own: a Ctrl-C is for this process, which then ends the sandbox.
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0) as launcher:
        try:
            yield launcher
        finally:
            if launcher.stdin:
                launcher.stdin.close()
            sandbox.close()  # with which ends what still runs
