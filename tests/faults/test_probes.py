"""Probes: they decide where Pacemaker believes the service runs, and change nothing about that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.system.box import HOOKS

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

STOPPED_ROLE = {"OCF_RESKEY_CRM_meta_role": "Stopped"}
"""What a monitor with role=Stopped has, which recurs on the nodes where the resource does not run."""
CONNECT = "import socket; socket.socket(socket.AF_UNIX).connect('/run/probe.sock')"
ACTIVATED_S = 0.5  # a service that a connection starts is active well before


class TestActiveUnit:
    @pytest.mark.fault(
        "In a probe the unit is active, but the hook returns 2 to 7.",
        "The probe returns 1 with the hook's reason: Pacemaker neither records the unit as stopped nor excludes the "
        "node. A recurring monitor returns the hook's code.",
    )
    @pytest.mark.parametrize("code", [2, 3, 4, 5, 6, 7])
    def test_hook(self, agent: Agent, box: Box, code: int) -> None:
        """A hook decides whether the service works, not whether it is here: what is here must not be started twice."""
        unit, hook = box.started(), box.hook(f"echo connection refused; exit {code}")
        for variables, expected in (({}, 1), (STOPPED_ROLE, 1)):
            result = agent("monitor", unit=unit, monitor_hook=hook, interval_s=0, variables=variables)
            assert (result.code, result.reason) == (expected, f"hook hook: connection refused (exit {code})")
        assert agent("monitor", unit=unit, monitor_hook=hook, interval_s=10, variables=STOPPED_ROLE).code == 1
        assert agent("monitor", unit=unit, monitor_hook=hook).code == code

    @pytest.mark.fault(
        "In a probe the unit is active, and the hook returns 0, 1, 42 or 190.", "The probe returns the hook's code."
    )
    @pytest.mark.parametrize("code", [0, 1, 42, 190])
    def test_other_codes(self, agent: Agent, box: Box, code: int) -> None:
        """Codes that are neither hard errors nor 7 are returned."""
        assert agent("monitor", unit=box.started(), monitor_hook=box.hook(f"exit {code}"), interval_s=0).code == code

    @pytest.mark.fault(
        "In a probe the unit is active, but the hook is missing, not executable or unsafe, or hangs.",
        "The probe returns 1 with the reason. It does not return 4 or 5.",
    )
    @pytest.mark.parametrize(
        ("prepare", "reason"),
        [
            pytest.param("rm H", "cannot be run: No such file or directory", id="missing"),
            pytest.param("chmod -x H", "cannot be run: it is not executable", id="not-executable"),
            pytest.param("printf '#!/no/such\\n' >H", "cannot be run: its interpreter", id="interpreter"),
            pytest.param("chmod o+w H", "not safe to run: ", id="unsafe"),
            pytest.param("printf '#!/bin/sh\\nsleep 999\\n' >H", "timed out after ", id="hangs"),
        ],
    )
    def test_hook_that_cannot_be_run(self, agent: Agent, box: Box, prepare: str, reason: str) -> None:
        """The hook's problem is reported, and the service counts as active on this node."""
        unit, hook = box.started(), box.hook("exit 0")
        box.sh(prepare.replace("H", hook))
        result = agent("monitor", unit=unit, monitor_hook=hook, interval_s=0, timeout_s=3)
        assert result.code == 1
        assert result.reason.startswith(f"hook hook: {reason}")

    @pytest.mark.fault(
        "In a probe the unit is active, but all of its hooks return 7.", "The probe returns 1 with a reason."
    )
    def test_directory(self, agent: Agent, box: Box) -> None:
        """It makes no difference how many hooks there are."""
        for name in "ab":
            box.hook("exit 7", name)
        result = agent("monitor", unit=box.started(), monitor_hook=HOOKS, interval_s=0)
        assert result.code == 1
        assert result.reason == "hook a: not running (exit 7)"


class TestInactiveUnit:
    @pytest.mark.fault(
        "The hook would connect to the socket of a socket-activated service, which is down.",
        "A probe returns 7, and does not start the service.",
    )
    @pytest.mark.parametrize("variables", [pytest.param({}, id="probe"), pytest.param(STOPPED_ROLE, id="role-Stopped")])
    def test_socket_activation(self, agent: Agent, box: Box, variables: dict[str, str]) -> None:
        """A probe of a service that its socket would start does not run the hook: it would start it on every node."""
        unit = box.service()
        socket = box.unit(unit.replace(".service", ".socket"), "[Socket]\nListenStream=/run/probe.sock\n")
        box.sh('systemctl start "$1"', socket)
        hook = box.hook(f'python3 -c "{CONNECT}"')
        interval_s = 10 if variables else 0
        variables = {**variables, "PATH": box.in_front_of_systemctl("sleep 0.5")}  # time enough to connect
        assert agent("monitor", unit=unit, monitor_hook=hook, interval_s=interval_s, variables=variables).code == 7
        time.sleep(ACTIVATED_S)
        assert box.state(unit) == "inactive"
        box.sh(hook)  # it would have
        box.wait_for(unit, "active")
        box.sh('systemctl stop "$1"', socket)  # else the connection that was not accepted would start it again

    @pytest.mark.fault("In a probe the unit is down.", "The probe returns 7, and does not run the hook.")
    @pytest.mark.parametrize(
        "lines", [pytest.param((), id="inactive"), pytest.param(("Type=oneshot", "ExecStart=false"), id="failed")]
    )
    def test_hook_is_not_run(self, agent: Agent, box: Box, lines: tuple[str, ...]) -> None:
        """The hook of a unit that is down does not run, even if systemctl is slow."""
        unit, hook = box.service(*lines), box.marking("ran")
        if lines:
            box.sh('systemctl start "$1"', unit, check=False)
        path = box.in_front_of_systemctl("sleep 0.2")
        assert agent("monitor", unit=unit, monitor_hook=hook, interval_s=0, variables={"PATH": path}).code == 7
        assert box.marks("ran") == []
