"""`crm_mon` shows the agent's reason for a failure, and the cluster counts the failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.pacemaker import HOOKS
from tests.versions import RELEASE

if TYPE_CHECKING:
    from tests.cluster.pacemaker import Cluster

INFINITY = 1_000_000  # Pacemaker's; a failed start counts as that (start-failure-is-fatal)
EVERYWHERE = ["node1", "node2", "node3"]


def mon(cluster: Cluster) -> str:
    """Return what an administrator sees."""
    return cluster.up[0].run("crm_mon", "-1", "--failcounts")


class TestReasons:
    def test_failed_start(self, cluster: Cluster) -> None:
        """A start that fails has the unit's last log line in its reason; it is tried on each node once."""
        unit = cluster.service("unlicensed", "Type=oneshot", "ExecStart=sh -c 'echo no licence found; exit 3'")
        cluster.create("unlicensed", unit=unit)
        status = cluster.wait_until(lambda now: len(now.failures) == 3, 60, "the start has failed everywhere")
        reason = f"{unit} failed: exit-code, status 3: no licence found"
        assert sorted(failure.node for failure in status.failures) == EVERYWHERE
        for failure in status.failures:
            assert (failure.action, failure.code, failure.status) == ("start", 1, RELEASE.complete)
            assert failure.reason == reason
        assert status.fail_counts == {("unlicensed", node): INFINITY for node in EVERYWHERE}
        assert reason in mon(cluster)

    @pytest.mark.fault(
        "A hook hangs.", "crm_mon shows the agent's reason, because the agent returns before Pacemaker's timeout."
    )
    def test_hanging_hook(self, cluster: Cluster) -> None:
        """The agent reports a hook that hangs in time; Pacemaker's own timeout does not expire."""
        hook = cluster.hook("hangs-once", "rm /run/test/hang 2>/dev/null || exit 0; sleep 1000")
        unit = cluster.service("hangs")
        cluster.create("hangs", "op", "monitor", "interval=2s", "timeout=4s", unit=unit, monitor_hook=hook)
        node = cluster.node(cluster.wait_until_runs("hangs"))
        node.sandbox.write("/run/test/hang", "")
        status = cluster.wait_until(lambda now: bool(now.failures), 30, "the hang is noticed")
        (failure,) = status.failures
        assert (failure.action, failure.code, failure.status) == ("monitor", 1, RELEASE.complete)
        assert failure.reason.startswith("hook hangs-once: timed out after ")
        assert cluster.wait_until_runs("hangs") == node.name
        assert cluster.status().fail_count("hangs") == 1
        assert "did not complete within" not in mon(cluster)

    def test_missing_hook(self, cluster: Cluster) -> None:
        """A hook that vanishes makes a node unfit: the service moves to one that has the hook."""
        hook = cluster.hook("vanishes", "exit 0")
        unit = cluster.service("hooked")
        cluster.create("hooked", "op", "monitor", "interval=2s", unit=unit, monitor_hook=hook)
        node = cluster.node(cluster.wait_until_runs("hooked"))
        node.run("rm", hook)
        cluster.wait_until(lambda now: now.runs_on("hooked") not in {"", node.name}, 60, "it has moved")
        (failure,) = cluster.settle().failures
        assert (failure.action, failure.node, failure.code) == ("monitor", node.name, 5)
        assert failure.reason == "hook vanishes: cannot be run: No such file or directory"

    def test_hook_that_never_was(self, cluster: Cluster) -> None:
        """A hook that is on no node keeps the service from starting, with that reason."""
        cluster.create("unhooked", unit=cluster.service("unhooked"), monitor_hook=f"{HOOKS}/none")
        status = cluster.wait_until(lambda now: len(now.failures) == 3, 60, "the start has failed everywhere")
        assert sorted(failure.node for failure in status.failures) == EVERYWHERE
        for failure in status.failures:
            assert (failure.action, failure.code) == ("start", 5)
            assert failure.reason == "hook none: cannot be run: No such file or directory"
        assert set(status.fail_counts.values()) == {INFINITY}

    def test_missing_unit(self, cluster: Cluster) -> None:
        """A unit that no node has is not found at start, while its probes leave no failure behind."""
        cluster.create("nobody", unit="nobody-has-this")
        status = cluster.wait_until(lambda now: len(now.failures) == 3, 60, "the start has failed everywhere")
        assert {(each.action, each.code) for each in status.failures} == {("start", 5)}
        assert {each.reason for each in status.failures} == {"nobody-has-this.service not found"}

    def test_probes_of_nodes_that_have_nothing(self, cluster: Cluster) -> None:
        """Probes on nodes with neither unit nor hook do not fail; the service runs where it can."""
        hook, unit = cluster.hook("local", "exit 0"), cluster.service("local")
        for node in cluster.others("node2"):
            node.run("rm", hook, f"/etc/systemd/system/{unit}")
            node.run("systemctl", "daemon-reload")
        cluster.create("local", "--disabled", unit=unit, monitor_hook=hook)
        cluster.pcs("constraint", "location", "local", "prefers", "node2")
        cluster.pcs("resource", "enable", "local")
        cluster.wait_until_runs("local", on="node2")
        status = cluster.status()
        assert status.failures == ()
        assert status.fail_count("local") == 0
