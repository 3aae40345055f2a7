"""What was measured, and the statistics of it: medians with their quartiles, ratios round by round."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import fmean, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.bench.host import Variant


@dataclass(frozen=True, slots=True)
class Run:
    """A call, or a batch of calls: how long it took, and the processor time of all that worked for it.

    What the server has used, hooks included, is part of it.
    """

    wall_s: float
    cpu_s: float
    server_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, between its quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of some values."""
        known = list(values)
        return cls(*quantiles(known if len(known) > 1 else known * 2, n=4, method="inclusive"))


def ratio(ours: Iterable[float], theirs: Iterable[float]) -> Spread:
    """Return the spread of the ratios of each round: what slows a whole round down falls out."""
    return Spread.of(our / their for our, their in zip(ours, theirs, strict=True))


def growth(values: Mapping[int, float], *, at_least: int) -> float:
    """Return by which power of their number the values grow: 1 is linear. The slope, where both are logarithms."""
    points = [(math.log(number), math.log(value)) for number, value in values.items() if number >= at_least]
    x_mean, y_mean = fmean(x for x, _ in points), fmean(y for _, y in points)
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / sum((x - x_mean) ** 2 for x, _ in points)


@dataclass(frozen=True, slots=True)
class Single:
    """One call at a time: for each subject its runs, round by round, and what must be subtracted from them."""

    runs: Mapping[str, Sequence[Run]]
    others: Mapping[str, Sequence[str]]

    def wall_s(self, name: str) -> list[float]:
        """Return a subject's wall times."""
        return [run.wall_s for run in self.runs[name]]

    def cpu_s(self, name: str) -> list[float]:
        """Return a subject's processor times, with systemctl and hook."""
        return [run.cpu_s for run in self.runs[name]]

    def own_cpu_s(self, name: str) -> list[float]:
        """Return a subject's processor times without systemctl and hook, by what these took alone in that round."""
        return [run.cpu_s - others_s for run, others_s in zip(self.runs[name], self._others_s(name), strict=True)]

    def server_cpu_s(self, name: str) -> list[float]:
        """Return what of that the server used, which starts the hook."""
        return [run.server_s - others_s for run, others_s in zip(self.runs[name], self._others_s(name), strict=True)]

    def _others_s(self, name: str) -> list[float]:
        others = [self.cpu_s(other) for other in self.others[name]]
        return [sum(other[number] for other in others) for number in range(len(self.runs[name]))]


@dataclass(slots=True)
class Memory:
    """The server's memory in MB, each time with the number of actions it had done."""

    looks: list[tuple[int, float]] = field(default_factory=list)
    restarts: int = 0

    @property
    def last_mb(self) -> float:
        """What it has in the end."""
        return self.looks[-1][1]

    @property
    def grown_mb(self) -> float:
        """By how much it is larger in the end than once a fifth was done: the first actions fill caches and pools."""
        fifth = self.looks[-1][0] / 5
        return self.last_mb - next(memory_mb for actions, memory_mb in self.looks if actions >= fifth)


@dataclass(frozen=True, slots=True)
class Busy:
    """Seconds of processor time per second: of the whole machine, and of the sandbox alone."""

    machine: float
    node: float


@dataclass(frozen=True, slots=True)
class UnderPacemaker:
    """A node with so many resources, each monitored at this interval, by the way that they are managed."""

    resources: int
    interval_s: int
    busy: Mapping[str, Busy]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """On what was measured."""

    cores: int
    load_before: float
    kernel: str
    python: str
    systemd: str
    rounds: int
    batches: int


@dataclass(frozen=True, slots=True)
class Results:
    """All of it but the cluster; and how many results were wrong, or without the server."""

    circumstances: Circumstances
    single: Single
    starts: Single
    crowds: Mapping[Variant, Mapping[int, Sequence[Run]]]
    memory: Memory
    wrong: int
    fell_back: int
