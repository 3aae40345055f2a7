"""The clusters, as fixtures; after each test `Cluster.clean` looks for what must never be."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.cluster.pacemaker import Cluster
from tests.cluster.pacemaker import cluster as boot_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPORT = pytest.StashKey[list[str]]()
TOOLS = {"corosync": "corosync", "pacemakerd": "pacemaker", "crm_mon": "pacemaker-cli-utils", "pcs": "pcs"}
TOOLS |= {"postfix": "postfix", "nc": "netcat-openbsd", "ip": "iproute2", "pgrep": "procps"}


@pytest.fixture(scope="session")
def three_nodes() -> Iterator[Cluster]:
    for tool, package in TOOLS.items():
        if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.fail(f"{tool} is missing: install the Debian package {package}")
    with boot_cluster(actions_at_once=50) as booted:
        yield booted


@pytest.fixture
def cluster(three_nodes: Cluster) -> Iterator[Cluster]:
    yield three_nodes
    three_nodes.clean()


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return what takes a test's measurements, shown at the end of the run whether or not it passed."""
    return request.config.stash.setdefault(REPORT, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(REPORT, []):
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(lines))
