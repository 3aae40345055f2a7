"""The resident server frozen in the middle of its work: nothing that it has begun outlives the caller it began it for.

It performs what changes nothing; what changes something runs in the process that Pacemaker started, and ends with it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from select import select
from typing import TYPE_CHECKING

import pytest

from tests.faults.endings import Ending
from tests.system.box import FELL_BACK
from tests.system.silent_storage import PLACE, silent_storage
from tests.system.ways import RESIDENT_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.agent import Agent
    from tests.system.box import Box

SERVER = "/sys/fs/cgroup/system.slice/ocf-systemd.service"
GREETING_S = 1.0  # how long an agent with that timeout would wait for the server (client.GREETING_TIMEOUT_S)
LONG_TIMEOUT_S = 60
SLOW_S = 10.0  # how much later than in time a busy machine may have the reason
CARRIED_OUT_S = 0.5  # a request that was held up would have had its effect by then

# Stands in front of systemctl: holds a start, or a stop, of a unit the first time, until all are told to go on. It goes
# on at once then, as what had been decided would.
HOLD = """
for word; do [ "$word" != "$HELD" ] || break; done
if [ "$word" = "$HELD" ] && mkdir "/run/test/held/$OCF_RESKEY_unit" 2>/dev/null; then
    until [ -e /run/test/go ]; do :; done
fi
"""
UNITS = 6  # of which one at least has its request sent, should a thawed server send any
OPPOSITE = {"start": "stop", "stop": "start"}
STATE_AFTER = {"start": "active", "stop": "inactive"}


@contextmanager
def frozen_server(box: Box) -> Iterator[None]:
    """Freeze the server, and all it has started, for the time of the block."""
    freeze, events = box.path(f"{SERVER}/cgroup.freeze"), box.path(f"{SERVER}/cgroup.events")
    with box.fallbacks_allowed():
        freeze.write_text("1", encoding="ascii")
        try:
            while "frozen 1" not in events.read_text(encoding="ascii"):
                time.sleep(0.01)
            yield
        finally:
            freeze.write_text("0", encoding="ascii")


@RESIDENT_ONLY
@pytest.mark.fault("The resident server is frozen.", "Start, stop and reload take no longer than without a server.")
def test_not_waited_for(agent: Agent, box: Box) -> None:
    """Actions that change something do not use the server, and so do not wait for its greeting."""
    unit, hook = box.service("ExecStart=sleep infinity", "ExecReload=true"), box.hook("exit 0")
    took_s: dict[str, list[float]] = {"start": [], "reload": [], "reload-agent": [], "stop": []}
    with frozen_server(box):
        for _ in range(3):  # a machine that is busy for a moment gets another chance
            for action, seconds in took_s.items():
                result = agent(action, unit=unit, monitor_hook=hook, timeout_s=LONG_TIMEOUT_S, measured=False)
                assert result.code == 0
                seconds.append(result.elapsed_s)
    assert all(min(seconds) < GREETING_S for seconds in took_s.values()), took_s


@RESIDENT_ONLY
@pytest.mark.fault(
    "The resident server is frozen.",
    "The agents run their monitors in their own processes, and return the unit's state.",
)
def test_monitors_go_on(agent: Agent, box: Box) -> None:
    """A server that does not greet is not waited for beyond a moment."""
    up, down, hook = box.started(), box.service(), box.hook("exit 190")
    with frozen_server(box):
        calls = [agent.begin("monitor", unit=unit, monitor_hook=hook) for unit in (up, down)]
        results = [call.finish() for call in calls]
    for call, result in zip(calls, results, strict=True):
        agent.audit(call, result)
    assert [result.code for result in results] == [190, 7]


@RESIDENT_ONLY
@pytest.mark.fault(
    "The resident server is frozen in the middle of starts, or of stops. It is thawed after the opposite actions have "
    "returned 0.",
    "After that, no unit is started or stopped.",
)
@pytest.mark.parametrize("action", ["start", "stop"])
@pytest.mark.parametrize("ending", [None, Ending.GROUP_KILLED], ids=["goes-on", "killed"])
def test_stale_action(agent: Agent, box: Box, action: str, ending: Ending | None) -> None:
    """No request outlives its caller: the last action that returned 0 is what counts."""
    units = [box.service() if action == "start" else box.started() for _ in range(UNITS)]
    variables = {"PATH": box.in_front_of_systemctl(HOLD), "HELD": action}
    box.path("/run/test/held").mkdir()
    calls = [
        agent.begin(action, unit=unit, variables=variables, through=["setsid"], timeout_s=60, measured=False)
        for unit in units
    ]
    for unit in units:
        box.wait_for_file(f"/run/test/held/{unit}")
    with frozen_server(box):
        if ending:
            for call in calls:
                ending.come(call.agent)
        box.write("/run/test/go", "")
        codes = [call.finish().code for call in calls]
        box.wait_until_gone(calls[0].before)
        assert ending or codes == [0] * UNITS
        after = [agent.begin(OPPOSITE[action], unit=unit, timeout_s=60, measured=False) for unit in units]
        assert [call.finish().code for call in after] == [0] * UNITS
    time.sleep(CARRIED_OUT_S)
    assert [box.state(unit) for unit in units] == [STATE_AFTER[OPPOSITE[action]]] * UNITS


def cgroup_of_hook(agent: Agent, box: Box, hook: str, user: str) -> str:
    """Return the control group that a hook runs in, which it writes to `cgroup` in its directory."""
    assert agent("monitor", unit=box.started(), monitor_hook=hook, monitor_hook_user=user).code == 0
    return box.path(f"{hook.rpartition('/')[0]}/cgroup").read_text(encoding="ascii")


def fallbacks(box: Box) -> int:
    """Return how many agents the server has not served."""
    return len(box.path(FELL_BACK).read_bytes())


class TestHooksOfOthers:
    """The server does not run a hook that others than root can delay: it would delay all clients."""

    REPORT = '#!/bin/sh\ncat /proc/self/cgroup >"${0%/*}/cgroup"\n'

    @RESIDENT_ONLY
    @pytest.mark.fault(
        "`monitor_hook_user` is set, whether root or that user owns the hook.",
        "The agent's own process runs the hook, not the server.",
    )
    @pytest.mark.parametrize("owned", ["directory", "hook", "cgroup"])
    def test_own(self, agent: Agent, box: Box, owned: str) -> None:
        """That user can stop the process before it executes the hook, or have the hook on a file system of its own."""
        box.write("/run/test/own/hook", self.REPORT, 0o755)
        box.write("/run/test/own/cgroup", "", 0o666)
        box.sh(f"chown nobody {'/run/test/own' if owned == 'directory' else f'/run/test/own/{owned}'}")
        with box.fallbacks_allowed():
            found = cgroup_of_hook(agent, box, "/run/test/own/hook", "nobody")
        assert "ocf-systemd" not in found

    @RESIDENT_ONLY
    def test_roots(self, agent: Agent, box: Box) -> None:
        """The server runs a hook that root owns: the record that the other test looks for exists."""
        box.write("/run/test/root/hook", self.REPORT, 0o755)
        box.write("/run/test/root/cgroup", "", 0o666)
        found = cgroup_of_hook(agent, box, "/run/test/root/hook", "")
        assert found.endswith("/ocf-systemd.service\n")

    @RESIDENT_ONLY
    @pytest.mark.fault(
        "A hook is on storage that does not respond.",
        "The monitor returns 1 with a reason in time. Meanwhile the server serves monitors of other resources.",
    )
    def test_on_dead_storage(self, agent: Agent, box: Box) -> None:
        """A process that accesses such a hook hangs: its client gets a result in time, and no other is affected.

        The client's own process reports the reason and then waits for the storage, so the test revives that.
        """
        unit, hook = box.started(), box.hook("exit 190")

        def reports_in_time() -> bool:
            with silent_storage(box) as storage, box.fallbacks_allowed():
                before = fallbacks(box)
                hanging = agent.begin("monitor", unit=unit, monitor_hook=f"{PLACE}/hook", timeout_s=6, measured=False)
                others = [agent.begin("monitor", unit=unit, monitor_hook=hook, timeout_s=10) for _ in range(5)]
                codes = [call.finish().code for call in others]
                declined = fallbacks(box) - before  # the first one, and any that a busy machine has made wait
                assert hanging.process.stderr is not None
                select([hanging.process.stderr], [], [], hanging.timeout_s + SLOW_S)
                elapsed_s = time.monotonic() - hanging.began
                storage.revive()
                result = hanging.finish()
            assert codes == [190] * len(others)
            assert declined < len(others)
            assert result.code == 1
            assert "a system call did not return within" in result.reason
            return elapsed_s < hanging.timeout_s

        assert any(reports_in_time() for _ in range(3))  # its process may get no processor for a moment
