"""Units that systemd refuses to start or stop manually."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.ways import COLD_ONLY

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

SOON_S = 5.0
REFUSED = "may be requested by dependency only"
NO_START, NO_STOP = "[Unit]\nRefuseManualStart=yes\n", "[Unit]\nRefuseManualStop=yes\n"


@COLD_ONLY
class TestRefused:
    @pytest.mark.fault(
        "systemd refuses to start a unit with `RefuseManualStart=yes`.",
        "The start returns 1 at once, with systemd's message.",
    )
    def test_start(self, agent: Agent, box: Box) -> None:
        """A request that would be refused again is not repeated."""
        unit = box.service(before=NO_START)
        result = agent("start", unit=unit)
        assert result.code == 1
        assert result.elapsed_s < SOON_S
        assert result.reason.startswith(f"{unit} inactive: Operation refused, unit {unit} {REFUSED}")

    @pytest.mark.fault("A unit with `RefuseManualStart=yes` runs already.", "A start returns 0.")
    def test_start_of_one_that_runs(self, agent: Agent, box: Box) -> None:
        """A start of what was started by a dependency has nothing to do."""
        unit = box.service(before=NO_START)
        other = box.service(before=f"[Unit]\nWants={unit}\n")
        box.sh('systemctl start -- "$1"', other)
        box.wait_for(unit, "active")
        assert agent("start", unit=unit).code == 0

    @pytest.mark.fault(
        "systemd refuses to stop a unit with `RefuseManualStop=yes`.",
        "The agent sends SIGTERM to the unit's processes, and SIGKILL soon after if they do not end. The stop returns "
        "0.",
    )
    @pytest.mark.parametrize("is_stubborn", [False, True], ids=["", "SIGTERM ignored"])
    def test_stop(self, agent: Agent, box: Box, *, is_stubborn: bool) -> None:
        """The agent does not wait for a stop that systemd does not begin."""
        unit = box.stubborn() if is_stubborn else box.service()
        box.write(f"/etc/systemd/system/{unit}.d/refuse.conf", NO_STOP)
        box.sh("systemctl daemon-reload")
        assert agent("start", unit=unit).code == 0
        result = agent("stop", unit=unit, timeout_s=60)
        assert result.code == 0
        assert result.elapsed_s < (2 * SOON_S if is_stubborn else SOON_S)

    @pytest.mark.fault(
        "systemd refuses to stop a unit with `RefuseManualStop=yes`, and the resource has `stop_escalate=no`.",
        "The stop returns 1 in time, with systemd's message, and kills nothing.",
    )
    def test_stop_without_escalation(self, agent: Agent, box: Box) -> None:
        """Without leave to kill, the unit goes on running."""
        unit = box.service(before=NO_STOP)
        assert agent("start", unit=unit).code == 0
        result = agent("stop", unit=unit, timeout_s=3, stop_escalate="no")
        assert result.code == 1
        assert REFUSED in result.reason
        assert box.state(unit) == "active"
