"""systemctl and the system manager: one that hangs, cannot be reached, or executes itself again."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.agent import Agent
    from tests.system.box import Box

CONNECTED = r" 03 +(\d+) /run/systemd/private\b"
"""The inode of a connection to PID 1 in /proc/net/unix, where 03 is the state of a socket that is connected."""
SOCKETS = ("/run/systemd/private", "/run/dbus/system_bus_socket")


@pytest.mark.fault("systemd does not respond.", "Every action returns 1 at the agent deadline.")
@pytest.mark.parametrize("state", ["active", "inactive"])
def test_system_manager_hangs(agent: Agent, box: Box, state: str) -> None:
    """A systemd that does not respond is 1 before the deadline, never stopped."""
    unit, hook = box.started() if state == "active" else box.service(), box.hook("exit 7")
    actions = ("start", "stop", "monitor", "reload", "reload-agent")
    with box.freeze():
        calls = [agent.begin(each, unit=unit, monitor_hook=hook, timeout_s=3, interval_s=0) for each in actions]
        results = [call.finish() for call in calls]
        for call, result in zip(calls, results, strict=True):
            agent.audit(call, result)
            assert result.code == 1
            assert "systemd does not answer" in result.reason
    assert agent("monitor", unit=unit, interval_s=0).code == (0 if state == "active" else 7)


@pytest.mark.fault("systemd does not respond for a while.", "The agent waits, and returns the unit's state.")
def test_system_manager_answers_again(agent: Agent, box: Box) -> None:
    """A systemd that responds late, but in time, is queried until it does."""
    unit = box.started()
    with box.freeze():
        call = agent.begin("monitor", unit=unit, timeout_s=10)
        box.sandbox.run(["sleep", "1"])
    result = call.finish()
    agent.audit(call, result)
    assert result.code == 0


@pytest.mark.fault(
    "`systemctl` fails for a while, as during a daemon-reexec.",
    "The agent queries systemd again, and returns the unit's state.",
)
def test_systemctl_fails(agent: Agent, box: Box) -> None:
    """A systemctl that fails twice is run a third time; for a running unit the server queries PID 1 itself."""
    mark = "/run/test/tried"
    path = box.in_front_of_systemctl(f'[ "$(cat {mark} | wc -l)" -ge 2 ] || {{ echo >>{mark}; exit 1; }}')
    box.sh(f"touch {mark}")
    assert agent("monitor", unit=box.service(), variables={"PATH": path}).code == 7
    assert len(box.marks("tried")) == 2


@pytest.mark.fault("The D-Bus daemon does not run.", "This has no effect on an agent that runs as root.")
def test_bus_down(agent: Agent, box: Box) -> None:
    """A dead D-Bus daemon does not matter: root talks to systemd itself."""
    unit = box.started()
    box.sh("systemctl stop dbus.socket dbus.service")
    try:
        codes = [agent(action, unit=unit).code for action in ("monitor", "stop", "start")]
    finally:
        box.sh("systemctl start dbus.socket dbus.service")
    assert codes == [0, 0, 0]


@contextmanager
def covered(box: Box, *paths: str) -> Iterator[None]:
    """Hide files of the box for the time of the block."""
    for path in paths:
        box.sh('mount --bind /dev/null "$1"', path)
    try:
        yield
    finally:
        for path in paths:
            box.sh('umount "$1"', path)


def wait_until_connected(box: Box) -> None:
    """Wait until the server is connected to PID 1: its connection lasts, in contrast to those of systemctl."""
    deadline, before = time.monotonic() + 10, set[str]()
    while not before & (connections := set(re.findall(CONNECTED, box.sh("cat /proc/net/unix")))):
        assert time.monotonic() < deadline
        before = connections
        time.sleep(0.1)


@pytest.mark.fault(
    "Neither the private socket of PID 1 nor the D-Bus socket can be used.",
    "A monitor returns 1, never 7; if the resident server is connected to PID 1 already, a monitor of an active unit "
    "returns 0. A stop returns 1, never 0.",
)
@pytest.mark.parametrize("state", ["active", "inactive"])
def test_sockets_unusable(agent: Agent, box: Box, state: str) -> None:
    """Without systemd's socket and the bus the state is unknown: 1 from monitor and from stop, never 7 or 0.

    But for a server that is connected since before: it knows of a unit that runs.
    """
    unit = box.started() if state == "active" else box.service()
    knows = agent.is_resident and state == "active"
    if knows:
        wait_until_connected(box)
    with covered(box, *SOCKETS):
        # A server that knows the state must run this one: alone, with a timeout that gives it time for the greeting.
        for _ in range(3 if knows else 1):  # a busy machine gets another chance
            calls = [agent.begin("monitor", unit=unit, timeout_s=20 if knows else 2)]
            results = [calls[0].finish()]
            if results[0].code == 0:
                break
        calls += [agent.begin(action, unit=unit, timeout_s=2) for action in ("stop", "start")]
        results += [call.finish() for call in calls[1:]]
    for call, result in zip(calls, results, strict=True):
        agent.audit(call, result)
    assert [result.code for result in results] == [0 if knows else 1, 1, 1]
    assert knows or all("systemd does not answer" in result.reason for result in results)
    assert box.state(unit) == state


@pytest.mark.fault(
    "The private socket of PID 1 cannot be used.",
    "The monitor returns 1 or, if D-Bus works, the unit's state. It never returns a wrong 7 or 0.",
)
@pytest.mark.parametrize(("state", "truth"), [("active", 0), ("inactive", 7)])
def test_private_socket_unusable(agent: Agent, box: Box, state: str, truth: int) -> None:
    """Without systemd's private socket the monitor is true or 1."""
    unit = box.started() if state == "active" else box.service()
    with covered(box, SOCKETS[0]):
        call = agent.begin("monitor", unit=unit, timeout_s=2)
        result = call.finish()
    agent.audit(call, result)
    assert result.code in {1, truth}


@pytest.mark.fault(
    "daemon-reexec and daemon-reload run in a loop during every action.",
    "No action returns a wrong result. A reload returns 1 if all of its requests are lost.",
)
def test_reexecution(agent: Agent, box: Box) -> None:
    """No action fails or lies while systemd reloads and re-executes itself in a loop."""
    unit = box.service("ExecStart=sleep infinity", "ExecReload=true")
    actions = {"start": 0, "monitor": 0, "reload": 0, "reload-agent": 0, "validate-all": 0, "stop": 0}
    expected = [*actions.items(), ("monitor", 7)] * 2
    script = "until [ -e /run/test/enough ]; do systemctl daemon-reexec; systemctl daemon-reload; sleep 0.2; done"
    with subprocess.Popen(box.sandbox.command(["sh", "-c", script]), stderr=subprocess.DEVNULL) as loop:
        calls = []
        for action, _ in expected:
            call = agent.begin(action, unit=unit, variables={"OCF_CHECK_LEVEL": "10"})
            calls.append((call, call.finish()))
        box.sh("mkdir -p /run/test; touch /run/test/enough")
        loop.wait(20)
    for (call, result), (action, code) in zip(calls, expected, strict=True):
        agent.audit(call, result, agrees=False)
        lost = action == "reload" and "reload job lost" in result.reason  # at each request: its outcome is unknown
        assert result.code == (1 if lost else code), result
