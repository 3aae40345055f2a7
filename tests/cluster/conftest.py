"""The clusters, as fixtures; after each test `Cluster.clean` looks for what must never be.

Each worker has a cluster, which knows nothing of the others; a test goes to the one that is ready.
"""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.cluster.pacemaker import Cluster
from tests.cluster.pacemaker import cluster as boot_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The first are for all workers at once. The next takes a processor for itself, with others that mostly wait.
LONGEST_FIRST = ("test_cts_exec", "test_many", "test_faults", "test_tools")
MEASURED = "measured"
TOOLS = {"corosync": "corosync", "pacemakerd": "pacemaker", "crm_mon": "pacemaker-cli-utils", "pcs": "pcs"}
TOOLS |= {"postfix": "postfix", "nc": "netcat-openbsd", "ip": "iproute2", "pgrep": "procps"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


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


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return what takes a test's measurements, shown at the end of the run whether or not it passed."""
    return partial(record_property, MEASURED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    lines = [str(value) for report in reports for name, value in report.user_properties if name == MEASURED]
    if lines:
        terminalreporter.section(MEASURED)
        terminalreporter.write_line("\n".join(lines))
