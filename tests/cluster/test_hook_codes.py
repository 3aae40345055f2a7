"""Exit codes of hooks that have a meaning of their own for Pacemaker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.configuration import Primitive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cluster.pacemaker import Cluster
    from tests.cluster.status import Status

PROMOTED = (8, 9, 191)  # running promoted, failed promoted, degraded promoted
RECOVERED = (1, 3, 7, 42)
HARD_ERRORS = (2, 4, 5)
HOOK = 'rm "/run/test/$OCF_RESOURCE_INSTANCE" 2>/dev/null || exit 0; echo HTTP error; exit "$1"'


def fail_by_codes(cluster: Cluster, names: Mapping[str, int]) -> tuple[dict[str, str], Status]:
    """Let the hook of each resource exit with its code, once; return where each ran before, and the cluster after."""
    hook = cluster.hook("web", HOOK)
    cluster.service("coded@")
    cluster.configure(
        Primitive(
            name,
            {"unit": f"coded@{code}", "monitor_hook": hook, "monitor_hook_args": str(code)},
            {"resource-stickiness": "1000"},  # none moves because another has moved
            monitor_interval_s=2,
        )
        for name, code in names.items()
    )
    cluster.wait_until(lambda now: all(now.runs_on(name) for name in names), 60, "all are started")
    started = cluster.settle()
    ran_on = {name: started.runs_on(name) for name in names}
    for name, node in ran_on.items():
        cluster.node(node).sandbox.write(f"/run/test/{name}", "")
    cluster.wait_until(lambda now: all(map(now.fail_count, names)), 30, "every monitor has failed")
    return ran_on, cluster.settle()


class TestPromotedCodes:
    @pytest.mark.fault(
        "A hook exits with 8, 9 or 191, Pacemaker's codes for the promoted role.",
        "The monitor returns 1, and its reason has the code. Pacemaker restarts the service on the same node, without "
        "a demote.",
    )
    def test_recovered(self, cluster: Cluster) -> None:
        """A hook's code for the promoted role is an ordinary failure: recovered, never demoted, no node banned."""
        names = {f"coded{code}": code for code in PROMOTED}
        ran_on, status = fail_by_codes(cluster, names)
        assert {each.resource: (each.action, each.node, each.code, each.reason) for each in status.failures} == {
            name: ("monitor", ran_on[name], 1, f"hook web: HTTP error (exit {code})") for name, code in names.items()
        }
        assert {name: status.runs_on(name) for name in names} == ran_on
        assert {status.fail_count(name) for name in names} == {1}
        entries = [str(entry) for node in cluster.nodes for entry in node.journal() if "coded" in entry.message]
        assert [entry for entry in entries if "demote" in entry or "nimplemented" in entry] == []


class TestResponses:
    def test_of_every_kind(self, cluster: Cluster) -> None:
        """Pacemaker responds to a hook's code in a recurring monitor as docs/reference.md has it.

        It recovers the service in place; or lets it run on another node only; or, after 6, on none.
        """
        names = {f"coded{code}": code for code in (*RECOVERED, *HARD_ERRORS, 6)}
        ran_on, status = fail_by_codes(cluster, names)
        for name, code in names.items():
            runs_on = status.runs_on(name)
            assert (runs_on == ran_on[name]) == (code in RECOVERED), name
            assert bool(runs_on) == (code != 6), name
