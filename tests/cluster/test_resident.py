"""The resident server under Pacemaker: it serves, and no action fails because the server fails."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.cluster.configuration import Primitive
from tests.cluster.node import PROGRAM
from tests.cluster.runs import runs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

ON = "node1"
SERVED_IN, COLD_IN = "/ocf-systemd.service", "/pacemaker.service"
DISTURBANCES = (
    ("kill", "--signal=KILL", "ocf-systemd.service"),
    ("restart", "ocf-systemd.service"),
    ("stop", "ocf-systemd.socket", "ocf-systemd.service"),
)
A_FEW_MONITORS_S = 4

FREEZE = "/sys/fs/cgroup/system.slice/ocf-systemd.service/cgroup.freeze"
# Freezes the server soon after the first `systemctl start`: if the server runs those calls itself, some of them are
# frozen with the request to PID 1 still to be sent. Also logs in which cgroup units are started and stopped.
SYSTEMCTL = f"""\
#!/bin/sh
for word; do
    case $word in start | stop) echo "$word $(grep ^0:: /proc/self/cgroup)" >>/run/test/calls ;; esac
    if [ "$word" = start ] && mv /run/test/freeze-after /run/test/freezes-after 2>/dev/null; then
        (sleep "$(cat /run/test/freezes-after)"; echo 1 >{FREEZE}) &
    fi
done
exec /usr/bin/systemctl "$@"
"""
FREEZE_AFTER_S = (0, 0.01, 0.02)
AT_ONCE = 6
STALE_WITHIN_S = 0.5  # a thawed process sends its request within milliseconds


@pytest.fixture
def node(cluster: Cluster) -> Iterator[Node]:
    """Yield a node with the server; it has none afterwards, as all tests find it."""
    node = cluster.node(ON)
    node.run(str(PROGRAM), "install", "--resident")
    yield node
    cluster.pcs("property", "set", "stop-all-resources=true")  # no agent may be called while there is none
    cluster.settle()
    node.run(str(PROGRAM), "uninstall", "--force")  # refused while resources are configured
    node.run(str(PROGRAM), "install")


def recorded_in(node: Node) -> list[str]:
    """Return the cgroups that the hook ran in, in that order."""
    return node.run("cat", "/run/test/cgroups", check=False).splitlines()


def create_served(cluster: Cluster, node: Node) -> None:
    """Have the cluster run a service, and wait until the server performs its monitors."""
    node.run("mkdir", "-p", "/run/test")
    hook = cluster.hook("cgroup", "cat /proc/self/cgroup >>/run/test/cgroups; sleep 0.8")
    unit = cluster.service("served")
    cluster.create("served", "op", "monitor", "interval=1s", "timeout=20s", unit=unit, monitor_hook=hook)
    cluster.pcs("constraint", "location", "served", "prefers", ON)
    cluster.wait_until_runs("served", on=ON)
    cluster.wait_until(lambda _: any(line.endswith(SERVED_IN) for line in recorded_in(node)), 30, "it is served")


@contextmanager
def frozen(node: Node, after_s: float) -> Iterator[None]:
    """Have the server frozen so many seconds after the first start, until the end of the block."""
    node.sandbox.write("/run/test/freeze-after", f"{after_s}\n")
    try:
        yield
        assert node.run("cat", FREEZE) == "1"
    finally:
        node.sh(f"echo 0 >{FREEZE}")


class TestResident:
    @pytest.mark.fault(
        "The resident server is killed, restarted and stopped while monitors run.",
        "No action fails: the agents run the monitors in their own processes.",
    )
    def test_no_action_fails_for_its_sake(self, cluster: Cluster, node: Node) -> None:
        """Hooks run in the server's cgroup while it is there, in Pacemaker's when not; all the monitors succeed."""
        create_served(cluster, node)
        for command in DISTURBANCES:
            node.run("systemctl", *command)
            time.sleep(A_FEW_MONITORS_S)
        cluster.wait_until(lambda _: recorded_in(node)[-1].endswith(COLD_IN), 30, "it is cold")
        status = cluster.status()
        assert status.failures == ()
        assert status.runs_on("served") == ON

    @pytest.mark.fault(
        "The resident server is frozen during starts, and thawed after the stops that follow.",
        "No service starts after its stop, and no action fails.",
    )
    def test_frozen(self, cluster: Cluster, node: Node) -> None:
        """A server that was frozen during a start starts nothing later: units are started and stopped by the agents."""
        create_served(cluster, node)
        cluster.write("/usr/sbin/systemctl", SYSTEMCTL, 0o755)
        cluster.service("frozen@")
        units = {f"frozen{number}": f"frozen@{number}.service" for number in range(AT_ONCE)}
        cluster.pcs("constraint", "location", "regexp%frozen.*", "prefers", ON)
        cluster.add(Primitive(name, {"unit": unit}, {"target-role": "Stopped"}) for name, unit in units.items())
        cluster.settle()
        began = time.time()
        for rounds, after_s in enumerate(FREEZE_AFTER_S, start=1):
            with frozen(node, after_s):
                cluster.pcs("resource", "enable", *units)
                cluster.wait_until(lambda now: {now.runs_on(name) for name in units} == {ON}, 60, "all are started")
                cluster.pcs("resource", "disable", *units)
                # Not by their nodes: crm_mon shows none for a resource that is being stopped.
                stopped = lambda now: {now.resources[name].role for name in units} == {"Stopped"}  # noqa: E731
                cluster.wait_until(stopped, 60, "all are stopped")
            time.sleep(STALE_WITHIN_S)
            assert [unit for unit in units.values() if cluster.running_on(unit)] == []
            assert {len(runs_of(cluster, unit, began)) for unit in units.values()} == {rounds}
        status = cluster.settle()
        assert status.failures == ()
        assert status.runs_on("served") == ON
        calls = node.run("cat", "/run/test/calls").splitlines()
        assert [call for call in calls if not call.endswith(COLD_IN)] == []
