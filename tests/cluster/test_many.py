"""A hundred resources on one node: what they cost, and that none is forgotten."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.cluster.pacemaker import DROP_INS, HOOKS, Cluster
from tests.cluster.pacemaker import cluster as boot_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COUNT = 100
INTERVAL_S = 10
WATCHED_S = 120
NAMES = [f"many{number}" for number in range(COUNT)]
RESOURCE = """\
<primitive id="{name}" class="ocf" provider="pacemaker" type="systemd">
  <instance_attributes id="{name}-parameters">
    <nvpair id="{name}-unit" name="unit" value="many@{name}.service"/>
    <nvpair id="{name}-hook" name="monitor_hook" value="{hook}"/>
  </instance_attributes>
  <operations>
    <op id="{name}-probe" name="monitor" interval="0s" timeout="100s"/>
    <op id="{name}-start" name="start" interval="0s" timeout="100s"/>
    <op id="{name}-stop" name="stop" interval="0s" timeout="100s"/>
    {monitor}
  </operations>
</primitive>
"""
MONITOR = f'<op id="{{name}}-monitor" name="monitor" interval="{INTERVAL_S}s" timeout="20s"/>'
AT_ONCE = (f"node-action-limit={COUNT}", "load-threshold=10000%")
AS_USUAL = ("node-action-limit=", "load-threshold=")


@pytest.fixture(scope="module")
def one_node() -> Iterator[Cluster]:
    with boot_cluster(nodes=1) as booted:
        yield booted


@pytest.fixture
def cluster(one_node: Cluster) -> Iterator[Cluster]:
    yield one_node
    one_node.clean()


def prepare(cluster: Cluster) -> None:
    """Have what the resources need."""
    cluster.hook("many", 'date +"$OCF_RESOURCE_INSTANCE %s.%N" >>/run/test/ran')
    cluster.write("/etc/systemd/system/many@.service", "[Service]\nExecStart=sleep infinity\n")
    cluster.nodes[0].sh("mkdir -p /run/test; systemctl daemon-reload")


def configure(cluster: Cluster, monitor: str = "") -> None:
    """Have the cluster manage all resources, with this monitor or none."""
    hook = f"{HOOKS}/many"
    resources = (RESOURCE.format(name=name, hook=hook, monitor=monitor.format(name=name)) for name in NAMES)
    xml = f"<resources>{''.join(resources)}</resources>"
    cluster.nodes[0].run("cibadmin", "--replace", "--scope=resources", f"--xml-text={xml}")
    cluster.settle(180)


def start_all(cluster: Cluster) -> None:
    """Start all resources at once, as many at the same time as there are."""
    cluster.pcs("property", "set", *AT_ONCE)
    configure(cluster)
    cluster.wait_until(lambda seen: all(seen.runs_on(name) for name in NAMES), 180, "all are started")


def monitor_all(cluster: Cluster) -> None:
    """Monitor all resources, spread over time as Pacemaker does it."""
    cluster.pcs("property", "set", *AS_USUAL)
    configure(cluster, MONITOR)


def reloads(cluster: Cluster) -> int:
    """Return how often systemd has read its units anew."""
    said = [entry.message for entry in cluster.nodes[0].journal("systemd") if entry.pid == "1"]
    return said.count("Reloading.")


def cpu_s(cluster: Cluster) -> float:
    """Return the processor time that all of the node has used."""
    lines = dict(line.split() for line in cluster.nodes[0].run("cat", "/sys/fs/cgroup/cpu.stat").splitlines())
    return int(lines["usage_usec"]) / 1e6


def longest_gaps(cluster: Cluster, began: float, ended: float) -> dict[str, float]:
    """Return each resource's longest time without a monitor."""
    looks: dict[str, list[float]] = {name: [began, ended] for name in NAMES}
    for line in cluster.nodes[0].run("cat", "/run/test/ran").splitlines():
        name, when = line.split()
        if began < float(when) < ended:
            looks[name].append(float(when))
    gaps = {}
    for name, times in looks.items():
        times.sort()
        gaps[name] = max(later - earlier for earlier, later in pairwise(times))
    return gaps


@dataclass(frozen=True, slots=True)
class Phase:
    """How long something took, and how often systemd read its units anew for it."""

    elapsed_s: float
    reloads: int


def measure(cluster: Cluster, change: Callable[[Cluster], None]) -> Phase:
    """Measure a change until nothing is left to do."""
    before, began = reloads(cluster), time.time()
    change(cluster)
    elapsed_s = time.time() - began
    cluster.settle()
    return Phase(elapsed_s, reloads(cluster) - before)


def stop_all(cluster: Cluster) -> None:
    """Stop all resources at once."""
    cluster.pcs("property", "set", "stop-all-resources=true", *AT_ONCE)
    cluster.wait_until(lambda seen: not any(each.nodes for each in seen.resources.values()), 180, "all are stopped")


class TestMany:
    def test_a_hundred(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        """For two minutes no monitor is missed, none fails; all start at once, and stop, with a daemon-reload each."""
        prepare(cluster)
        started = measure(cluster, start_all)
        monitor_all(cluster)
        used_s, began = cpu_s(cluster), time.time()
        time.sleep(WATCHED_S)
        used_s, ended = cpu_s(cluster) - used_s, time.time()
        gap_s = max(longest_gaps(cluster, began, ended).values())
        status = cluster.status()
        stopped = measure(cluster, stop_all)
        report(
            f"{COUNT} resources on one node: started in {started.elapsed_s:.1f} s, {started.reloads} daemon-reloads;\n"
            f"  stopped in {stopped.elapsed_s:.1f} s, {stopped.reloads} daemon-reloads;\n"
            f"  monitored every {INTERVAL_S} s they cost {used_s / (ended - began):.0%} of one core,\n"
            f"  Pacemaker and all else on the node included; longest time without a monitor {gap_s:.1f} s"
        )
        assert status.failures == ()
        assert not any(status.fail_count(name) for name in NAMES)
        assert gap_s < 2 * INTERVAL_S  # an interval begins when the monitor before has ended
        assert started.reloads <= COUNT
        assert stopped.reloads <= COUNT
        assert cluster.nodes[0].sh(f"ls {DROP_INS}", check=False) == ""
