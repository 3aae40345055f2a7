"""The package is replaced under a running cluster, as the README has it: `pip install` and `install` once more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocf_systemd import __version__
from tests.cluster.node import PROGRAM
from tests.packaging import wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

ON = "node1"
RESOURCES = [f"upgraded{number}" for number in range(5)]  # so many monitors a second, to meet what is short
ENVIRONMENT = "/opt/ocf-systemd"
_PREPARE = f"python3 -m venv {ENVIRONMENT} && {ENVIRONMENT}/bin/pip install --quiet ocf-systemd=={__version__}"
_REPLACE = (
    f"{ENVIRONMENT}/bin/pip install --quiet --force-reinstall ocf-systemd==$1 && {ENVIRONMENT}/bin/ocf-systemd install"
)


class Environment:
    """An environment of its own on a node, whose agent the cluster calls."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def sh(self, script: str, *arguments: str) -> str:
        command = ["sh", "-c", script, "sh", *arguments]
        done = self.node.sandbox.run(command, env=wheelhouse.PIP, timeout_s=180)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def monitors(self) -> int:
        return len(self.node.run("cat", "/run/test/monitors", check=False).splitlines())


@pytest.fixture
def environment(cluster: Cluster, tmp_path: Path) -> Iterator[Environment]:
    """Yield a node with the agent of an environment in /opt; it has the tests' own again afterwards."""
    wheelhouse.build(tmp_path, Path(__file__).parents[2])
    wheelhouse.make_newer(tmp_path)
    node = cluster.node(ON)
    node.sandbox.copy_in(tmp_path, wheelhouse.PLACE)
    made = Environment(node)
    made.sh(_PREPARE)
    made.sh(f"{ENVIRONMENT}/bin/ocf-systemd install")
    yield made
    cluster.pcs("property", "set", "stop-all-resources=true")  # no agent may be called while there is none
    cluster.settle()
    made.sh(f"{ENVIRONMENT}/bin/ocf-systemd uninstall --force; rm -rf {ENVIRONMENT} {wheelhouse.PLACE}")
    node.run(str(PROGRAM), "install")


class TestUpgrade:
    @pytest.mark.fault(
        "the package replaced by pip under monitors, with the resident server and without",
        "no action fails: one that finds half of the package begins again",
    )
    def test_no_action_fails(self, cluster: Cluster, environment: Environment, report: Callable[[str], None]) -> None:
        """Monitors go on succeeding, some each second, while pip takes the package away and brings another version."""
        hook = cluster.hook("counting", "mkdir -p /run/test; echo ran >>/run/test/monitors")
        for name in RESOURCES:
            monitor = ("op", "monitor", "interval=1s", "timeout=20s", "--group", "upgraded")
            cluster.create(name, *monitor, unit=cluster.service(name), monitor_hook=hook)
        cluster.pcs("constraint", "location", "upgraded", "prefers", ON)
        cluster.wait_until_runs(RESOURCES[-1], on=ON)
        for version, way in ((wheelhouse.NEWER, "cold"), (__version__, "resident")):
            if way == "resident":
                environment.sh(f"{ENVIRONMENT}/bin/ocf-systemd install --resident")
            before = environment.monitors()
            output = environment.sh(_REPLACE, version)
            assert (": ocf-systemd.service" in output) == (way == "resident")
            assert version in environment.sh("/usr/lib/ocf/resource.d/pacemaker/systemd meta-data")
            monitors = environment.monitors() - before
            assert monitors > len(RESOURCES)
            report(f"{way} upgrade to {version}: {monitors} monitors meanwhile")
        cluster.settle()
        status = cluster.status()
        assert status.failures == ()
        assert status.fail_counts == {}
        assert {status.runs_on(name) for name in RESOURCES} == {ON}
