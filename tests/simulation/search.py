"""Living through many histories, on all cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import TYPE_CHECKING

from tests.simulation.history import live
from tests.simulation.hooks import laid_out
from tests.simulation.plans import draw_plan
from tests.simulation.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH = 100


def search(seeds: range) -> Iterator[Tally]:
    """Live through the histories of some seeds; yield what came of a batch of them, as batches are done."""
    batches = [seeds[start : start + _BATCH] for start in range(0, len(seeds), _BATCH)]
    cores = min(len(os.sched_getaffinity(0)), len(batches))
    if cores < 2:
        yield from map(search_batch, batches)
        return
    # Processes of their own, spawned: a fork of a program that has threads may hang.
    with multiprocessing.get_context("spawn").Pool(cores, _leave_interrupts_to_parent) as pool:
        yield from pool.imap_unordered(search_batch, batches)


def search_batch(seeds: range) -> Tally:
    """Live through some histories, one after the other."""
    tally = Tally()
    with laid_out() as directory:
        for seed in seeds:
            tally.add(live(draw_plan(seed), directory))
    return tally


def _leave_interrupts_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
