"""The rich view of a rehearsal: the scenarios while they run, then the results, the times and the commands.

Texts from outside are printed as rich's `Text`, never as markup: a unit may be called `[red]`.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ocf_systemd.core.text import printable
from ocf_systemd.display.checks import by_severity
from ocf_systemd.display.rich_checks import BAD, COMMAND, DIM, MARKS, grid, print_checks, summary_style
from ocf_systemd.display.terminal import live
from ocf_systemd.rehearse import text
from ocf_systemd.rehearse.progress import Progress, ScenarioRun, View

_SPINNER = Spinner("dots", style="cyan")


@dataclass(slots=True)
class LiveView(View):
    """Draws the scenarios while they run, and leaves the results on the screen."""

    console: Console
    _live: ExitStack = field(default_factory=ExitStack, init=False)

    def begin(self, progress: Progress) -> None:
        """Begin to draw; each frame shows the results so far."""
        self._live.enter_context(live(self.console, lambda: frame(progress)))

    def close(self, progress: Progress) -> None:
        """Print the results, the most severe last, then the times, the commands and the conclusion."""
        self._live.close()
        self.console.print(_headline(progress))
        print_checks(by_severity(progress.results), self.console)
        if rows := list(text.times(progress)):
            self.console.print("", _times(rows), sep="\n")
        for command in text.commands(progress):
            # A command has no border: its lines would be copied together with the command.
            self.console.print("", Text(command, COMMAND), sep="\n", soft_wrap=True)
        style = f"bold {BAD}" if progress.interrupted else summary_style(progress.results)
        self.console.print("", Text(text.conclusion(progress), style), sep="\n")


def frame(progress: Progress) -> RenderableType:
    """Return what the terminal shows while a rehearsal runs; this fits a screen of 24 lines."""
    ended = sum(run.result is not None for run in progress.runs)
    foot = grid(expand=True)
    foot.add_column(ratio=1)
    foot.add_column(justify="right", no_wrap=True)
    bar = ProgressBar(len(progress.runs), ended, complete_style="cyan")
    foot.add_row(bar, f"{ended} of {len(progress.runs)}, {progress.now_s:.1f} s")
    activity = Text(progress.activity, DIM, no_wrap=True, overflow="ellipsis")
    return Group(_headline(progress), _scenarios(progress), foot, activity)


def _headline(progress: Progress) -> Text:
    verb, _, others = text.headline(progress).partition(" ")
    return Text.assemble((verb, "bold"), " ", others)


def _scenarios(progress: Progress) -> Table:
    table = grid(expand=True)
    table.add_column(no_wrap=True, width=1)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True, min_width=7)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for run in progress.runs:
        table.add_row(*_cells(progress, run))
    return table


def _cells(progress: Progress, run: ScenarioRun) -> tuple[RenderableType, ...]:
    if run.began_s is None:
        return Text("·", DIM), Text(run.scenario, DIM)
    took = Text(f"{(run.ended_s or progress.now_s) - run.began_s:.2f} s", DIM)
    if run.result is None:
        return _SPINNER, Text(run.scenario, "bold"), took
    mark, style = MARKS[run.result.status]
    style = style if run.result.is_problem else DIM
    return Text(mark, MARKS[run.result.status][1]), Text(run.scenario), took, Text(printable(run.result.what), style)


def _times(rows: list[tuple[str, str, str, str]]) -> Table:
    table = grid(2)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right", style="bold")
    table.add_column(style=DIM, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row), style=DIM if row is text.TIMES_HEAD else "")
    return table
