"""Scenarios and audits after those of `cts-lab`, Pacemaker's suite for whole clusters, with resources of our agent.

cts-lab itself drives the nodes by ssh, and waits up to a minute for each message. A test's docstring names the tests
of cts-lab that it follows. Its audits are in `Cluster.audit` and `audit_as_cts`.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from tests.cluster.configuration import Primitive, resources
from tests.cluster.runs import overlaps, runs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

NAMES = ("first", "second", "third")
STACK = ("pacemaker", "corosync")
CORES = "ls /var/lib/pacemaker/cores/*/core* /var/lib/corosync/core* 2>/dev/null"


@pytest.fixture(autouse=True)
def began_s() -> float:
    """Return the time before the fixture `node` starts the services."""
    return time.time()


@pytest.fixture
def node(cluster: Cluster) -> Node:
    """Return the node on which the cluster runs a group of services."""
    units = {name: cluster.service(name) for name in NAMES}
    root = etree.fromstring(
        resources(Primitive(name, {"unit": unit}, monitor_interval_s=1) for name, unit in units.items())
    )
    primitives = list(root)
    etree.SubElement(root, "group", id="all").extend(primitives)
    xml = etree.tostring(root, encoding="unicode")
    cluster.nodes[0].run("cibadmin", "--replace", "--scope=resources", f"--xml-text={xml}")
    return cluster.node(cluster.wait_until_runs("third"))


def unit_of(name: str) -> str:
    return f"{name}.service"


def invocations(node: Node) -> dict[str, str]:
    """Return the id of the present run of each unit."""
    return {name: node.show(unit_of(name), "InvocationID") for name in NAMES}


def audit_as_cts(cluster: Cluster, began_s: float) -> Node:
    """Audit the cluster, and return the node that runs all services.

    As FileAudit, PrimitiveAudit, GroupAudit, PartitionAudit and CIBAudit do.
    """
    cluster.audit()
    status = cluster.status()
    (runs_on,) = {status.runs_on(name) for name in NAMES}
    assert runs_on, cluster.portrait()
    for name in NAMES:
        assert cluster.running_on(unit_of(name)) == [runs_on]
        runs = [run for run in runs_of(cluster, unit_of(name), began_s) if cluster.node(run.node).is_up]
        assert overlaps(runs) == []
    members = [node for node in cluster.up if node.name in status.online]
    assert {node.run("crm_node", "--partition") for node in members} == {members[0].run("crm_node", "--partition")}
    assert {node.run("crm_node", "--quorum") for node in members} == {"1"}
    assert len({node.run("cibadmin", "--query", "--local", "--scope=configuration") for node in members}) == 1
    assert [node.sh(CORES, check=False) for node in cluster.up] == ["" for _ in cluster.up]
    return cluster.node(runs_on)


def kill_and_wait(cluster: Cluster, node: Node, daemon: str) -> None:
    """Kill one of Pacemaker's daemons, and wait until Pacemaker has started it again."""
    pid = node.pid_of(daemon)
    node.run("kill", "-KILL", str(pid))
    is_back = lambda _: node.run("pidof", f"/usr/lib/pacemaker/{daemon}", check=False) not in {"", str(pid)}  # noqa: E731
    cluster.wait_until(is_back, 30, f"{daemon} is there again")


def has_come_to_rest(cluster: Cluster, since_s: float) -> bool:
    """Return whether a DC has had nothing left to do since then, by its log."""
    entries = [entry for node in cluster.up for entry in node.journal("pacemaker-controld", since_s=since_s)]
    return any("-> S_IDLE" in entry.message for entry in entries)


@contextmanager
def maintenance(cluster: Cluster) -> Iterator[None]:
    """Have the cluster in maintenance mode for the time of the block."""
    cluster.pcs("property", "set", "maintenance-mode=true")
    cluster.settle()
    try:
        yield
    finally:
        cluster.pcs("property", "set", "maintenance-mode=false")


class TestMembership:
    def test_flip_and_restart(self, cluster: Cluster, node: Node, began_s: float) -> None:
        """The services leave the node on which the cluster stack stops, and stay where they are when it starts again.

        cts-lab: Flip stops a node that runs or starts one that does not, Restart does both.
        """
        node.run("systemctl", "stop", *STACK)
        assert cluster.wait_until_runs("third", not_on=node.name) != node.name
        moved_to = audit_as_cts(cluster, began_s)
        assert node.sh("find /dev/shm -path '*/qb-*' -type f") == ""  # libqb may leave an empty directory
        before = invocations(moved_to)
        node.run("systemctl", "start", *STACK)
        cluster.wait_until_whole()
        assert audit_as_cts(cluster, began_s) == moved_to
        assert invocations(moved_to) == before
        assert cluster.status().failures == ()

    def test_standby(self, cluster: Cluster, node: Node, began_s: float) -> None:
        """No service runs on a node in standby; all of them run on another.

        cts-lab: Standby.
        """
        cluster.pcs("node", "standby", node.name)
        assert cluster.wait_until_runs("third", not_on=node.name) != node.name
        moved_to = audit_as_cts(cluster, began_s)
        before = invocations(moved_to)
        cluster.pcs("node", "unstandby", node.name)
        assert audit_as_cts(cluster, began_s) == moved_to
        assert invocations(moved_to) == before
        assert cluster.status().failures == ()


class TestResources:
    def test_maintenance(self, cluster: Cluster, node: Node, began_s: float) -> None:
        """In maintenance mode a failed resource is left alone; afterwards it is recovered.

        cts-lab: MaintenanceMode.
        """
        before = invocations(node)
        with maintenance(cluster):
            node.run("crm_resource", "--fail", "--resource=third", f"--node={node.name}")
            cluster.wait_until(lambda now: now.fail_count("third") > 0, 30, "the failure is known")
            cluster.settle()
            assert invocations(node) == before
        cluster.wait_until(lambda _: invocations(node)["third"] not in {before["third"], ""}, 30, "it is recovered")
        assert audit_as_cts(cluster, began_s) == node
        assert invocations(node) == before | {"third": invocations(node)["third"]}


class TestComponentFails:
    def test_without_the_node(self, cluster: Cluster, node: Node, began_s: float) -> None:
        """Daemons whose end does not take the node out of the cluster: no service is interrupted.

        cts-lab: ComponentFail, for pacemaker-attrd, pacemaker-fenced and pacemaker-schedulerd.
        """
        before = invocations(node)
        for daemon, where in (("attrd", node), ("fenced", node), ("schedulerd", cluster.node(cluster.status().dc))):
            kill_and_wait(cluster, where, f"pacemaker-{daemon}")
        cluster.wait_until_whole()
        assert audit_as_cts(cluster, began_s) == node
        assert invocations(node) == before

    def test_with_the_node(self, cluster: Cluster, node: Node, began_s: float) -> None:
        """The end of the controller: the node rejoins with its services, or is fenced and only then others take over.

        Which of both comes depends on whether the controller is back before another node has become the DC.
        cts-lab: ComponentFail, for pacemaker-controld, which also ends if pacemaker-based does. For pacemaker-execd:
        test_faults.
        """
        cluster.enable_fencing()
        before = invocations(node)
        killed_s = time.time()
        node.run("kill", "-KILL", str(node.pid_of("pacemaker-controld")))
        cluster.wait_until(lambda _: has_come_to_rest(cluster, killed_s), 60, "the cluster has reacted")
        if node.killed_at_s is None:
            cluster.wait_until_whole()
            assert audit_as_cts(cluster, began_s) == node
            assert invocations(node) == before
        else:
            cluster.wait_until_runs("third", not_on=node.name)
            moved_to = audit_as_cts(cluster, began_s)
            assert int(moved_to.show("first", "InactiveExitTimestampMonotonic")) / 1e6 > node.killed_at_s
