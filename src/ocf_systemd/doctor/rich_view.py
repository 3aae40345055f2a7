"""Prints a report of doctor in a terminal.

Texts from outside are printed as rich's `Text`, never as markup: a unit may be called `[red]`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from ocf_systemd.core.check_result import CheckResult
from ocf_systemd.display.checks import summary
from ocf_systemd.display.rich_checks import DIM, print_checks, summary_style
from ocf_systemd.doctor.facts import Facts
from ocf_systemd.doctor.report import operations, shown, unit_name


@contextmanager
def waiting(console: Console) -> Iterator[None]:
    """Show a spinner while facts are collected: the hook may take long."""
    if not console.file.isatty():
        yield
        return
    with console.status(Text("querying systemd and running the hook …", DIM)):
        yield


def show(facts: Facts, results: Sequence[CheckResult], console: Console) -> None:
    """Print a report with the most severe problems last, where a terminal still shows them."""
    console.print(Text.assemble("doctor ", (unit_name(facts), "bold"), "   ", (operations(facts), DIM)))
    print_checks(shown(results), console)
    console.print(Text(summary(results), summary_style(results)))
