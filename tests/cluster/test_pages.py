"""Every command in the documentation runs: here those for a cluster's nodes, in tests/docs those for a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.pages import reader, type_page
from tests.docs.commands import Place, pages_with

if TYPE_CHECKING:
    from tests.cluster.pacemaker import Cluster
    from tests.docs.commands import Commands

HAVE_TESTS_OF_THEIR_OWN = {"docs/first-steps.md", "docs/migrating.md"}
PAGES = [page for page in pages_with(Place.CLUSTER, Place.EVERY_NODE) if page.id not in HAVE_TESTS_OF_THEIR_OWN]


@pytest.mark.parametrize("commands", PAGES)
def test_commands(cluster: Cluster, commands: list[Commands]) -> None:
    """Typed one after the other, on nodes that have the agent, a page's commands all succeed; no action fails."""
    with reader(cluster):
        type_page(cluster, commands)
        status = cluster.settle()
    assert status.failures == ()
