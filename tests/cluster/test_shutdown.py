"""A node that goes down stops its service through Pacemaker, not without it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.cluster.configuration import Primitive
from tests.cluster.pacemaker import DROP_INS
from tests.cluster.runs import overlaps, runs_of
from tests.versions import RELEASE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cluster.journal import Entry
    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

POWER_OFF_WITHIN_S = 60.0
RESTART_WITHIN_S = 20.0
GENERATOR_S = 2
RELOADS_MAX = 6  # of ten stops at once: those that wait for a daemon-reload share one
SLOW = ("ExecStart=sleep infinity", "ExecStop=sleep 1")
TEN = {f"ten{number}": SLOW if number % 2 else () for number in range(10)}


def create_slow(cluster: Cluster) -> Node:
    """Have the cluster run a service whose stop takes a second, so that the order shows; return its node."""
    unit = cluster.service("slow", *SLOW)
    cluster.create("slow", "op", "monitor", "interval=1s", unit=unit)
    return cluster.node(cluster.wait_until_runs("slow"))


def order(entries: Sequence[Entry], *messages: str) -> list[float]:
    """Return when each of these messages came, as far as they came."""
    times = (next((each.time_s for each in entries if message in each.message), None) for message in messages)
    return [when for when in times if when is not None]


TOLD = "Stopping pacemaker.service"  # logged by systemd, possibly a moment after Pacemaker has reacted
STOPPED = "Stopped pacemaker.service"


def assert_stopped_through_pacemaker(node: Node, since_s: float, *names: str) -> None:
    """Hold the journal's order against the only right one, for each of these resources."""
    entries = [entry for entry in node.journal() if entry.time_s > since_s]
    journal = "\n".join(map(str, entries))
    for name in names:
        steps = (
            f"Requesting local execution of stop operation for {name} ",
            f"Stopping {name}.service",
            f"Stopped {name}.service",
            f"Result of stop operation for {name} on {node.name}: {RELEASE.results[0]}",
            STOPPED,
        )
        times = order(entries, *steps)
        assert len(times) == len(steps), f"{name}: {journal}"
        assert times == sorted(times), f"{name}: {journal}"
        (requested,) = order(entries, TOLD)
        assert requested < times[1], f"{name}: {journal}"
        monitored = [entry.message for entry in entries if f"monitor operation for {name} " in entry.message]
        assert [message for message in monitored if RELEASE.results[0] not in message] == []


class TestShutdown:
    def test_power_off(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        """At `systemctl poweroff` the service runs until Pacemaker stops it, and no longer; nothing hangs."""
        node = create_slow(cluster)
        began = time.time()
        node.power_off(POWER_OFF_WITHIN_S)
        report(f"systemctl poweroff of a node: off after {time.time() - began:.1f} s")
        assert_stopped_through_pacemaker(node, began, "slow")
        assert cluster.wait_until_runs("slow") != node.name
        assert cluster.status().fail_count("slow") == 0

    @pytest.mark.fault(
        "`systemctl poweroff` shuts down a node that runs ten services, and each daemon-reload takes 2 s.",
        "Pacemaker stops all ten services before it ends itself, with at most six daemon-reloads. No stop fails. Each "
        "service then runs on one other node.",
    )
    def test_power_off_with_ten(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        """At `systemctl poweroff` ten services are stopped by Pacemaker at the same time, and share daemon-reloads.

        Another unit, which the shutdown does not stop, names them: without that systemd would unload them once they are
        down, and need no daemon-reload to forget their drop-ins.
        """
        node = cluster.node("node1")
        units = {name: cluster.service(name, *lines) for name, lines in TEN.items()}
        ordered = f"[Unit]\nDefaultDependencies=no\nAfter={' '.join(units.values())}\n"
        cluster.write("/etc/systemd/system/naming.service", f"{ordered}[Service]\nExecStart=sleep infinity\n")
        node.run("systemctl", "start", "naming.service")
        cluster.pcs("constraint", "location", "regexp%ten.*", "prefers", node.name)
        cluster.configure(Primitive(name, {"unit": unit}, monitor_interval_s=10) for name, unit in units.items())
        cluster.wait_until(lambda now: {now.runs_on(name) for name in units} == {node.name}, 60, "all are started")
        cluster.settle()
        node.sandbox.write("/etc/systemd/system-generators/slow", f"#!/bin/sh\nsleep {GENERATOR_S}\n", 0o755)
        began = time.time()
        node.power_off(POWER_OFF_WITHIN_S)
        messages = [entry.message for entry in node.journal("systemd", since_s=began)]
        reloads = [message for message in messages if message.startswith("Reloading.")]
        report(f"systemctl poweroff of a node with ten: off after {time.time() - began:.1f} s, {len(reloads)} reloads")
        assert_stopped_through_pacemaker(node, began, *units)
        assert 0 < len(reloads) <= RELOADS_MAX
        cluster.wait_until(lambda now: all(map(now.runs_on, units)), 60, "all run elsewhere")
        status = cluster.settle()
        assert status.failures == ()
        for name, unit in units.items():
            assert cluster.running_on(unit) == [status.runs_on(name)]
            assert overlaps(runs_of(cluster, unit)) == []

    def test_pacemaker_stops(self, cluster: Cluster) -> None:
        """At `systemctl stop pacemaker` the service stops before Pacemaker does, and its drop-in goes with it."""
        node = create_slow(cluster)
        assert node.sh(f"ls {DROP_INS}") == "/run/systemd/system/slow.service.d/zz-ocf-systemd.conf"
        began = time.time()
        node.run("systemctl", "stop", "pacemaker")
        node.wait_for_entry(lambda entry: entry.time_s > began and STOPPED in entry.message, STOPPED)
        assert_stopped_through_pacemaker(node, began, "slow")
        assert node.sh(f"ls {DROP_INS}", check=False) == ""
        assert cluster.wait_until_runs("slow") != node.name
        assert cluster.status().fail_count("slow") == 0
        node.run("systemctl", "start", "pacemaker")
        cluster.wait_until_whole()

    @pytest.mark.fault(
        "`systemctl restart pacemaker` runs on a node that runs a service.",
        "The service stops before Pacemaker ends, without a deadlock. No stop fails, and the service then runs on one "
        "node.",
    )
    def test_pacemaker_restarts(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        """At `systemctl restart pacemaker`, which queues a restart job, the service stops before Pacemaker as well."""
        created = time.time()
        node = create_slow(cluster)
        began = time.time()
        node.run("systemctl", "restart", "pacemaker")
        elapsed_s = time.time() - began
        report(f"systemctl restart pacemaker: {elapsed_s:.1f} s")
        node.wait_for_entry(lambda entry: entry.time_s > began and STOPPED in entry.message, STOPPED)
        assert_stopped_through_pacemaker(node, began, "slow")
        assert elapsed_s < RESTART_WITHIN_S
        cluster.wait_until_whole()
        runs_on = cluster.wait_until_runs("slow")
        assert cluster.running_on("slow.service") == [runs_on]
        assert overlaps(runs_of(cluster, "slow.service", created)) == []
        assert cluster.status().failures == ()
