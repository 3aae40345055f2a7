"""Draws how wall and processor time grow with the callers, and the server's memory with its actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from tests.bench.host import Variant
from tests.bench.results import Spread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from matplotlib.axes import Axes

    from tests.bench.results import Memory, Results, Run

_COLOURS = {Variant.SHELL: "#d55e00", Variant.RESIDENT: "#0072b2"}  # distinct for the colour-blind too
_LINEAR = "#999999"


def draw(results: Results, path: Path) -> None:
    """Draw the results; the same ones give the same file."""
    mpl.rcParams |= {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    walls, cpus, memory = (figure.add_subplot(1, 3, number) for number in (1, 2, 3))
    _grow(walls, results, "wall time of the batch", lambda run: run.wall_s)
    _grow(cpus, results, "CPU, systemctl and hooks included", lambda run: run.cpu_s)
    _remember(memory, results.memory)
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    # matplotlib leaves blanks at the ends of lines
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def _grow(axes: Axes, results: Results, title: str, value: Callable[[Run], float]) -> None:
    for variant, runs in results.crowds.items():
        counts = list(runs)
        spreads = [Spread.of(map(value, each)) for each in runs.values()]
        colour = _COLOURS[variant]
        axes.plot(counts, [each.median for each in spreads], "o-", color=colour, label=str(variant), markersize=3)
        lows, highs = [each.low for each in spreads], [each.high for each in spreads]
        axes.fill_between(counts, lows, highs, color=colour, alpha=0.2, linewidth=0)
        if variant is Variant.SHELL:
            last = spreads[-1].median / counts[-1]
            axes.plot(counts, [last * count for count in counts], "--", color=_LINEAR, label="linear", linewidth=0.8)
    axes.set(title=title, xlabel="callers at once", ylabel="s", xscale="log", yscale="log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(visible=True, alpha=0.3)
    axes.legend()


def _remember(axes: Axes, memory: Memory) -> None:
    actions, memory_mb = zip(*memory.looks, strict=True)
    axes.plot(actions, memory_mb, color=_COLOURS[Variant.RESIDENT])
    axes.set(title="memory of the server", xlabel="actions done", ylabel="MB resident")
    axes.set_ylim(bottom=0, top=max(50, *memory_mb))
    axes.grid(visible=True, alpha=0.3)
