"""The agent is killed at every step of a start and of a stop, in every way: what Pacemaker does next puts it right.

One resource for each step and way, all at the same time: each agent is held at its step, and killed there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import pytest

from tests.cluster.configuration import Primitive
from tests.cluster.pacemaker import DROP_INS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster
    from tests.cluster.status import Status

# Holds an agent where it calls the last of the commands in its resource's file, after it has called those before.
HOLD = """\
#!/bin/sh
agent=$1
shift
file=/run/test/hold/$OCF_RESOURCE_INSTANCE
[ -e "$file" ] && read -r next rest <"$file" || exit 0
for word; do
    [ "$word" = "$next" ] || continue
    [ -z "$rest" ] || { echo "$rest" >"$file"; exit 0; }
    rm "$file"
    echo "$agent" >"/run/test/held/.$OCF_RESOURCE_INSTANCE"
    mv "/run/test/held/.$OCF_RESOURCE_INSTANCE" "/run/test/held/$OCF_RESOURCE_INSTANCE"
    while [ -d "/proc/$agent" ]; do sleep 0.1; done
    exit 1
done
"""
HOLD_PATH = "/usr/local/lib/ocf-systemd/hold"
SYSTEMCTL = f'#!/bin/sh\n{HOLD_PATH} "$PPID" "$@" || exit 1\nexec /usr/bin/systemctl "$@"\n'
HOOK = f'{HOLD_PATH} "$PPID" hook || exit 1'

# No daemon-reload: a start needs none of its own once another has had one. The tests of faults hold one there.
START_STEPS = ("show", "show show", "reset-failed", "start", "start show", "hook")
STOP_STEPS = ("stop", "stop show", "stop show show")
KILLS = {
    "alone": 'kill -KILL "$1"',
    "with-group": 'pkill -KILL --pgroup "$1"',
    "by-term": 'kill -TERM "$1"',
}
ON = "node1"


@dataclass(frozen=True, slots=True)
class Interruption:
    """One resource, whose agent is held at a step and killed there."""

    step: str
    kill: str

    @property
    def resource(self) -> str:
        """Its name."""
        return f"{self.step.replace(' ', '-')}-{self.kill}"

    @property
    def unit(self) -> str:
        """Its unit's."""
        return f"held@{self.resource}.service"


def create(cluster: Cluster, steps: Iterable[str]) -> tuple[Node, list[Interruption]]:
    """Have a disabled resource for each step and way to be killed, and all that holds their agents, on one node."""
    interruptions = [Interruption(step, kill) for step, kill in product(steps, KILLS)]
    cluster.pcs("property", "set", "start-failure-is-fatal=false")
    cluster.write(HOLD_PATH, HOLD, 0o755)
    cluster.write("/usr/sbin/systemctl", SYSTEMCTL, 0o755)
    hook = cluster.hook("held", HOOK)
    cluster.write("/etc/systemd/system/held@.service", "[Service]\nExecStart=sleep infinity\n")
    node = cluster.node(ON)
    node.run("systemctl", "daemon-reload")
    stopped = {"target-role": "Stopped"}
    cluster.configure(
        Primitive(each.resource, {"unit": each.unit, "monitor_hook": hook}, stopped) for each in interruptions
    )
    cluster.pcs("constraint", "location", "regexp%.*", "prefers", ON)
    cluster.settle()
    node.run("mkdir", "-p", "/run/test/hold", "/run/test/held")
    return node, interruptions


def kill_as_held(cluster: Cluster, node: Node, interruptions: Iterable[Interruption]) -> None:
    """Kill each agent as soon as it is at its step: one that holds the lock of daemon-reloads delays the others."""
    left, deadline = {each.resource: each for each in interruptions}, time.monotonic() + 60
    while left:
        for resource in node.run("ls", "/run/test/held").split():
            node.sh(KILLS[left.pop(resource).kill], node.run("cat", f"/run/test/held/{resource}"))
            node.run("rm", f"/run/test/held/{resource}")
        assert time.monotonic() < deadline, f"not at their steps: {sorted(left)}\n{cluster.portrait()}"
        time.sleep(0.1)


def kill_all(cluster: Cluster, node: Node, interruptions: Sequence[Interruption], change: str) -> Status:
    """Have the cluster start or stop all resources, kill every agent at its step, and wait until that is known."""
    for each in interruptions:
        node.sandbox.write(f"/run/test/hold/{each.resource}", f"{each.step}\n")
    cluster.pcs("resource", change, *(each.resource for each in interruptions))
    kill_as_held(cluster, node, interruptions)
    known = lambda now: all(now.fail_count(each.resource) for each in interruptions)  # noqa: E731
    return cluster.wait_until(known, 60, "Pacemaker knows that every agent failed")


class TestAgentKilledAtEachStep:
    @pytest.mark.fault(
        "The agent gets SIGTERM, or the agent or its process group gets SIGKILL, at each step of a start.",
        "After the stop and the start that follow, the unit runs, and its drop-in is loaded.",
    )
    def test_of_start(self, cluster: Cluster) -> None:
        """Whatever a start was about when its agent died, the stop and the start that follow put it right."""
        node, interruptions = create(cluster, START_STEPS)
        kill_all(cluster, node, interruptions, "enable")
        started = lambda now: all(now.runs_on(each.resource) == ON for each in interruptions)  # noqa: E731
        cluster.wait_until(started, 60, "all are started")
        for each in interruptions:
            assert node.show(each.unit, "ActiveState") == "active"
            assert node.show(each.unit, "DropInPaths") == f"/run/systemd/system/{each.unit}.d/zz-ocf-systemd.conf"
            assert cluster.status().fail_count(each.resource) == 1

    @pytest.mark.fault(
        "The agent gets SIGTERM, or the agent or its process group gets SIGKILL, at each step of a stop.",
        "After a cleanup the unit is down. After the next start and stop its drop-in is removed.",
    )
    def test_of_stop(self, cluster: Cluster) -> None:
        """At whatever step of a stop its agent died, the unit is down after a cleanup, and the next stop is complete.

        A unit that was already down when its agent died may keep its drop-in until then: after the cleanup Pacemaker
        has nothing to stop.
        """
        node, interruptions = create(cluster, STOP_STEPS)
        names, units = [each.resource for each in interruptions], [each.unit for each in interruptions]
        cluster.pcs("resource", "enable", *names)
        cluster.wait_until(lambda now: all(now.runs_on(name) == ON for name in names), 60, "all are started")
        kill_all(cluster, node, interruptions, "disable")
        status = cluster.settle()
        # There is no fencing, and so no proof that it is stopped.
        assert all(status.resources[name].is_blocked for name in names)
        cluster.pcs("resource", "cleanup")
        cluster.wait_until(lambda now: not any(now.resources[name].nodes for name in names), 60, "all are stopped")
        cluster.settle()
        assert [unit for unit in units if node.show(unit, "ActiveState") != "inactive"] == []
        cluster.pcs("resource", "enable", *names)
        cluster.wait_until(lambda now: all(now.runs_on(name) == ON for name in names), 60, "all are started again")
        cluster.pcs("resource", "disable", *names)
        cluster.wait_until(lambda now: not any(now.resources[name].nodes for name in names), 60, "all are stopped")
        assert cluster.settle().failures == ()
        assert [unit for unit in units if node.show(unit, "ActiveState") != "inactive"] == []
        assert node.sh(f"ls {DROP_INS}", check=False) == ""
