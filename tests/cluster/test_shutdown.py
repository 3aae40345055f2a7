"""A node that goes down stops its service through Pacemaker, not behind its back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.cluster.pacemaker import DROP_INS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cluster.journal import Entry
    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

POWER_OFF_WITHIN_S = 60.0


def create_slow(cluster: Cluster) -> Node:
    """Have the cluster run a service whose stop takes a second, so that the order shows; return its node."""
    unit = cluster.service("slow", "ExecStart=sleep infinity", "ExecStop=sleep 1")
    cluster.create("slow", "op", "monitor", "interval=1s", unit=unit)
    return cluster.node(cluster.wait_until_runs("slow"))


def order(entries: Sequence[Entry], *messages: str) -> list[float]:
    """Return when each of these messages came, as far as they came."""
    times = (next((each.time_s for each in entries if message in each.message), None) for message in messages)
    return [when for when in times if when is not None]


TOLD = "Stopping pacemaker.service"  # by systemd, which Pacemaker may have heard, and said so, a moment before
STEPS = (
    "Requesting local execution of stop operation for slow",
    "Stopping slow.service",
    "Stopped slow.service",
    "Result of stop operation for slow",
    "Stopped pacemaker.service",
)


def assert_stopped_through_pacemaker(node: Node, since_s: float) -> None:
    """Hold the journal's order against the only right one."""
    entries = [entry for entry in node.journal() if entry.time_s > since_s]
    times = order(entries, *STEPS)
    told = "\n".join(map(str, entries))
    assert len(times) == len(STEPS), told
    assert times == sorted(times), told
    (asked,) = order(entries, TOLD)
    assert asked < times[STEPS.index("Stopping slow.service")], told
    assert not any("monitor operation for slow" in entry.message and "ok" not in entry.message for entry in entries)


class TestShutdown:
    def test_power_off(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        """At `systemctl poweroff` the service outlives Pacemaker's wish to stop it, and no more; nothing hangs."""
        node = create_slow(cluster)
        began = time.time()
        node.power_off(POWER_OFF_WITHIN_S)
        report(f"systemctl poweroff of a node: off after {time.time() - began:.1f} s")
        assert_stopped_through_pacemaker(node, began)
        assert cluster.wait_until_runs("slow") != node.name
        assert cluster.status().fail_count("slow") == 0

    def test_pacemaker_stops(self, cluster: Cluster) -> None:
        """At `systemctl stop pacemaker` the service stops before Pacemaker does, and its drop-in goes with it."""
        node = create_slow(cluster)
        assert node.sh(f"ls {DROP_INS}") == "/run/systemd/system/slow.service.d/50-ocf-systemd.conf"
        began = time.time()
        node.run("systemctl", "stop", "pacemaker")
        node.wait_for_entry(lambda entry: entry.time_s > began and STEPS[-1] in entry.message, STEPS[-1])
        assert_stopped_through_pacemaker(node, began)
        assert node.sh(f"ls {DROP_INS}", check=False) == ""
        assert cluster.wait_until_runs("slow") != node.name
        assert cluster.status().fail_count("slow") == 0
        node.run("systemctl", "start", "pacemaker")
        cluster.wait_until_whole()
