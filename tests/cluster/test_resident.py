"""The resident server under Pacemaker: it serves, and no action fails for its sake whatever becomes of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.cluster.node import PROGRAM

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


@pytest.fixture
def node(cluster: Cluster) -> Iterator[Node]:
    """Yield a node with the server; it has none afterwards, as all tests find it."""
    node = cluster.node(ON)
    node.run(str(PROGRAM), "install", "--resident")
    yield node
    cluster.pcs("property", "set", "stop-all-resources=true")  # no agent is to be called while there is none
    cluster.settle()
    node.run(str(PROGRAM), "uninstall")
    node.run(str(PROGRAM), "install")


def seen_in(node: Node) -> list[str]:
    """Return the cgroups that the hook ran in, in that order."""
    return node.run("cat", "/run/test/cgroups", check=False).splitlines()


class TestResident:
    @pytest.mark.fault(
        "the resident server killed, restarted, stopped under monitors", "no action fails: agents act by themselves"
    )
    def test_no_action_fails_for_its_sake(self, cluster: Cluster, node: Node) -> None:
        """Hooks run in the server's cgroup while it is there, in Pacemaker's when not; all the monitors succeed."""
        node.run("mkdir", "-p", "/run/test")
        hook = cluster.hook("cgroup", "cat /proc/self/cgroup >>/run/test/cgroups; sleep 0.8")
        unit = cluster.service("served")
        cluster.create("served", "op", "monitor", "interval=1s", "timeout=20s", unit=unit, monitor_hook=hook)
        cluster.pcs("constraint", "location", "served", "prefers", ON)
        cluster.wait_until_runs("served", on=ON)
        cluster.wait_until(lambda _: any(line.endswith(SERVED_IN) for line in seen_in(node)), 30, "it is served")
        for words in DISTURBANCES:
            node.run("systemctl", *words)
            time.sleep(A_FEW_MONITORS_S)
        status = cluster.status()
        assert status.failures == ()
        assert status.runs_on("served") == ON
        assert seen_in(node)[-1].endswith(COLD_IN)
