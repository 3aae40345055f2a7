"""A hundred resources under a real Pacemaker: how busy they keep the machine with each of the agents."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.host import PROGRAM, SOCKET, Variant
from tests.bench.progress import report
from tests.bench.results import Busy, UnderPacemaker
from tests.cluster.configuration import Primitive
from tests.cluster.pacemaker import cluster as boot_cluster
from tests.system.agent import AGENT

if TYPE_CHECKING:
    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

RESOURCES = 100
INTERVAL_S = 10
WATCHED_S = 60.0
_SETTLE_S = 15.0  # until each resource has been monitored by the agent there is now
_DRAFT = str(Path(AGENT).with_name(".bench"))


def under_pacemaker(wrong: list[str]) -> UnderPacemaker:
    """Boot a cluster of one node, and measure it idle, then with each agent in the same place; note what failed."""
    report("booting a cluster")
    with boot_cluster(nodes=1) as cluster:
        node = cluster.nodes[0]
        cluster.settle()
        idle = _watch(node, "idle")
        _configure(cluster)
        variants = {}
        for variant in Variant:
            _select(node, variant)
            time.sleep(_SETTLE_S)
            variants[variant] = _watch(node, f"with the {variant} agent")
            wrong += [f"{variant}, under Pacemaker: {failure}" for failure in cluster.status().failures]
        return UnderPacemaker(RESOURCES, idle, variants)


def _configure(cluster: Cluster) -> None:
    hook = cluster.hook("trivial", "exit 0")
    cluster.write("/etc/systemd/system/many@.service", "[Service]\nExecStart=sleep infinity\n")
    cluster.nodes[0].run("systemctl", "daemon-reload")
    report(f"starting {RESOURCES} resources")
    cluster.configure(
        Primitive(f"many{number}", {"unit": f"many@{number}", "monitor_hook": hook}, monitor_interval_s=INTERVAL_S)
        for number in range(RESOURCES)
    )
    cluster.wait_until(
        lambda now: all(now.runs_on(f"many{number}") for number in range(RESOURCES)), 300, "all are started"
    )
    cluster.settle(180)


def _select(node: Node, variant: Variant) -> None:
    """Have another agent from the next monitor on; resources and their units go on as they are."""
    match variant:
        case Variant.SHELL:
            text = Path(__file__).with_name("shell_agent.sh").read_text(encoding="utf-8")
            node.sandbox.write(_DRAFT, text, 0o755)
            node.run("mv", "-f", _DRAFT, AGENT)
        case Variant.RESIDENT:
            node.run(str(PROGRAM), "install", "--resident", "--force")
        case Variant.COLD:
            node.run("mv", SOCKET, f"{SOCKET}.aside")


@dataclass(frozen=True, slots=True)
class _Clocks:
    """What has passed, been idle in the machine, and been used by the node; in seconds."""

    passed: float
    idle: float
    used: float


def _watch(node: Node, what: str) -> Busy:
    report(f"{RESOURCES} resources, {what}: {WATCHED_S:.0f} s")
    before = _clocks(node)
    time.sleep(WATCHED_S)
    after = _clocks(node)
    passed_s = after.passed - before.passed
    machine_s = passed_s * (os.cpu_count() or 1) - (after.idle - before.idle)
    return Busy(machine_s / passed_s, (after.used - before.used) / passed_s)


def _clocks(node: Node) -> _Clocks:
    # proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; what is stolen is not used here either.
    ticks = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    idle_s = (int(ticks[3]) + int(ticks[4]) + int(ticks[7])) / os.sysconf("SC_CLK_TCK")
    stat = Path(f"/proc/{node.sandbox.pid}/root/sys/fs/cgroup/cpu.stat").read_text(encoding="ascii")
    return _Clocks(time.monotonic(), idle_s, int(stat.split()[1]) / 1e6)
