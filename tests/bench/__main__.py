"""`python -m tests.bench`: what the agent costs, against one in shell; all of it in sandboxes, with a real systemd."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.bench.comparison import compare
from tests.bench.crowd import CALLERS, MIXED_HOOKS, crowds, mixed
from tests.bench.host import host
from tests.bench.page import measured, write_cluster, write_comparison
from tests.bench.page import write_docs as write
from tests.bench.results import Circumstances, Memory, Results
from tests.bench.single import monitors, starts_and_stops
from tests.bench.table import cluster_table, comparison_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.host import Host

_CORES = 2
_STEADY = 16  # at once, while the server's memory is watched
_WRONG_SHOWN = 10
_BATCHES_MAX = 50  # each takes as long as all the rounds of single calls
_ACTIONS = 100_000


@dataclass(frozen=True, slots=True)
class Extent:
    """How often single calls are measured, and batches; how many actions the server does in all."""

    rounds: int
    batches: int
    actions: int


_QUICK = Extent(rounds=10, batches=3, actions=2_000)


@click.command()
@click.option("--quick", is_flag=True, help="Few repetitions.")
@click.option("--cluster", is_flag=True, help="Measure a hundred resources under a real Pacemaker instead.")
@click.option("--rounds", default=60, show_default=True, help="How often a call is measured, and up to 50 batches.")
@click.option("--write-docs", is_flag=True, help="Write docs/bench.md's tables and docs/bench.svg again.")
@click.option("--before", type=click.Path(exists=True, path_type=Path), help="Compare with the agent of this program.")
def main(*, quick: bool, cluster: bool, rounds: int, write_docs: bool, before: Path | None) -> None:
    """Measure what the agent costs; exit with 1 when a result was wrong, whether or not the goals are met."""
    # The goals are for two cores; what is started from here on inherits it.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])
    if before is not None:
        sys.exit(_compare(before, _QUICK.rounds if quick else rounds, write_docs=write_docs))
    if cluster:
        sys.exit(_measure_cluster(write_docs=write_docs))
    extent = _QUICK if quick else Extent(rounds, min(rounds, _BATCHES_MAX), _ACTIONS)
    wrong: list[str] = []
    results = measure(extent, wrong)
    if write_docs:
        write(results)
    sys.exit(_conclude(measured(results), wrong))


def _measure_cluster(*, write_docs: bool) -> int:
    from tests.bench.pacemaker import under_pacemaker

    wrong: list[str] = []
    results = under_pacemaker(wrong)
    if write_docs:
        write_cluster(results)
    return _conclude(cluster_table(results), wrong)


def _conclude(text: str, wrong: Sequence[str]) -> int:
    """Print what was measured, and the first wrong results; return the exit code."""
    click.echo(f"\n{text}")
    for each in wrong[:_WRONG_SHOWN]:
        click.echo(f"WRONG {each}")
    return 1 if wrong else 0


def _compare(before: Path, rounds: int, *, write_docs: bool) -> int:
    comparison = compare(before, rounds)
    if write_docs:
        write_comparison(comparison)
    return _conclude(comparison_table(comparison), comparison.wrong)


def measure(extent: Extent, wrong: list[str]) -> Results:
    """Measure single calls, many at once, and the server's memory; record wrong results."""
    memory, load = Memory(), os.getloadavg()[0]
    with host(MIXED_HOOKS) as measured_host:
        circumstances = _circumstances(measured_host, extent, load)
        single = monitors(measured_host, extent.rounds)
        started = starts_and_stops(measured_host, extent.rounds)
        runs = crowds(measured_host, extent.batches, memory)
        mixed(measured_host, memory, 0, CALLERS[-1])
        mixed(measured_host, memory, extent.actions, _STEADY)
        wrong += measured_host.wrong
    return Results(circumstances, single, started, runs, memory, len(wrong), measured_host.fell_back)


def _circumstances(measured_host: Host, extent: Extent, load: float) -> Circumstances:
    return Circumstances(
        cores=len(os.sched_getaffinity(0)),
        load_before=load,
        kernel=platform.release().split("-")[0],
        python=platform.python_version(),
        systemd=measured_host.box.sh("systemctl --version").split()[1],
        rounds=extent.rounds,
        batches=extent.batches,
    )


if __name__ == "__main__":
    main()
