"""The configurations in examples/, loaded on a node of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.pages import reader
from tests.docs.checkout import HERE

if TYPE_CHECKING:
    from tests.cluster.pacemaker import Cluster

LOADED_BY = {
    "pcs.sh": ("sh", f"{HERE}/examples/pcs.sh"),
    "crmsh.conf": ("crm", "configure", "load", "update", f"{HERE}/examples/crmsh.conf"),
}
HEALTH = "server { listen 80; server_name 127.0.0.1; location / { return 204; } }"


@pytest.mark.parametrize("name", LOADED_BY)
def test_runs(cluster: Cluster, name: str) -> None:
    """The service runs with its address, both of its monitors succeed, and nothing in it is deprecated."""
    cluster.example_hook("http")
    cluster.write("/etc/nginx/conf.d/health.conf", HEALTH)
    with reader(cluster):
        done = cluster.nodes[0].sandbox.run(LOADED_BY[name], timeout_s=60)
        node = cluster.wait_until_runs("web-server")
        status = cluster.status()
    assert done.returncode == 0
    assert "deprecat" not in f"{done.stdout}{done.stderr}".lower()
    assert status.runs_on("web-ip") == node
    recurring = [each for each in status.operations if each.resource == "web-server" and each.interval_s]
    assert {each.interval_s: each.code for each in recurring} == {10: 0, 60: 0}
    assert status.failures == ()
