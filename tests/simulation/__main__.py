"""The search as a command: `python -m tests.simulation --histories N --seed S`; with one history, its whole story."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ocf_systemd.core.ocf import Action
from tests.simulation.history import live
from tests.simulation.hooks import laid_out
from tests.simulation.plans import draw_plan
from tests.simulation.search import search
from tests.simulation.tally import ENOUGH, Failure, Tally

if TYPE_CHECKING:
    from tests.simulation.history import History

_TOLD_FAILURES = 10
_WIDTH = 120  # where there is no terminal to query
_INTERRUPTED = 130  # the exit code of a shell for a program that SIGINT has ended


@click.command()
@click.option(
    "--histories", type=click.IntRange(min=1), default=ENOUGH, show_default=True, help="How many to go through."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The first one's seed.")
def main(histories: int, seed: int) -> None:
    """Search for a history in which the agent breaks a guarantee.

    With --histories 1 print all events of that history, with their virtual times.
    """
    sys.exit(_replay(seed) if histories == 1 else _search(range(seed, seed + histories)))


def _replay(seed: int) -> int:
    with laid_out() as directory:
        history = live(draw_plan(seed), directory, records=True)
    _print_history(history)
    return 1 if history.broken else 0


def _print_history(history: History) -> None:
    plan = history.plan
    for name in ("unit", "character", "place", "manners", "fault_rate"):
        click.echo(f"{name}: {getattr(plan, name)}")
    for step in plan.steps:
        click.echo(f"step: {step}")
    for line in history.story:
        click.echo(line)
    for breach in history.broken:
        click.echo(f"BROKEN  {breach}")


def _search(seeds: range) -> int:
    tally, began, status = Tally(), time.monotonic(), 0
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    columns = (TextColumn("histories"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            task = progress.add_task("", total=len(seeds))
            for batch in search(seeds):
                tally.merge(batch)
                progress.update(task, completed=tally.histories)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    _print_totals(console, tally, time.monotonic() - began)
    unreached = tally.unreached if tally.histories >= ENOUGH else []
    for row in unreached:
        console.print(f"not reached: {row}", markup=False)
    return status or int(bool(tally.failures or unreached))


def _print_totals(console: Console, tally: Tally, seconds: float) -> None:
    codes = sorted({code for _, code in tally.results})
    table = Table("action", *map(str, codes), "foretold", "SIGTERM", "SIGKILL", box=None)
    for action in Action:
        counts = [tally.results[action, code] for code in codes] + [tally.foretold[action]]
        counts += [tally.interruptions[action, name] for name in ("SIGTERM", "SIGKILL")]
        if any(counts):
            table.add_row(action, *(str(count) if count else "" for count in counts))
    console.print(table)
    actions, interruptions = tally.results.total(), tally.interruptions.total()
    console.print(
        f"{tally.histories} histories in {seconds:.1f} s: {actions} results, {interruptions} interruptions, "
        f"{len(tally.failures)} histories with a broken guarantee",
        soft_wrap=True,
    )
    for failure in sorted(tally.failures, key=lambda failure: failure.seed)[:_TOLD_FAILURES]:
        _print_failure(console, failure)


def _print_failure(console: Console, failure: Failure) -> None:
    for breach in failure.broken:
        console.print(f"[bold red]seed {failure.seed}[/]: {escape(breach)}", highlight=False, soft_wrap=True)
    console.print(f"replay: nox -s simulate -- --histories 1 --seed {failure.seed}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
