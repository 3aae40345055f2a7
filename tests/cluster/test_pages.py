"""Every command in the documentation runs: here those for a cluster's nodes, in tests/docs those for a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.pages import reader, type_page
from tests.docs.checkout import fetch_wheels
from tests.docs.commands import Place, installs_program, pages_with

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.pacemaker import Cluster
    from tests.docs.commands import Commands

HAVE_TESTS_OF_THEIR_OWN = {"docs/first-steps.md", "docs/migrating.md"}
PAGES = [page for page in pages_with(Place.CLUSTER, Place.EVERY_NODE) if page.id not in HAVE_TESTS_OF_THEIR_OWN]


@pytest.mark.parametrize("commands", PAGES)
def test_commands(cluster: Cluster, commands: list[Commands], tmp_path: Path) -> None:
    """Typed one after the other, a page's commands all succeed, and the cluster shows no failed action in the end.

    The nodes have the agent, unless the page installs it.
    """
    with reader(cluster, fetch_wheels(tmp_path) if installs_program(commands) else None):
        type_page(cluster, commands)
        status = cluster.settle()
    assert status.failures == ()
