"""The pages of the documentation, typed on the nodes of a cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from tests.cluster.node import PROGRAM
from tests.docs.checkout import HERE, bring, environment
from tests.docs.commands import Commands, Place, runs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

_TIMEOUT_S = 120.0
_LEFT = (
    "/opt/ocf-systemd",
    "/usr/local/lib/ocf-systemd",
    "/etc/systemd/system/beacon.service",
    "/run/main-process",
    "/var/lib/pacemaker/alert_file.sh",
    "/var/log/pacemaker/alerts.log",
    "/root/report.tar.bz2",
    "/run/members",
    str(HERE),
)


@contextmanager
def reader(cluster: Cluster, wheels: Path | None = None) -> Iterator[None]:
    """Have the nodes as a reader has them, with a checkout; with wheels no agent is installed.

    Afterwards nothing of it is left, and the agent is the tests' own.
    """
    for node in cluster.nodes:
        bring(node.sandbox, wheels)
        if wheels:
            node.run(str(PROGRAM), "uninstall")
    try:
        yield
    finally:
        cluster.pcs("property", "set", "stop-all-resources=true")  # no agent may be called while there is none
        cluster.settle()
        for node in cluster.up:
            node.run(str(PROGRAM), "install", "--force")
            node.run("rm", "-rf", *_LEFT)


def type_page(cluster: Cluster, commands: Sequence[Commands]) -> None:
    """Type a page's commands, where each belongs; all of them succeed, and none is deprecated."""
    env = environment(commands)
    with ThreadPoolExecutor() as pool:
        for place, script in runs(commands, Place.CLUSTER, Place.EVERY_NODE):
            nodes = cluster.nodes if place is Place.EVERY_NODE else cluster.nodes[:1]
            list(pool.map(partial(_type, script, env), nodes))


def _type(script: str, env: Mapping[str, str], node: Node) -> None:
    done = node.sandbox.run(["sh", "-c", script], env=env, cwd=str(HERE), timeout_s=_TIMEOUT_S)
    assert done.returncode == 0, f"{node.name}: {done.stdout}{done.stderr}"
    assert "deprecat" not in done.stderr.lower(), f"{node.name}: {done.stderr}"
