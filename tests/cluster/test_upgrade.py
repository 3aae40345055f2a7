"""The agent is upgraded under a running cluster: by `pip install` and `install`, and as a Debian package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocf_systemd import __version__
from tests.cluster.node import PROGRAM
from tests.packaging import deb, wheelhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

ON = "node1"
RESOURCES = [f"upgraded{number}" for number in range(5)]  # so many monitors a second, to meet what is short
AGENT = "/usr/lib/ocf/resource.d/pacemaker/systemd"
REPLACEMENTS_MAX = 10


@dataclass(frozen=True, slots=True)
class Way:
    """How a version is installed ($1), how the program is called, and how it is removed, with its agent or without."""

    install: str
    program: str
    remove: str


ENVIRONMENT = "/opt/ocf-systemd"
PIP = Way(
    f"python3 -m venv {ENVIRONMENT} && {ENVIRONMENT}/bin/pip install --quiet --force-reinstall ocf-systemd==$1 "
    f"&& {ENVIRONMENT}/bin/ocf-systemd install",
    f"{ENVIRONMENT}/bin/ocf-systemd",
    f"rm -rf {ENVIRONMENT} {wheelhouse.PLACE}",
)
_DEBS = "/srv/debs"
DEB = Way(
    "apt-get install --quiet --quiet --yes --reinstall --allow-downgrades --no-install-recommends "
    f"{_DEBS}/ocf-systemd_$1_all.deb 2>&1",
    "/usr/bin/ocf-systemd",
    f"dpkg --purge ocf-systemd && rm -r {_DEBS}",
)


class Installation:
    """An installation of its own on a node, whose agent the cluster calls."""

    def __init__(self, node: Node, way: Way) -> None:
        self.node, self.way = node, way

    def sh(self, script: str, *arguments: str) -> str:
        command = ["sh", "-c", script, "sh", *arguments]
        done = self.node.sandbox.run(command, env=wheelhouse.PIP, timeout_s=180)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def replace(self, version: str) -> int:
        """Install a version, repeatedly if that is quick, until monitors of all resources ran; return how many ran."""
        before = self.monitors()
        for _ in range(REPLACEMENTS_MAX):
            self.sh(self.way.install, version)
            if (monitors := self.monitors() - before) > len(RESOURCES):
                return monitors
        pytest.fail(f"{monitors} monitors ran during {REPLACEMENTS_MAX} installations")

    def monitors(self) -> int:
        return len(self.node.run("cat", "/run/test/monitors", check=False).splitlines())

    def server(self) -> str:
        return self.node.show("ocf-systemd.service", "MainPID")

    def services(self) -> list[str]:
        return [self.node.show(f"{name}.service", "MainPID") for name in RESOURCES]


@pytest.fixture(params=[pytest.param(PIP, id="pip"), pytest.param(DEB, id="deb")])
def installation(request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path) -> Iterator[Installation]:
    """Yield a node with the agent of another installation; it has the tests' own again afterwards."""
    node = cluster.node(ON)
    if request.param is PIP:
        wheelhouse.build(tmp_path, Path(__file__).parents[2])
        wheelhouse.make_newer(tmp_path)
        node.sandbox.copy_in(tmp_path, wheelhouse.PLACE)
    else:
        for file in deb.build_two(tmp_path):
            node.sandbox.copy_in(file, f"{_DEBS}/{file.name}")
        node.run("rm", "-f", "/usr/sbin/policy-rc.d")  # it may prevent that packages restart services
    made = Installation(node, request.param)
    made.sh(made.way.install, __version__)
    yield made
    cluster.pcs("property", "set", "stop-all-resources=true")  # no agent may be called while there is none
    cluster.settle()
    made.sh(f"{made.way.program} uninstall --force; {made.way.remove}")
    node.run(str(PROGRAM), "install")


def create_resources(cluster: Cluster) -> None:
    """Create a group of resources on the node, each with a monitor every second."""
    hook = cluster.hook("counting", "mkdir -p /run/test; echo ran >>/run/test/monitors")
    for name in RESOURCES:
        monitor = ("op", "monitor", "interval=1s", "timeout=20s", "--group", "upgraded")
        cluster.create(name, *monitor, unit=cluster.service(name), monitor_hook=hook)
    cluster.pcs("constraint", "location", "upgraded", "prefers", ON)
    cluster.wait_until_runs(RESOURCES[-1], on=ON)


def assert_undisturbed(cluster: Cluster) -> None:
    """No action has failed, and all resources run where they ran."""
    cluster.settle()
    status = cluster.status()
    assert status.failures == ()
    assert status.fail_counts == {}
    assert {status.runs_on(name) for name in RESOURCES} == {ON}


class TestUpgrade:
    @pytest.mark.fault(
        "pip or apt replaces the package while monitors run, with the resident server and without it.",
        "No action fails: an agent that finds modules of two versions executes itself again.",
    )
    def test_no_action_fails(self, cluster: Cluster, installation: Installation, report: Callable[[str], None]) -> None:
        """Monitors go on succeeding, some each second, and services run on, while the package is replaced."""
        create_resources(cluster)
        services = installation.services()
        for version, way in ((wheelhouse.NEWER, "cold"), (__version__, "resident")):
            if way == "resident":
                installation.sh(f"{installation.way.program} install --resident")
            server = installation.server()
            monitors = installation.replace(version)
            assert (server != installation.server()) == (way == "resident")
            assert version in installation.sh(f"{AGENT} meta-data")
            report(f"{way} upgrade to {version}: {monitors} monitors meanwhile")
        assert installation.services() == services
        assert_undisturbed(cluster)

    @pytest.mark.parametrize("installation", [pytest.param(DEB, id="deb")], indirect=True)
    def test_removal(self, cluster: Cluster, installation: Installation) -> None:
        """A purge is refused while the cluster has resources of the agent; it does not disturb other resources."""
        create_resources(cluster)
        cluster.service("other")
        cluster.pcs("resource", "create", "other", "systemd:other", "op", "monitor", "interval=1s")
        cluster.pcs("constraint", "location", "other", "prefers", ON)
        cluster.wait_until_runs("other", on=ON)
        other = installation.node.show("other.service", "MainPID")
        services = installation.services()
        output = installation.sh("! apt-get purge --yes ocf-systemd 2>&1")
        assert "the cluster has resources of ocf:pacemaker:systemd" in output
        assert (
            installation.sh("dpkg --verify ocf-systemd; dpkg-query -Wf '${db:Status-Status}' ocf-systemd")
            == "installed"
        )
        assert installation.services() == services
        assert_undisturbed(cluster)
        for name in RESOURCES:
            cluster.pcs("resource", "delete", name)
        cluster.settle()
        installation.sh("apt-get purge --yes ocf-systemd 2>&1")
        assert installation.sh(f"ls {AGENT} /usr/bin/ocf-systemd 2>/dev/null || true") == ""
        status = cluster.settle()
        assert (status.failures, status.fail_counts) == ((), {})
        assert (status.runs_on("other"), installation.node.show("other.service", "MainPID")) == (ON, other)
