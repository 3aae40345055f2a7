"""Writes what was measured into docs/bench.md, between its marks; what stands around them is written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.plot import draw
from tests.bench.table import cluster_table, comparison_table, crowds_table, goals_table, times_table

if TYPE_CHECKING:
    from tests.bench.comparison import Comparison
    from tests.bench.results import Results, UnderPacemaker

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_BEGIN, _END = "<!-- written by `nox -s bench -- --write-docs` -->", "<!-- until here -->"
_BEGIN_CLUSTER = "<!-- written by `nox -s bench -- --cluster --write-docs` -->"
_BEGIN_COMPARISON = "<!-- written by `nox -s bench -- --before REVISION --write-docs` -->"


def write_docs(results: Results) -> None:
    """Write the page's tables and its plot again."""
    _write_block(_BEGIN, measured(results))
    draw(results, _DOCS / "bench.svg")


def write_comparison(comparison: Comparison) -> None:
    """Write the page's comparison again."""
    _write_block(_BEGIN_COMPARISON, comparison_table(comparison))


def write_cluster(measured: UnderPacemaker) -> None:
    """Write the page's table of resources under Pacemaker again."""
    _write_block(_BEGIN_CLUSTER, cluster_table(measured))


def _write_block(mark: str, text: str) -> None:
    page = _DOCS / "bench.md"
    before, begin, rest = page.read_text(encoding="utf-8").partition(mark)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{page} has lost its marks")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def measured(results: Results) -> str:
    """Return what was measured, as Markdown."""
    return "\n\n".join(
        (
            goals_table(results),
            _circumstances(results),
            "![wall and processor time from 1 to 500 callers, and the server's memory](bench.svg)",
            "What one call takes:",
            times_table(results),
            "Time per agent in ms when so many agents are started at once (their total time, divided by their number):",
            crowds_table(results),
        )
    )


def _circumstances(results: Results) -> str:
    on = results.circumstances
    return (
        f"Medians, with their quartiles; ratios are medians of each round's ratio. {on.rounds} rounds of single calls, "
        f"{on.batches} of batches. {on.cores} cores, load {on.load_before:.1f} at the beginning, Linux {on.kernel}, "
        f"systemd {on.systemd}, Python {on.python}."
    )
