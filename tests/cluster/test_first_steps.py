"""The newcomer's path: from a checkout to a service whose hang Pacemaker notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.pages import reader, type_page
from tests.docs.checkout import fetch_wheels
from tests.docs.commands import ROOT, read_page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.pacemaker import Cluster

MOST_COMMANDS = 10
COMMANDS = read_page((ROOT / "docs/first-steps.md").read_text(encoding="utf-8"))


class TestFirstSteps:
    def test_few(self) -> None:
        """There are at most ten commands."""
        assert sum(len(each.lines) for each in COMMANDS if each.are_shown) <= MOST_COMMANDS

    def test_a_hang_is_noticed(self, cluster: Cluster, tmp_path: Path) -> None:
        """Typed as they stand in docs/first-steps.md they have a service monitored; its hang is noticed, and mended."""
        with reader(cluster, fetch_wheels(tmp_path)):
            type_page(cluster, COMMANDS)
            runs_on = cluster.wait_until_runs("web")
            status = cluster.status()
        assert status.resources["web"].agent == "ocf:pacemaker:systemd"
        monitors = {(each.node, each.code) for each in status.operations if each.resource == "web" and each.interval_s}
        assert (runs_on, 0) in monitors
        (failure,) = status.failures_of("web")
        assert (failure.action, failure.node, failure.code) == ("monitor", "node1", 1)
        assert "no complete answer" in failure.reason
