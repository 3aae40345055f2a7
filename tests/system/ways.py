"""The ways in which the tests of the agent run: both, unless told otherwise."""

import pytest

COLD_ONLY = pytest.mark.parametrize("agent", ["cold"], indirect=True)
"""For what is done to the agent's own process, and so to no server."""
RESIDENT_ONLY = pytest.mark.parametrize("agent", ["resident"], indirect=True)
"""For what is done to the server."""
