"""A service that works, but not well, is shown and left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.status import Failure
from tests.versions import RELEASE

if TYPE_CHECKING:
    from tests.cluster.pacemaker import Cluster

DEGRADED = 190


class TestDegraded:
    def test_shown_and_not_counted(self, cluster: Cluster) -> None:
        """A hook's 190 shows as degraded, with its reason, counts no failure and touches nothing; so does its end."""
        hook = cluster.hook("queue", "code=$(cat /run/test/code 2>/dev/null); echo queue is long; exit ${code:-0}")
        unit = cluster.service("queue")
        cluster.create("queue", "op", "monitor", "interval=1s", unit=unit, monitor_hook=hook)
        node = cluster.node(cluster.wait_until_runs("queue"))
        before = node.show(unit, "InvocationID")
        node.sandbox.write("/run/test/code", str(DEGRADED))
        status = cluster.wait_until(lambda now: bool(now.failures), 30, "it shows as degraded")
        reason = f"hook queue: queue is long (exit {DEGRADED})"
        assert status.failures == (Failure("queue", "monitor", node.name, DEGRADED, RELEASE.complete, reason),)
        assert f"returned '{RELEASE.results[DEGRADED]}'" in node.run("crm_mon", "-1")
        assert status.runs_on("queue") == node.name
        assert status.fail_count("queue") == 0
        node.sandbox.write("/run/test/code", "0")
        node.run("crm_resource", "--cleanup", "--resource=queue")
        cluster.settle()
        status = cluster.wait_until(lambda now: not now.failures, 30, "it is well again")
        assert status.runs_on("queue") == node.name
        assert status.fail_count("queue") == 0
        assert node.show(unit, "InvocationID") == before
