"""A hundred resources under a real Pacemaker: how busy they keep the machine, by the way that they are managed."""

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


IDLE, SYSTEMD_CLASS = "no resources", "`systemd:` class"


def under_pacemaker(wrong: list[str]) -> UnderPacemaker:
    """Boot a cluster of one node; measure it idle, with the class `systemd:`, and with each agent in the same place.

    What fails is added to `wrong`.
    """
    report("booting a cluster")
    with boot_cluster(nodes=1) as cluster:
        node = cluster.nodes[0]
        cluster.settle()
        busy = {IDLE: _watch(node, IDLE)}

        def measure(name: str) -> None:
            time.sleep(_SETTLE_S)
            busy[name] = _watch(node, name)
            wrong.extend(f"{name}, under Pacemaker: {failure}" for failure in cluster.status().failures)

        _start(cluster, [_systemd_resource(number) for number in range(RESOURCES)])
        measure(SYSTEMD_CLASS)
        cluster.clean()
        hook = cluster.hook("trivial", "exit 0")
        _start(cluster, [_resource(number, hook) for number in range(RESOURCES)])
        for variant in Variant:
            _select(node, variant)
            measure(variant)
        return UnderPacemaker(RESOURCES, INTERVAL_S, busy)


def _systemd_resource(number: int) -> Primitive:
    unit = f"many@{number}"
    return Primitive(f"class{number}", {}, monitor_interval_s=INTERVAL_S, systemd_unit=unit)


def _resource(number: int, hook: str) -> Primitive:
    parameters = {"unit": f"many@{number}", "monitor_hook": hook}
    return Primitive(f"many{number}", parameters, monitor_interval_s=INTERVAL_S)


def _start(cluster: Cluster, resources: list[Primitive]) -> None:
    report(f"starting {len(resources)} resources")
    cluster.write("/etc/systemd/system/many@.service", "[Service]\nExecStart=sleep infinity\n")
    cluster.nodes[0].run("systemctl", "daemon-reload")
    cluster.configure(resources)
    cluster.wait_until(lambda now: all(now.runs_on(each.name) for each in resources), 300, "all are started")
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
    report(f"{what}: {WATCHED_S:.0f} s")
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
