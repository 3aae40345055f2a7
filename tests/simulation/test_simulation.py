"""The search itself: the guarantees hold, it covers everything, and a seed always has the same history."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.simulation.history import live
from tests.simulation.hooks import laid_out
from tests.simulation.plans import draw_plan
from tests.simulation.search import search_batch
from tests.simulation.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(name="directory", scope="module")
def a_directory() -> Iterator[Path]:
    with laid_out() as directory:
        yield directory


def run_search(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("seed", [pytest.param(seed, id=str(seed)) for seed in range(1_000_000, 1_001_000, 100)])
def test_the_guarantees_hold(seed: int) -> None:
    """Whatever the world does, in a hundred histories for each of these."""
    tally = search_batch(range(seed, seed + 100))
    assert tally.failures == []
    assert tally.histories == 100


@pytest.mark.parametrize("seed", [pytest.param(seed, id=str(seed)) for seed in range(40)])
def test_a_seed_replays_exactly(directory: Path, seed: int) -> None:
    """Equal to the microsecond, whatever ran in between; also without a listener."""
    first = live(draw_plan(seed), directory, records=True)
    live(draw_plan(seed + 1), directory)
    again = live(draw_plan(seed), directory, records=True)
    assert again.story == first.story
    assert live(draw_plan(seed), directory).accounts == again.accounts


def test_a_seed_replays_in_another_process() -> None:
    """A replay shows what the search has found."""
    first, again = run_search("--histories", "1", "--seed", "17"), run_search("--histories", "1", "--seed", "17")
    assert first.returncode == 0
    assert " begins, " in first.stdout
    assert again.stdout == first.stdout


def test_the_sum_of_a_search() -> None:
    """A few histories, on all cores, and what came of them."""
    ended = run_search("--histories", "250", "--seed", "1")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "250 histories in " in ended.stdout
    assert " 0 histories with a broken guarantee" in " ".join(ended.stdout.split())


def test_what_was_not_reached_is_listed() -> None:
    """A search that comes by nothing proves nothing."""
    unreached = Tally().unreached
    assert "exit code 7" in unreached
    assert "running, hook returns 190" in unreached
    assert "SIGKILL of start" in unreached
