"""The point of it all: a service that hangs, which systemd calls active."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.cluster.pacemaker import AGENT, HOOKS
from tests.versions import RELEASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster
    from tests.cluster.status import Status

POSTFIX = f"{RELEASE.postfix}.service"
INTERVAL_S = 5.0
HOOK_S = 2.0
SLACK_S = 2.0  # the agent's own time, Pacemaker's, and that of a busy machine
OURS, SYSTEMDS = "mail", "mail-systemd"


def create_both(cluster: Cluster) -> None:
    """Manage postfix by our agent on two nodes, by Pacemaker's own systemd class on the third."""
    operations = ("op", "monitor", f"interval={INTERVAL_S:.0f}s", "timeout=20s")
    meta = ("meta", "migration-threshold=1", "--disabled")
    cluster.create(OURS, *operations, *meta, unit=RELEASE.postfix, **smtp_hook(cluster))
    cluster.pcs("resource", "create", SYSTEMDS, f"systemd:{RELEASE.postfix}", *operations, *meta)
    # One unit, two ways to manage it: neither may be probed on the node of the other.
    for name, node, score in ((OURS, "node1", "100"), (OURS, "node2", "50"), (SYSTEMDS, "node3", "100")):
        rule = ("constraint", "location", "add", f"{name}-{node}", name, node, score)
        cluster.pcs(*rule, "resource-discovery=exclusive")
    cluster.pcs("resource", "enable", OURS, SYSTEMDS)


def smtp_hook(cluster: Cluster) -> dict[str, str]:
    """Have the SMTP hook on all nodes and return the parameters that name it."""
    return {"monitor_hook": cluster.example_hook("smtp"), "monitor_hook_args": f"127.0.0.1 25 {HOOK_S:.0f}"}


def responds(node: Node) -> bool:
    """Connect to the mail server, without Pacemaker."""
    return node.sandbox.run([f"{HOOKS}/smtp", "127.0.0.1", "25", f"{HOOK_S:.0f}"]).returncode == 0


def stop_all_processes(node: Node) -> float:
    """Have all of the service's processes hang; return when."""
    node.run("systemctl", "kill", "--signal=STOP", POSTFIX)
    assert not responds(node)
    assert node.show(POSTFIX, "ActiveState") == "active"
    return time.time()


def noticed_at(node: Node, resource: str, since_s: float) -> float:
    """Return when Pacemaker recorded a failed monitor, from then on."""
    entry = node.wait_for_entry(
        lambda entry: (
            entry.time_s > since_s
            and entry.identifier == "pacemaker-controld"
            and f"Result of monitor operation for {resource} on {node.name}: {RELEASE.results[1]}" in entry.message
        ),
        f"a failed monitor of {resource}",
    )
    return entry.time_s


def table(noticed_s: float, recovered_s: float, watched_s: float, after: Status) -> str:
    """Put both ways to manage the service side by side."""
    ours, theirs = f"Started {after.runs_on(OURS)}", f"Started {after.runs_on(SYSTEMDS)}"
    return "\n".join(
        (
            f"postfix hangs, monitored every {INTERVAL_S:.0f} s | {AGENT:<22} | systemd:{RELEASE.postfix}",
            f"  Pacemaker notices after             | {f'{noticed_s:.1f} s':<22} | not within {watched_s:.1f} s",
            f"  it responds again after             | {f'{recovered_s:.1f} s':<22} | not within {watched_s:.1f} s",
            f"  Pacemaker reports then              | {ours:<22} | {theirs}",
            f"  fail count                          | {after.fail_count(OURS):<22} | {after.fail_count(SYSTEMDS)}",
        )
    )


class TestHang:
    @pytest.mark.fault(
        "All processes of the service get SIGSTOP.",
        "The hook detects the hang within the monitor's interval plus the time that the hook takes. The service then "
        "runs on another node, and responds.",
    )
    def test_noticed_by_the_hook_alone(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        """A hung postfix is detected within an interval plus the hook's time, moves, responds; systemd: detects none.

        Both ways to manage it run in the same cluster, on nodes of their own, and hang at the same moment.
        """
        create_both(cluster)
        for name, node in ((OURS, "node1"), (SYSTEMDS, "node3")):
            cluster.wait_until_runs(name, on=node)
            assert responds(cluster.node(node))
        hung_at = stop_all_processes(cluster.node("node1"))
        stop_all_processes(cluster.node("node3"))
        noticed_s = noticed_at(cluster.node("node1"), OURS, hung_at) - hung_at
        cluster.wait_until_runs(OURS, on="node2")
        recovered_s = time.time() - hung_at
        assert responds(cluster.node("node2"))
        time.sleep(max(0.0, hung_at + 3 * INTERVAL_S - time.time()))  # not noticing takes three monitors to believe
        after, watched_s = cluster.status(), time.time() - hung_at
        report(table(noticed_s, recovered_s, watched_s, after))
        assert noticed_s < INTERVAL_S + HOOK_S + SLACK_S
        assert [(each.action, each.code) for each in after.failures_of(OURS)] == [("monitor", 1)]
        assert "connected, but silent" in after.failures_of(OURS)[0].reason
        assert after.runs_on(SYSTEMDS) == "node3"
        assert after.failures_of(SYSTEMDS) == ()
        assert not responds(cluster.node("node3"))
        cluster.node("node3").run("systemctl", "kill", "--signal=CONT", POSTFIX)

    @pytest.mark.fault(
        "All processes of the service get SIGSTOP, and there is no `migration-threshold`.",
        "Pacemaker restarts the service on the same node, and the service responds.",
    )
    def test_recovered_in_place(self, cluster: Cluster, report: Callable[[str], None]) -> None:
        """Without a migration threshold the hung service is restarted on its node, and responds again."""
        monitor = ("op", "monitor", f"interval={INTERVAL_S:.0f}s", "timeout=20s")
        cluster.create(OURS, *monitor, unit=RELEASE.postfix, **smtp_hook(cluster))
        node = cluster.node(cluster.wait_until_runs(OURS))
        hung_at = stop_all_processes(node)
        noticed_s = noticed_at(node, OURS, hung_at) - hung_at
        assert cluster.wait_until_runs(OURS) == node.name
        assert responds(node)
        assert cluster.status().fail_count(OURS) == 1
        whole_s = time.time() - hung_at
        report(f"postfix hangs, recovered in place: noticed after {noticed_s:.1f} s, whole after {whole_s:.1f} s")
        assert noticed_s < INTERVAL_S + HOOK_S + SLACK_S
