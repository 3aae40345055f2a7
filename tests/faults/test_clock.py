"""The wall clock jumps, for the agent and the systemctl it runs, by libfaketime: a sandbox may not set the real one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.ways import COLD_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.system.agent import Agent
    from tests.system.box import Box
    from tests.system.requirements import Requirements

CLOCK = "/run/test/clock"
JUMPS = pytest.mark.parametrize("jump", [pytest.param("+1d", id="forward"), pytest.param("-1d", id="back")])


@pytest.fixture
def clock(box: Box, require: Requirements) -> Mapping[str, str]:
    """Return what has the agent read the wall clock through a file that a hook may write."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), Path("/usr/lib/faketime"))
    library = require.package(str(found), "libfaketime")
    box.write(CLOCK, "+0")
    return {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": CLOCK,
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "HA_DEBUGLOG": "/run/test/log",
        "HA_debug": "1",
    }


def days_logged(box: Box) -> list[str]:
    """Return the dates in the agent's log."""
    return sorted({" ".join(line.split()[:2]) for line in box.marks("log")})


@COLD_ONLY
@JUMPS
@pytest.mark.fault(
    "The clock jumps by a day, forward or back, in a monitor whose hook hangs.",
    "The monitor returns 1 at the same time as without the jump.",
)
def test_monitor(agent: Agent, box: Box, clock: Mapping[str, str], jump: str) -> None:
    """A clock that jumps neither shortens a hook's time nor lengthens it."""
    hook = box.hook(f"echo {jump} >{CLOCK}; sleep 1000")
    result = agent("monitor", unit=box.started(), monitor_hook=hook, variables=clock, timeout_s=3)
    assert len(days_logged(box)) == 2
    assert result.code == 1
    assert result.elapsed_s > 1.5


@COLD_ONLY
@JUMPS
@pytest.mark.fault(
    "The clock jumps by a day, forward or back, in the middle of a start and of a stop.", "The jump has no effect."
)
def test_start_and_stop(agent: Agent, box: Box, clock: Mapping[str, str], jump: str) -> None:
    """A clock that jumps while a unit starts and stops makes no difference."""
    slow = f"sh -c 'echo {jump} >{CLOCK}; sleep 0.2'"
    unit = box.service("Type=oneshot", "RemainAfterExit=yes", f"ExecStart={slow}", f"ExecStop={slow}")
    for action in ("start", "stop"):
        box.write(CLOCK, "+0")
        box.write("/run/test/log", "")
        assert agent(action, unit=unit, variables=clock).code == 0
        assert len(days_logged(box)) == 2


@COLD_ONLY
@JUMPS
@pytest.mark.fault(
    "The clock jumps by a day, forward or back, while a unit fails to start.",
    "The start returns 1, with the unit's `Result` and exit status in the reason. After a jump forward the unit's last "
    "log line is a day old, and the reason omits it.",
)
def test_failed_start(agent: Agent, box: Box, clock: Mapping[str, str], jump: str) -> None:
    """A failed unit is distinguished from a running one at any time; its log line is of this start."""
    unit = box.service("Type=oneshot", f"ExecStart=sh -c 'echo {jump} >{CLOCK}; echo the last word; exit 3'")
    result = agent("start", unit=unit, variables=clock)
    assert result.code == 1
    assert f"{unit} failed: exit-code, status 3" in result.reason
    assert ("the last word" in result.reason) == (jump == "-1d")
