"""The installed agent, called as Pacemaker's executor calls it, and audited after each call."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ocf_systemd.client import SERVED
from tests.system.agent_result import AgentResult, Call
from tests.system.audit import audit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.system.box import Box

AGENT = "/usr/lib/ocf/resource.d/pacemaker/systemd"
RESIDENT = "/usr/lib/ocf/resource.d/resident/systemd"
SLOW_AS_MEASURED_S = 30.0  # far more than any action of these tests may take
MEASURED_FROM_S = 5.0  # the timeout from which on an agent has time left, at its deadline, to write coverage data


@dataclass(frozen=True, slots=True)
class Agent:
    """The installed agent, called as Pacemaker's executor calls it, and audited after each call."""

    box: Box
    measuring: Mapping[str, str]
    path: str = AGENT
    codes: list[int] = field(default_factory=list)

    @property
    def is_resident(self) -> bool:
        """Whether the resident server performs the actions that it serves, `SERVED`."""
        return self.path == RESIDENT

    def __call__(
        self,
        *arguments: str,
        timeout_s: float = 20,
        interval_s: float = 10,
        variables: Mapping[str, str] | None = None,
        measured: bool = True,
        leaves_job: bool = False,
        **parameters: str,
    ) -> AgentResult:
        """Call the agent with an action, and audit what it left."""
        call = self.begin(
            *arguments,
            timeout_s=timeout_s,
            interval_s=interval_s,
            variables=variables,
            measured=measured,
            **parameters,
        )
        result = call.finish()
        self.audit(call, result, leaves_job=leaves_job)
        return result

    def begin(
        self,
        *arguments: str,
        timeout_s: float = 20,
        interval_s: float = 10,
        variables: Mapping[str, str] | None = None,
        measured: bool = True,
        through: Sequence[str] = (),
        **parameters: str,
    ) -> Call:
        """Begin a call; `through` is what starts it, as prlimit(1). A monitor recurs unless `interval_s` is 0.

        Coverage is measured if `measured`, and the timeout is not so short that writing its data could exceed it.
        """
        action = arguments[0] if arguments else ""
        environment = executor_environment(action, timeout_s, interval_s if action == "monitor" else 0)
        environment |= as_variables(parameters)
        is_measured = measured and timeout_s >= MEASURED_FROM_S
        environment |= {**(variables or {}), **(self.measuring if is_measured else {})}
        before = self.box.visitors()
        began = time.monotonic()
        process = self.start(arguments, environment, through)
        is_probe = interval_s == 0 or environment.get("OCF_RESKEY_CRM_meta_role") == "Stopped"
        return Call(action, parameters, process, began, before, timeout_s, is_probe=is_probe)

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], through: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start the agent with this environment and nothing of ours: no input, a group of its own, umask 0026."""
        clean = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        return subprocess.Popen(
            self.box.sandbox.command([*through, *clean, self.path, *arguments], cwd="/usr"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            umask=0o026,
        )

    def run(self, *arguments: str, environment: Mapping[str, str]) -> AgentResult:
        """Call the agent with exactly this environment, unaudited."""
        began = time.monotonic()
        with self.start(arguments, environment) as process:
            stdout, stderr = process.communicate(timeout=SLOW_AS_MEASURED_S)
        elapsed_s = time.monotonic() - began
        return AgentResult(process.returncode, stdout.decode(), stderr.decode(errors="replace"), elapsed_s)

    def audit(self, call: Call, result: AgentResult, *, leaves_job: bool = False, agrees: bool = True) -> None:
        """Fail if a call left something behind, or returned late, or in a wrong form."""
        if call.action in SERVED:
            self.codes.append(result.code)
        audit(self.box, call, result, leaves_job=leaves_job, agrees=agrees)


def as_variables(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return parameters as an agent's environment has them."""
    return {f"OCF_RESKEY_{name}": value for name, value in parameters.items()}


def executor_environment(action: str, timeout_s: float, interval_s: float) -> dict[str, str]:
    """Return what Pacemaker's executor gives an agent."""
    environment = {
        "PATH": "/sbin:/bin:/usr/sbin:/usr/bin",
        "LC_ALL": "C",
        "HA_LOGFACILITY": "daemon",
        "HA_debug": "0",
        "OCF_ROOT": "/usr/lib/ocf",
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_RESOURCE_INSTANCE": "test",
        "OCF_RESOURCE_PROVIDER": "pacemaker",
        "OCF_RESOURCE_TYPE": "systemd",
        "OCF_RESKEY_CRM_meta_name": action,
        "OCF_RESKEY_CRM_meta_timeout": str(round(timeout_s * 1000)),
    }
    return environment | ({"OCF_RESKEY_CRM_meta_interval": str(round(interval_s * 1000))} if interval_s else {})
