"""From Pacemaker's own `systemd:` class to ours, by the steps of docs/pacemaker.md, while the service runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.pacemaker import Cluster


class TestMigration:
    def test_the_service_runs_on(self, cluster: Cluster) -> None:
        """The resource changes its class, keeps its name and its main process, and is ours to stop from then on."""
        unit = cluster.service("migrating")
        cluster.pcs("resource", "create", "mail", "systemd:migrating", "op", "monitor", "interval=2s")
        node = cluster.node(cluster.wait_until_runs("mail"))
        before = node.show(unit, "MainPID")
        cluster.pcs("property", "set", "maintenance-mode=true")
        node.run("crm_resource", "--wait")
        cluster.pcs("resource", "delete", "mail", "--force")
        cluster.pcs("resource", "refresh", "mail")
        cluster.create("mail", "op", "monitor", "interval=2s", unit="migrating")
        found = lambda seen: seen.runs_on("mail") == node.name and not seen.resources["mail"].is_orphaned  # noqa: E731
        cluster.wait_until(found, 30, "the probes have found it running")
        assert cluster.status().resources["mail"].agent == "ocf:pacemaker:systemd"
        cluster.pcs("property", "set", "maintenance-mode=")
        cluster.settle()
        assert cluster.wait_until_runs("mail") == node.name
        assert node.show(unit, "MainPID") == before
        assert cluster.status().failures == ()
        cluster.pcs("resource", "disable", "mail")
        cluster.wait_until(lambda _: node.show(unit, "ActiveState") == "inactive", 30, "it is stopped")
