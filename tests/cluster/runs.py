"""When a unit was active, and on which node, from the nodes' journals: `systemctl show` has the last state alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cluster.node import Node
    from tests.cluster.pacemaker import Cluster

_STARTED = ("Started ", "Finished ")
_ENDED = (": Deactivated successfully.", ": Failed with result ")


@dataclass(frozen=True, slots=True)
class Run:
    """A time that a unit was active on a node, in seconds since the epoch; without an end while it still is."""

    node: str
    began_s: float
    ended_s: float = math.inf


def runs_of(cluster: Cluster, unit: str, since_s: float = 0.0) -> list[Run]:
    """Return the runs of a unit on all nodes that began at `since_s` or later, in order."""
    return sorted((run for node in cluster.nodes for run in _runs_on(node, unit, since_s)), key=lambda run: run.began_s)


def _runs_on(node: Node, unit: str, since_s: float) -> list[Run]:
    runs: list[Run] = []
    for entry in node.journal("systemd", since_s=since_s):
        if entry.unit != unit:
            continue
        if entry.message.startswith(_STARTED):
            runs.append(Run(node.name, entry.time_s))
        elif entry.message.startswith(tuple(f"{unit}{ended}" for ended in _ENDED)) and runs:
            runs[-1] = Run(node.name, runs[-1].began_s, entry.time_s)
    return runs


def overlaps(runs: list[Run]) -> list[tuple[Run, Run]]:
    """Return the pairs of runs during which the unit was active on two nodes at the same time."""
    pairs = combinations(runs, 2)
    return [(a, b) for a, b in pairs if a.node != b.node and a.began_s < b.ended_s and b.began_s < a.ended_s]
