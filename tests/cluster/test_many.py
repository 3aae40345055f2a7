"""A hundred resources on one node: what they cost, and that none is forgotten."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.cluster.configuration import Primitive
from tests.cluster.pacemaker import DROP_INS, HOOKS, Cluster
from tests.cluster.pacemaker import cluster as boot_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

COUNT = 100
INTERVAL_S = 10
TIMEOUT_S = 20
WATCHED_S = 120
RELOADS_MAX = 5  # no unit needs one, unless systemd has not unloaded it yet
NAMES = [f"many{number}" for number in range(COUNT)]
AT_ONCE = (f"node-action-limit={COUNT}", "load-threshold=10000%")
AS_USUAL = ("node-action-limit=", "load-threshold=")
# All agents are of Pacemaker's session, and a session counts as much as any one process on this machine (sched(7), The
# autogroup feature): next to other tests they would get hardly any time. PID 1, which all query, must keep up.
COME_FIRST = """
for pid in 1 $(cat /sys/fs/cgroup/system.slice/pacemaker.service/cgroup.procs); do
    [ ! -e "/proc/$pid/autogroup" ] || echo -5 >"/proc/$pid/autogroup"
done
"""


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
    cluster.hook("many", 'read -r stat </proc/$PPID/stat; date +"$OCF_RESOURCE_INSTANCE %s.%N $stat" >>/run/test/ran')
    cluster.write("/etc/systemd/system/many@.service", "[Service]\nExecStart=sleep infinity\n")
    cluster.nodes[0].sh("mkdir -p /run/test; systemctl daemon-reload")
    cluster.nodes[0].sh(COME_FIRST)


def configure(cluster: Cluster, monitor_interval_s: int | None = None) -> None:
    """Have the cluster manage all resources, with this monitor or none."""
    parameters = {name: {"unit": f"many@{name}", "monitor_hook": f"{HOOKS}/many"} for name in NAMES}
    cluster.configure(
        Primitive(name, given, monitor_interval_s=monitor_interval_s) for name, given in parameters.items()
    )
    cluster.settle(180)


def start_all(cluster: Cluster) -> None:
    """Start all resources at once, as many at the same time as there are."""
    cluster.pcs("property", "set", *AT_ONCE)
    configure(cluster)
    cluster.wait_until(lambda now: all(now.runs_on(name) for name in NAMES), 180, "all are started")


def monitor_all(cluster: Cluster) -> None:
    """Monitor all resources, spread over time as Pacemaker does it."""
    cluster.pcs("property", "set", *AS_USUAL)
    configure(cluster, INTERVAL_S)


def reloads(cluster: Cluster) -> int:
    """Return how often systemd has reloaded its units."""
    messages = [entry.message for entry in cluster.nodes[0].journal("systemd") if entry.pid == "1"]
    return sum(message.startswith("Reloading.") for message in messages)


def cpu_s(cluster: Cluster) -> float:
    """Return the processor time that all of the node has used."""
    lines = dict(line.split() for line in cluster.nodes[0].run("cat", "/sys/fs/cgroup/cpu.stat").splitlines())
    return int(lines["usage_usec"]) / 1e6


@dataclass(frozen=True, slots=True)
class Look:
    """A monitor: when its agent began, and when the hook looked; in seconds since the epoch."""

    began_s: float
    looked_s: float


def looks(cluster: Cluster, since_s: float) -> dict[str, list[Look]]:
    """Return each resource's monitors, from what its hook wrote down: the time, and the agent's proc_pid_stat(5)."""
    booted_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found: dict[str, list[Look]] = {name: [] for name in NAMES}
    for line in cluster.nodes[0].run("cat", "/run/test/ran").splitlines():
        (name, looked_s), stat = line.split()[:2], line.rpartition(") ")[2].split()
        if float(looked_s) > since_s:
            began_s = booted_s + int(stat[19]) / os.sysconf("SC_CLK_TCK")
            found[name].append(Look(began_s, float(looked_s)))
    return {name: sorted(each, key=lambda look: look.looked_s) for name, each in found.items()}


def longest(spans: Iterable[float]) -> float:
    """Return the longest of some spans."""
    return max(spans, default=math.inf)


@dataclass(frozen=True, slots=True)
class Phase:
    """How long something took, and how often systemd reloaded its units for it."""

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
    cluster.wait_until(lambda now: not any(each.nodes for each in now.resources.values()), 180, "all are stopped")


class TestMany:
    def test_a_hundred(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        """In two minutes no monitor is missed, none fails; all start and stop at once, with a few daemon-reloads."""
        prepare(cluster)
        started = measure(cluster, start_all)
        monitor_all(cluster)
        used_s, began = cpu_s(cluster), time.time()
        time.sleep(WATCHED_S)
        used_s, ended = cpu_s(cluster) - used_s, time.time()
        monitors = looks(cluster, began).values()
        status = cluster.status()
        stopped = measure(cluster, stop_all)
        between_s = longest(b.looked_s - a.looked_s for each in monitors for a, b in pairwise(each))
        pause_s = longest(b.began_s - a.looked_s for each in monitors for a, b in pairwise(each))
        report(
            f"{COUNT} resources on one node: started in {started.elapsed_s:.1f} s, {started.reloads} daemon-reloads;\n"
            f"  stopped in {stopped.elapsed_s:.1f} s, {stopped.reloads} daemon-reloads;\n"
            f"  monitored every {INTERVAL_S} s they cost {used_s / (ended - began):.0%} of one core,\n"
            f"  Pacemaker and all else on the node included; from look to look at most {between_s:.1f} s"
        )
        assert status.failures == ()
        assert not any(status.fail_count(name) for name in NAMES)
        # Pacemaker's interval begins when the monitor before has ended: a pause of two would be one that was missed.
        assert pause_s < 2 * INTERVAL_S
        assert all(len(each) >= WATCHED_S // (2 * INTERVAL_S) for each in monitors)
        assert all(ended - each[-1].looked_s < INTERVAL_S + TIMEOUT_S for each in monitors)
        assert started.reloads <= RELOADS_MAX
        assert stopped.reloads <= RELOADS_MAX
        assert cluster.nodes[0].sh(f"ls {DROP_INS}", check=False) == ""
