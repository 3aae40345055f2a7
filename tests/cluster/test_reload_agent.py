"""Parameters that change while the service runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cluster.pacemaker import Cluster


class TestReloadAgent:
    def test_another_hook_restarts_nothing(self, cluster: Cluster) -> None:
        """With `pcs resource update` the next monitor runs the new hook, on the same main process."""
        first = cluster.hook("first", "mkdir -p /run/test; echo >>/run/test/first")
        second = cluster.hook("second", "echo >>/run/test/second")
        unit = cluster.service("changing")
        cluster.create("changing", "op", "monitor", "interval=1s", unit=unit, monitor_hook=first)
        node = cluster.node(cluster.wait_until_runs("changing"))
        before = node.show(unit, "MainPID")
        cluster.pcs("resource", "update", "changing", f"monitor_hook={second}")
        ran = lambda _: node.sandbox.run(["test", "-s", "/run/test/second"]).returncode == 0  # noqa: E731
        cluster.wait_until(ran, 30, "the new hook has run")
        cluster.settle()
        node.run("rm", "/run/test/first")
        node.run("rm", "/run/test/second")
        cluster.wait_until(ran, 30, "the new hook has run again")
        assert node.sandbox.run(["test", "-e", "/run/test/first"]).returncode != 0
        assert node.show(unit, "MainPID") == before
        assert cluster.status().runs_on("changing") == node.name
        messages = [entry.message for entry in node.journal("pacemaker-controld") if "changing on" in entry.message]
        assert any("reload-agent operation for changing" in message for message in messages)
        assert not any("stop operation for changing" in message for message in messages)

    def test_another_unit_restarts(self, cluster: Cluster) -> None:
        """With another `unit` the old one is stopped, by its name, before the new one is started."""
        old, new = cluster.service("old"), cluster.service("new")
        cluster.create("moving", "op", "monitor", "interval=2s", unit=old)
        node = cluster.node(cluster.wait_until_runs("moving"))
        cluster.pcs("resource", "update", "moving", f"unit={new}")
        runs = lambda _: any(each.show(new, "ActiveState") == "active" for each in cluster.up)  # noqa: E731
        cluster.wait_until(runs, 30, "the new unit runs")
        cluster.settle()
        assert {each.show(old, "ActiveState") for each in cluster.up} == {"inactive"}
        assert cluster.status().failures == ()
        assert node.sandbox.run(["ls", f"/run/systemd/system/{old}.d"]).returncode != 0

    @pytest.mark.parametrize(
        ("command", "has_failed", "restarts"),
        [
            pytest.param("cleanup", False, False, id="cleanup of all"),
            pytest.param("cleanup", True, True, id="cleanup of all after a failure"),
            pytest.param("cleanup changing", True, True, id="cleanup after a failure"),
            pytest.param("refresh changing", False, True, id="refresh"),
        ],
    )
    def test_discarded_record(self, cluster: Cluster, command: str, *, has_failed: bool, restarts: bool) -> None:
        """After a refresh, or the cleanup of a failure, the next change of a parameter restarts the service, once."""
        unit = cluster.service("changing")
        cluster.create("changing", "op", "monitor", "interval=1s", unit=unit)
        node = cluster.node(cluster.wait_until_runs("changing"))
        if has_failed:
            node.run("systemctl", "kill", "--signal=KILL", unit)
            cluster.wait_until(lambda status: bool(status.failures), 30, "it has failed")
            node = cluster.node(cluster.wait_until_runs("changing"))
        before = node.show(unit, "MainPID")
        cluster.pcs("resource", *command.split())
        cluster.wait_until(lambda status: not status.failures, 30, "nothing has failed")
        cluster.wait_until_runs("changing")
        assert node.show(unit, "MainPID") == before
        cluster.pcs("resource", "update", "changing", "poll_interval=2s")
        cluster.settle()
        after = node.show(unit, "MainPID")
        assert (after != before) is restarts
        cluster.pcs("resource", "update", "changing", "poll_interval=3s")
        cluster.settle()
        assert node.show(unit, "MainPID") == after
