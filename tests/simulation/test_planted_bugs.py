"""What the search is worth: bugs of many kinds, planted in the agent, are found, and for what they do wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.simulation.__main__ import main
from tests.simulation.history import live
from tests.simulation.hooks import laid_out
from tests.simulation.plans import draw_plan
from tests.simulation.planted_bugs import BUGS, Bug

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 5000
"""As many histories as the ordinary test run has."""


@pytest.mark.parametrize("bug", [pytest.param(bug, id=name) for name, bug in BUGS.items()])
def test_a_planted_bug_is_found(bug: Bug, record_property: Callable[[str, object], None]) -> None:
    """Within the histories of the ordinary test run, and reported by the rule that it breaks."""
    with bug.planted(), laid_out() as directory:
        for seed in range(MOST):
            broken = live(draw_plan(seed), directory).broken
            if any(bug.report in breach for breach in broken):
                record_property("histories", seed + 1)
                return
    pytest.fail(f"not found in {MOST} histories")


def test_a_found_bug_is_printed() -> None:
    """The search ends with 1 and names the seed; with that seed alone, the history shows what was broken."""
    with BUGS["a 7 while systemd does not answer"].planted():
        found = CliRunner().invoke(main, ["--histories", "100", "--seed", "0"])
        replay = re.search("replay: nox -s simulate -- (--histories 1 --seed [0-9]+)\n", found.stdout)
        assert replay is not None
        assert found.exit_code == 1
        again = CliRunner().invoke(main, replay[1].split())
    assert again.exit_code == 1
    broken = [line.removeprefix("BROKEN  ") for line in again.stdout.splitlines() if line.startswith("BROKEN")]
    assert any("systemd had not answered" in breach for breach in broken)
    assert all(breach in found.stdout for breach in broken)
