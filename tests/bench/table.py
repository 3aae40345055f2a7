"""The goals, what was measured, and whether they are met: as rows, and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.crowd import CALLERS
from tests.bench.host import Variant
from tests.bench.results import Spread, growth, ratio
from tests.bench.single import BARE, FLOOR, HOOKS, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.bench.comparison import Comparison
    from tests.bench.results import Results, Run, Single, UnderPacemaker

_LINEAR_FROM = 10  # fewer do not fill the cores
_LINEAR_MAX = 1.1
_MEMORY_MAX_MB = 45.0
_FLAT_MB = 1.0
_OTHER_WORK = 0.1  # of one core: more than the kernel's own threads have to do for the node


@dataclass(frozen=True, slots=True)
class Row:
    """A goal, and whether it is met; None: it was not measured."""

    what: str
    goal: str
    measured: str
    is_met: bool | None

    @property
    def result(self) -> str:
        """The last column."""
        return {True: "met", False: "**not met**", None: ""}[self.is_met]


def rows(results: Results) -> list[Row]:
    """Hold the results against the goals."""
    return [*_single(results), _crowd(results), _memory(results), _growth(results)]


def _single(results: Results) -> Iterator[Row]:
    single = results.single
    shell, resident, cold = (name_of(variant, "hook of 20 ms") for variant in Variant)
    shell_bare, resident_bare, _ = (name_of(variant, "no hook") for variant in Variant)
    wall = single.wall_s
    yield _ratio("resident monitor, hook of 20 ms: wall, against shell", 0.92, ratio(wall(resident), wall(shell)))
    yield _ratio("resident monitor, no hook: wall, against shell", 1.0, ratio(wall(resident_bare), wall(shell_bare)))
    own = single.own_cpu_s
    what = "resident monitor: CPU of agent and server, against shell (systemctl and hook excluded)"
    yield _ratio(what, 0.75, ratio(own(resident), own(shell)))
    what = "cold monitor: CPU, against `import click, anyio; anyio.run(anyio.sleep, 0)` (systemctl and hook excluded)"
    yield _ratio(what, 1.10, ratio(own(cold), single.cpu_s(FLOOR)))
    wall = results.starts.wall_s
    what = "`start` of a service that is ready after 0.3 s: wall, against shell with its `sleep 1`"
    yield _ratio(what, 0.4, ratio(wall(f"start, {Variant.RESIDENT}"), wall(f"start, {Variant.SHELL}")))


def _ratio(what: str, goal: float, measured: Spread) -> Row:
    return Row(what, f"≤ {goal:.2f}", spread_text(measured), measured.median <= goal)


def spread_text(spread: Spread, factor: float = 1, digits: int = 2) -> str:
    low, median, high = (f"{value * factor:.{digits}f}" for value in (spread.low, spread.median, spread.high))
    return f"{median} ({low} to {high})"


def _crowd(results: Results) -> Row:
    count = CALLERS[-1]
    ours, theirs = ([run.wall_s for run in results.crowds[each][count]] for each in (Variant.RESIDENT, Variant.SHELL))
    row = _ratio(
        f"{count} monitors at once, resident: all results correct; wall, against shell", 0.9, ratio(ours, theirs)
    )
    right = (
        f"{results.wrong} wrong results, {results.fell_back} without the server" if _is_odd(results) else "all correct"
    )
    return Row(row.what, row.goal, f"{row.measured}, {right}", row.is_met and not results.wrong)


def _is_odd(results: Results) -> bool:
    return bool(results.wrong or results.fell_back)


def _memory(results: Results) -> Row:
    memory = results.memory
    actions, last_mb = memory.looks[-1]
    text = f"{last_mb:.1f} MB, {memory.grown_mb:+.1f} MB after the first fifth of the actions"
    text += f"; restarted {memory.restarts} times" if memory.restarts else ""
    is_met = last_mb <= _MEMORY_MAX_MB and memory.grown_mb <= _FLAT_MB and not memory.restarts
    return Row(f"server memory after {actions:,} actions", f"≤ {_MEMORY_MAX_MB:.0f} MB, flat", text, is_met)


def _growth(results: Results) -> Row:
    powers = {variant: _powers(runs) for variant, runs in results.crowds.items()}
    text = "; ".join(f"{variant}: wall {wall:.2f}, CPU {cpu:.2f}" for variant, (wall, cpu) in powers.items())
    what = f"scaling exponent of wall and CPU time, {_LINEAR_FROM} to {CALLERS[-1]} callers"
    return Row(what, f"≤ {_LINEAR_MAX} (linear: 1)", text, max(powers[Variant.RESIDENT]) <= _LINEAR_MAX)


def _powers(runs: Mapping[int, Sequence[Run]]) -> tuple[float, float]:
    walls = {count: Spread.of(run.wall_s for run in each).median for count, each in runs.items()}
    cpus = {count: Spread.of(run.cpu_s for run in each).median for count, each in runs.items()}
    return growth(walls, at_least=_LINEAR_FROM), growth(cpus, at_least=_LINEAR_FROM)


def cluster_table(measured: UnderPacemaker) -> str:
    """Return how busy resources under Pacemaker keep a node, as Markdown."""
    what = f"{measured.resources} resources, each monitored every {measured.interval_s} s"
    lines = [f"| {name} | {each.node:.1%} | {each.machine:.1%} |" for name, each in measured.busy.items()]
    if any(each.machine - each.node > _OTHER_WORK for each in measured.busy.values()):
        lines.append("| (the machine had other work meanwhile) | | |")
    return "\n".join((f"| {what} | the node, % of one core | the whole machine |", "|---|---|---|", *lines))


def goals_table(results: Results) -> str:
    """Return the goals as Markdown."""
    lines = [f"| {row.what} | {row.goal} | {row.measured} | {row.result} |" for row in rows(results)]
    return "\n".join(("| | goal | measured | |", "|---|---|---|---|", *lines))


def times_table(results: Results) -> str:
    """Return what a call takes, in milliseconds, as Markdown."""
    single = results.single
    head = "| ms | wall | CPU, systemctl and hook excluded | of that in the server | CPU, all |"
    names = [name_of(variant, hook) for hook in HOOKS for variant in Variant] + [FLOOR, BARE]
    lines = [_times(name, name, single) for name in names]
    others = dict.fromkeys(other for each in single.others.values() for other in each)
    lines += [_times(f"`{other}`", other, single) for other in others]
    lines += [_times(name, name, results.starts) for name in results.starts.runs]
    return "\n".join((head, "|---|---|---|---|---|", *lines))


def _times(label: str, name: str, single: Single) -> str:
    own, server = [], []
    if name in single.others:
        own = single.own_cpu_s(name)
        server = single.server_cpu_s(name) if name.startswith(Variant.RESIDENT) else []
    columns = (single.wall_s(name), own, server, single.cpu_s(name))
    return (
        " | ".join((f"| {label}", *(spread_text(Spread.of(each), 1e3, 1) if each else "" for each in columns))) + " |"
    )


def crowds_table(results: Results) -> str:
    """Return what so many callers at once take, in milliseconds for each of them, as Markdown."""
    kinds: Mapping[str, Variant] = {"resident": Variant.RESIDENT, "shell": Variant.SHELL}
    lines = []
    for count in CALLERS:
        runs = [results.crowds[variant][count] for variant in kinds.values()]
        walls = [spread_text(Spread.of(run.wall_s for run in each), 1e3 / count, 1) for each in runs]
        cpus = [spread_text(Spread.of(run.cpu_s for run in each), 1e3 / count, 1) for each in runs]
        lines.append(f"| {count} | {' | '.join((*walls, *cpus))} |")
    head = "| callers | wall, resident | wall, shell | CPU, resident | CPU, shell |"
    return "\n".join((head, "|---|---|---|---|---|", *lines))


def comparison_table(comparison: Comparison) -> str:
    """Return what two versions take, in milliseconds, and the later one's share of the earlier one's, as Markdown."""
    lines = []
    for name, before in comparison.before.items():
        after = comparison.after[name]
        walls = _compared([run.wall_s for run in before], [run.wall_s for run in after])
        cpus = _compared([run.cpu_s for run in before], [run.cpu_s for run in after])
        lines.append(f"| {name} | {' | '.join((*walls, *cpus))} |")
    head = "| ms | wall, before | wall, after | ratio | CPU, before | CPU, after | ratio |"
    return "\n".join((head, "|---|---|---|---|---|---|---|", *lines))


def _compared(before: Sequence[float], after: Sequence[float]) -> tuple[str, str, str]:
    old, new = (spread_text(Spread.of(each), 1e3, 1) for each in (before, after))
    return old, new, spread_text(ratio(after, before))
