"""From Pacemaker's own `systemd:` class to ours, by the steps of docs/migrating.md, while the service runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.pages import reader, type_page
from tests.docs.commands import ROOT, read_page

if TYPE_CHECKING:
    from tests.cluster.pacemaker import Cluster

UNIT = "nginx.service"


class TestMigration:
    def test_the_service_runs_on(self, cluster: Cluster) -> None:
        """The resource changes its class, keeps its name and its main process, and is ours to stop from then on."""
        commands = read_page((ROOT / "docs/migrating.md").read_text(encoding="utf-8"))
        with reader(cluster):
            type_page(cluster, commands)  # which compares the main process before and after
            assert cluster.wait_until_runs("web") == "node1"
            status = cluster.status()
            cluster.pcs("resource", "disable", "web")
            stopped = lambda _: cluster.node("node1").show(UNIT, "ActiveState") == "inactive"  # noqa: E731
            cluster.wait_until(stopped, 30, "it is stopped")
        assert {status.resources[name].agent for name in ("web", "beacon")} == {"ocf:pacemaker:systemd"}
        assert status.failures == ()
