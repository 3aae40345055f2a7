"""A probe decides where Pacemaker believes a service runs: it must neither be wrong nor start the service."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.cluster.configuration import Primitive
from tests.cluster.runs import overlaps, runs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.cluster.pacemaker import Cluster
    from tests.cluster.status import Status

ON = "node1"
DEGRADED = 190
CODES = (1, 2, 5, 6, 7, 8, DEGRADED)
SOCKETS = [f"listening@{number}.socket" for number in range(4)]


def refresh(cluster: Cluster, resources: Iterable[str]) -> Status:
    """Have Pacemaker forget the history of resources and probe them on every node."""
    for resource in resources:
        cluster.up[0].run("crm_resource", "--refresh", f"--resource={resource}")
    return cluster.settle()


class TestRefresh:
    @pytest.mark.fault(
        "A hook fails with any exit code while its unit is active, and the resource is refreshed in maintenance mode.",
        "The probe reports the service as active. The service never runs on two nodes.",
    )
    def test_in_maintenance(self, cluster: Cluster) -> None:
        """Whatever the hook exits with, a probe finds an active service: it is stopped before another node starts it.

        One resource for each exit code. During maintenance the node is excluded: a service that Pacemaker believes to
        be stopped would be started on another.
        """
        hook = cluster.hook("ill", '[ ! -e /run/test/ill ] || { echo "not ready"; exit "$1"; }')
        cluster.service("probed@")
        units = {f"probed{code}": f"probed@{code}.service" for code in CODES}
        cluster.pcs("constraint", "location", "regexp%probed.*", "prefers", f"{ON}=100")
        cluster.configure(
            Primitive(f"probed{code}", _parameters(f"probed@{code}", hook, code), monitor_interval_s=10)
            for code in CODES
        )
        cluster.wait_until(lambda now: {now.runs_on(name) for name in units} == {ON}, 60, "all are started")
        cluster.settle()
        cluster.pcs("property", "set", "maintenance-mode=true")
        cluster.settle()
        cluster.node(ON).sandbox.write("/run/test/ill", "")
        cluster.pcs("constraint", "location", "regexp%probed.*", "avoids", ON)
        refresh(cluster, units)
        found = cluster.probes()
        cluster.pcs("property", "set", "maintenance-mode=false")
        status = cluster.settle()
        assert {unit: both for unit in units.values() if (both := overlaps(runs_of(cluster, unit)))} == {}
        assert {code: found[f"probed{code}", ON] for code in CODES} == dict.fromkeys(CODES, 1) | {DEGRADED: DEGRADED}
        assert [name for name in units if status.runs_on(name) in {"", ON}] == []
        assert {name: cluster.running_on(unit) for name, unit in units.items()} == {
            name: [status.runs_on(name)] for name in units
        }


def _parameters(unit: str, hook: str, argument: object) -> dict[str, str]:
    return {"unit": unit, "monitor_hook": hook, "monitor_hook_args": str(argument)}


class TestSocketActivated:
    @pytest.fixture
    def sockets(self, cluster: Cluster) -> Iterator[None]:
        """Have sockets listen on every node; a connection starts their services."""
        cluster.write("/etc/systemd/system/listening@.socket", "[Socket]\nListenStream=127.0.0.1:470%i\n")
        cluster.service("listening@")
        for node in cluster.nodes:
            node.run("systemctl", "start", *SOCKETS)
        yield
        for node in cluster.up:
            node.run("systemctl", "stop", *SOCKETS)

    @pytest.mark.fault(
        "The socket of a socket-activated service is active on all nodes, and the hook connects to this socket.",
        "No probe starts the service.",
    )
    @pytest.mark.usefixtures("sockets")
    def test_probes(self, cluster: Cluster) -> None:
        """Probes of an inactive service run no hook: the service starts only where the cluster starts it."""
        hook = cluster.hook("connects", 'exec nc -z 127.0.0.1 "$1"')
        units = {f"listening{number}": f"listening@{number}.service" for number in range(len(SOCKETS))}
        began = time.time()
        cluster.configure(
            Primitive(f"listening{number}", _parameters(unit, hook, f"470{number}"), {"target-role": "Stopped"})
            for number, unit in enumerate(units.values())
        )
        cluster.settle()
        refresh(cluster, units)
        assert [run for unit in units.values() for run in runs_of(cluster, unit, began)] == []
        assert cluster.probes() == {(name, node.name): 7 for name in units for node in cluster.nodes}
        cluster.pcs("resource", "enable", *units)
        cluster.wait_until(lambda now: all(now.runs_on(name) for name in units), 60, "all are started")
        status = refresh(cluster, units)
        for name, unit in units.items():
            assert [run.node for run in runs_of(cluster, unit, began)] == [status.runs_on(name)]
        assert status.failures == ()
