"""A process holds a lease on a hook (F_SETLEASE in fcntl(2)): open(2) and execve(2) block, for 45 s by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.agent import as_variables
from tests.system.box import FELL_BACK
from tests.system.ways import RESIDENT_ONLY
from tests.unit.odd_processes import leased

if TYPE_CHECKING:
    from tests.system.agent import Agent
    from tests.system.box import Box

REASON = "hook hook: cannot be started: another process holds a lease on its file"


def marking(box: Box, user: str) -> str:
    """Put a hook into the box that any user may run and that leaves a mark, owned by its user."""
    hook = box.marking("ran", 190)
    box.write("/run/test/ran", "", 0o666)
    box.sh('chown "${2:-root}" "$1"', hook, user)
    return hook


@pytest.mark.fault(
    "A process holds a lease on a hook, and does not give it up.",
    "Monitor and start return 1 with a reason in time, and the hook does not run later. A stop returns 0.",
)
@pytest.mark.parametrize("user", ["", "nobody"])
def test_kept(agent: Agent, box: Box, user: str) -> None:
    """No action waits for the holder beyond its deadline, and the hook does not run when the lease has ended."""
    unit, hook = box.started(), marking(box, user)
    given = as_variables({"unit": unit, "monitor_hook": hook, "monitor_hook_user": user})
    with box.fallbacks_allowed():
        with leased(box.path(hook)):
            result = agent("monitor", timeout_s=3, variables=given)
            assert agent("start", timeout_s=3, variables=given).code == 1
            assert agent("stop", variables=given).code == 0
        assert (result.code, result.reason) == (1, REASON)
        assert box.marks("ran") == []
        assert agent("start", variables=given).code == 0


@pytest.mark.fault(
    "A process holds a lease on a hook, and gives it up when the kernel requests that.",
    "The hook runs, and the monitor returns its code.",
)
def test_given_up(agent: Agent, box: Box) -> None:
    """A file server gives a lease up within milliseconds: the hook runs then, in a start as well."""
    unit, hook = box.service(), marking(box, "")
    for action, code in (("start", 0), ("monitor", 190)):
        with box.fallbacks_allowed(), leased(box.path(hook), is_given_up=True):
            assert agent(action, unit=unit, monitor_hook=hook).code == code
    assert len(box.marks("ran")) == 2


@RESIDENT_ONLY
@pytest.mark.fault(
    "A process holds a lease on the hook of one resource.",
    "Meanwhile the server serves the monitors of other resources.",
)
def test_others(agent: Agent, box: Box) -> None:
    """The server does not wait for the holder: other agents get their results from it."""
    unit, hook, other = box.started(), marking(box, ""), box.hook("exit 190", "other")
    with box.fallbacks_allowed(), leased(box.path(hook)):
        before = len(box.path(FELL_BACK).read_bytes())
        waiting = agent.begin("monitor", unit=unit, monitor_hook=hook, timeout_s=8, measured=False)
        codes = [agent.begin("monitor", unit=unit, monitor_hook=other).finish().code for _ in range(5)]
        declined = len(box.path(FELL_BACK).read_bytes()) - before  # that one, and any that a busy machine made wait
        assert waiting.finish().reason == REASON
    assert codes == [190] * 5
    assert declined < len(codes)
