"""Faults from outside: afterwards the service runs exactly once, and the audit after each test is clean."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.cluster.configuration import Primitive

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

SLOW_S = 2
SLOW_HOOK_S = 5
# Each step of a start and of a stop takes long enough to be interrupted in it.
SLOW_SERVICE = (f"ExecStartPre=sleep {SLOW_S}", "ExecStart=sleep infinity", f"ExecStop=sleep {SLOW_S}")
# The DC gives up an action whose end is not reported only after its timeout: no test may wait longer.
OPERATIONS = (
    *("op", "monitor", "interval=2s", "timeout=20s"),
    *("op", "start", "timeout=20s"),
    *("op", "stop", "timeout=10s"),
)


def create(cluster: Cluster, name: str, *lines: str, hook: str = "") -> str:
    """Have the cluster run a service; return its unit."""
    unit = cluster.service(name, *lines)
    cluster.create(name, *OPERATIONS, unit=unit, **({"monitor_hook": hook} if hook else {}))
    return unit


def agents(node: Node, action: str) -> list[int]:
    """Return the processes of agents that perform an action on a node."""
    pids = node.run("pgrep", "-f", f"resource.d/pacemaker/systemd {action}$", check=False)
    return [int(pid) for pid in pids.split()]


def wait_for_agent(
    cluster: Cluster, action: str, *, child: str = ".", but: Collection[tuple[str, int]] = ()
) -> tuple[Node, int]:
    """Wait until the agent performs an action, far enough to have started a child; return where, and its process.

    `child` is a pattern for the child's command line; `but` has nodes and processes of agents that do not count.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for node in cluster.up:
            for pid in agents(node, action):
                found = ["pgrep", "-P", str(pid), "-f", child]
                if (node.name, pid) not in but and node.sandbox.run(found).returncode == 0:
                    return node, pid
        time.sleep(0.02)
    pytest.fail(f"no agent performs {action}\n{cluster.portrait()}")


def begin(cluster: Cluster, action: str) -> tuple[Node, int]:
    """Have the cluster run a slow service, with a slow hook, and begin an action; return where, and its process."""
    hook = cluster.hook("slow", f"sleep {SLOW_HOOK_S}" if action == "monitor" else "exit 0")
    unit = create(cluster, "faulty", *(() if action == "monitor" else SLOW_SERVICE), hook=hook)
    if action == "start":
        return wait_for_agent(cluster, action)
    node = cluster.node(cluster.wait_until_runs("faulty"))
    if action == "stop":
        cluster.pcs("constraint", "location", "faulty", "avoids", node.name)
        return node, wait_until_stopping(cluster, node, unit)
    # One whose hook has just been started: that of another may end before the test comes to it.
    begun = {(each.name, pid) for each in cluster.up for pid in agents(each, action)}
    return wait_for_agent(cluster, action, child="hooks/slow", but=begun)


def wait_until_stopping(cluster: Cluster, node: Node, unit: str) -> int:
    """Wait until the unit stops; return the process of the agent that has it stop."""
    deadline = time.monotonic() + 30
    # It does so for two seconds: a look at all of the cluster may take one.
    while node.show(unit, "ActiveState") != "deactivating":
        assert time.monotonic() < deadline, f"{unit} does not stop\n{cluster.portrait()}"
        time.sleep(0.02)
    return wait_for_agent(cluster, "stop")[1]


class TestExecutorKilled:
    @pytest.mark.fault(
        "Pacemaker's executor gets SIGKILL in the middle of an action.",
        "The agent ignores that it cannot write its reason (EPIPE). The cluster recovers, and the service runs on one "
        "node.",
    )
    @pytest.mark.parametrize("action", ["start", "monitor", "stop"])
    def test_in_mid_action(self, cluster: Cluster, action: str) -> None:
        """Pacemaker's executor dies while the agent works: the agent tolerates it, and the cluster recovers.

        A controller that is back before the DC has missed it does not say what became of a start or a stop: the DC
        gives that up only after the action's timeout and cluster-delay, and after a stop it is then for the
        administrator to say that it may go on.
        """
        cluster.pcs("property", "set", "cluster-delay=5s")
        node, _ = begin(cluster, action)
        node.run("kill", "-KILL", str(node.pid_of("pacemaker-execd")))
        node.wait_for_entry(lambda entry: "pacemaker-execd" in entry.message and "9" in entry.message, "execd's end")
        cluster.wait_until_whole()
        if cluster.settle().resources["faulty"].is_blocked:
            cluster.pcs("resource", "cleanup", "faulty")
        runs_on = cluster.wait_until_runs("faulty")
        assert cluster.running_on("faulty.service") == [runs_on]


class TestAgentKilled:
    @pytest.mark.fault(
        "The agent gets SIGKILL during a start.", "The start counts as failed, and the service runs on another node."
    )
    def test_in_start(self, cluster: Cluster) -> None:
        """A start whose agent dies has failed: the service is stopped there and started on another node."""
        node, pid = begin(cluster, "start")
        node.run("kill", "-KILL", str(pid))
        runs_on = cluster.wait_until_runs("faulty")
        assert runs_on != node.name
        assert cluster.running_on("faulty.service") == [runs_on]

    @pytest.mark.fault(
        "The agent gets SIGKILL during a monitor.", "Pacemaker recovers the service. No process of the hook is left."
    )
    def test_in_monitor(self, cluster: Cluster) -> None:
        """A monitor whose agent dies has failed: the service is recovered, the killed agent's hook is gone."""
        node, pid = begin(cluster, "monitor")
        hook = node.run("pgrep", "-P", str(pid), "-f", "hooks/slow")
        node.run("kill", "-KILL", str(pid))
        cluster.wait_until(lambda now: now.fail_count("faulty") == 1, 30, "a failed monitor")
        runs_on = cluster.wait_until_runs("faulty")
        assert cluster.running_on("faulty.service") == [runs_on]
        cluster.wait_until(
            lambda _: hook not in node.run("pgrep", "-f", "hooks/slow", check=False).split(), 30, "no hook"
        )

    @pytest.mark.fault(
        "The agent gets SIGKILL during a stop.",
        "Pacemaker fences the node, and only then starts the service on another node.",
    )
    def test_in_stop(self, cluster: Cluster) -> None:
        """A stop whose agent dies is in doubt: the node is fenced, and only then the service starts elsewhere."""
        cluster.enable_fencing()
        node, pid = begin(cluster, "stop")
        node.run("kill", "-KILL", str(pid))
        cluster.wait_until(lambda _: not node.is_up, 60, f"{node.name} is fenced")
        runs_on = cluster.wait_until_runs("faulty", not_on=node.name)
        assert cluster.running_on("faulty.service") == [runs_on]


class TestDaemonReexec:
    @pytest.mark.fault(
        "daemon-reexec and daemon-reload run in a loop during starts, stops and monitors.", "No action fails."
    )
    def test_in_a_loop_under_load(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        """PID 1 that executes itself again all the time, and reloads, makes no action fail or return a wrong result."""
        names = [f"busy{number}" for number in range(4)]
        cluster.pcs("constraint", "location", "regexp%busy.*", "prefers", "node1")
        cluster.configure(Primitive(name, {"unit": cluster.service(name)}, monitor_interval_s=1) for name in names)
        for name in names:
            cluster.wait_until_runs(name)
        with in_a_loop(cluster.node("node1"), "systemctl daemon-reexec; systemctl daemon-reload"):
            for _ in range(2):
                cluster.pcs("resource", "disable", *names)
                cluster.wait_until(lambda now: not any(now.runs_on(name) for name in names), 60, "all are stopped")
                cluster.pcs("resource", "enable", *names)
                cluster.wait_until(lambda now: all(now.runs_on(name) for name in names), 60, "all are started")
            time.sleep(5)
        count = sum("Reexecuting" in entry.message for entry in cluster.node("node1").journal("systemd"))
        status = cluster.settle()
        report(f"{count} times daemon-reexec under starts, stops and monitors: {len(status.failures)} failures")
        assert count > 5
        assert status.failures == ()
        assert not any(status.fail_count(name) for name in names)


@contextmanager
def in_a_loop(node: Node, script: str) -> Iterator[None]:
    """Run a script over and over on a node for the time of the block."""
    loop = f"while [ ! -e /run/test/enough ]; do {script}; sleep 0.3; done"
    node.run("mkdir", "-p", "/run/test")
    process = subprocess.Popen(node.sandbox.command(["sh", "-c", loop]), stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        node.sandbox.write("/run/test/enough", "")
        process.wait(30)


class TestMonitorCancelled:
    @pytest.mark.fault(
        "Pacemaker cancels a monitor while its hook hangs.", "There is no failure, and no process of the hook is left."
    )
    def test_in_flight(self, cluster: Cluster) -> None:
        """Pacemaker kills a monitor that it no longer wants: no failure, and nothing of the hook's is left."""
        hook = cluster.hook("hanging", "[ ! -e /run/test/hang ] || sleep 1000")
        unit = create(cluster, "cancelled", hook=hook)
        node = cluster.node(cluster.wait_until_runs("cancelled"))
        node.sandbox.write("/run/test/hang", "")
        hangs = lambda _: node.sandbox.run(["pgrep", "-f", "sleep 1000"]).returncode == 0  # noqa: E731
        cluster.wait_until(hangs, 30, "the hook hangs")
        cluster.pcs("resource", "disable", "cancelled")
        cluster.wait_until(lambda _: node.show(unit, "ActiveState") == "inactive", 30, f"{unit} is stopped")
        status = cluster.settle()
        assert status.failures == ()
        assert status.fail_count("cancelled") == 0
        assert node.run("pgrep", "-f", "sleep 1000", check=False) == ""


class TestNodeLost:
    @pytest.mark.fault(
        "The node that runs the service dies.", "Pacemaker fences the node, and the service runs on another node."
    )
    def test_killed(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        """A node that dies is fenced, and its service starts on another."""
        cluster.enable_fencing()
        unit = create(cluster, "survivor")
        node = cluster.node(cluster.wait_until_runs("survivor"))
        began = time.time()
        node.kill()
        elsewhere = lambda now: now.runs_on("survivor") not in {"", node.name}  # noqa: E731
        runs_on = cluster.wait_until(elsewhere, 60, "it runs elsewhere").runs_on("survivor")
        report(f"node killed: its service runs on another after {time.time() - began:.1f} s")
        assert cluster.running_on(unit) == [runs_on]

    @pytest.mark.fault(
        "The network separates the node that runs the service from all other nodes.",
        "Pacemaker fences this node, and only then starts the service on another node.",
    )
    def test_cut_off_with_the_service(self, cluster: Cluster) -> None:
        """The node that runs the service is cut off: the others, with quorum, fence it, and only then start it."""
        cluster.enable_fencing()
        unit = create(cluster, "survivor")
        node = cluster.node(cluster.wait_until_runs("survivor"))
        rest = cluster.others(node.name)
        cluster.switch.split({each.number for each in rest}, {node.number})
        cluster.wait_until(lambda _: node.killed_at_s is not None, 60, f"{node.name} is fenced")
        runs_on = cluster.wait_until_runs("survivor", not_on=node.name)
        assert cluster.running_on(unit) == [runs_on]
        started_at_s = int(cluster.node(runs_on).show(unit, "InactiveExitTimestampMonotonic")) / 1e6
        assert node.killed_at_s is not None
        assert started_at_s > node.killed_at_s  # all nodes have the clock of this host

    @pytest.mark.fault(
        "The network separates a node that does not run the service from all other nodes.",
        "The service continues to run.",
    )
    def test_another_is_cut_off(self, cluster: Cluster) -> None:
        """A node that does not run the service is cut off and comes back: the service continues to run."""
        unit = create(cluster, "undisturbed")
        node = cluster.node(cluster.wait_until_runs("undisturbed"))
        before = node.show(unit, "InvocationID")
        gone = cluster.others(node.name)[0]
        cluster.switch.split({each.number for each in cluster.others(gone.name)}, {gone.number})
        cluster.wait_until(lambda now: gone.name not in now.online or node.name not in now.online, 60, "it is lost")
        assert cluster.running_on(unit) == [node.name]
        cluster.switch.heal()
        cluster.wait_until_whole()
        assert cluster.wait_until_runs("undisturbed") == node.name
        assert node.show(unit, "InvocationID") == before

    @pytest.mark.fault(
        "The network separates all nodes from each other.",
        "The service stops. When the network is repaired, the service runs on one node.",
    )
    def test_nobody_has_quorum(self, cluster: Cluster) -> None:
        """All nodes are cut off from each other: without quorum the service stops, and runs once after the repair."""
        unit = create(cluster, "quorate")
        node = cluster.node(cluster.wait_until_runs("quorate"))
        cluster.switch.split(*({each.number} for each in cluster.nodes))
        stopped = lambda _: node.show(unit, "ActiveState") == "inactive"  # noqa: E731
        cluster.wait_until(stopped, 60, "the service is stopped")
        assert cluster.running_on(unit) == []
        cluster.switch.heal()
        cluster.wait_until_whole()
        runs_on = cluster.wait_until_runs("quorate")
        assert cluster.running_on(unit) == [runs_on]
        assert cluster.status().fail_count("quorate") == 0
