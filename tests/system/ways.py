"""The ways in which the tests of the agent run: both, unless a mark selects one."""

import pytest

COLD_ONLY = pytest.mark.parametrize("agent", ["cold"], indirect=True)
"""For tests that act on the agent's own process, and so on no server."""
RESIDENT_ONLY = pytest.mark.parametrize("agent", ["resident"], indirect=True)
"""For tests that act on the server."""
