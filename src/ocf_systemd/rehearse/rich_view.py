"""A rehearsal as a picture: what a terminal shows, and what goes into a report.

Texts from outside are `Text`, never markup: a unit may be called `[red]`.
"""

import io

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ocf_systemd.rehearse import text
from ocf_systemd.rehearse.progress import Record, Step
from ocf_systemd.rehearse.scenarios import TITLES, Failed, Outcome, Passed, Skipped

_GOOD, _POOR, _BAD, _DIM = "green", "yellow", "red", "dim"
_REPORT_WIDTH = 100
_SPINNER = Spinner("dots", style="cyan")


def playing(record: Record) -> RenderableType:
    """Return the picture of a rehearsal while it goes on; it fits a screen of 24 lines."""
    ended = sum(step.outcome is not None for step in record.steps)
    bar = ProgressBar(len(record.steps), ended, complete_style="cyan")
    foot = Table.grid(padding=(0, 1), expand=True)
    foot.add_column(ratio=1)
    foot.add_column(justify="right", no_wrap=True)
    foot.add_row(bar, f"{ended} of {len(record.steps)}, {record.now_s:.1f} s")
    return Group(_headline(record), _steps(record), foot, Text(record.now, _DIM, no_wrap=True, overflow="ellipsis"))


def played(record: Record) -> RenderableType:
    """Return the picture of a rehearsal that is over: all scenes, what failed and what to do, what is proposed."""
    parts: list[RenderableType] = [_headline(record), _steps(record)]
    parts += [_failure(step, step.outcome) for step in record.steps if isinstance(step.outcome, Failed)]
    if record.proposal:
        # Without a border: who copies the commands is to have no lines of a drawing in them.
        parts += ["", _times(record), ""]
    if record.proposal and record.exit_code == 0:
        parts += _commands(record.proposal.pcs, record.proposal.crm)
    if record.not_put_back:
        parts.append(Text(f"not put back: {record.not_put_back}", f"bold {_BAD}"))
    parts.append(Text(text.conclusion(record), f"bold {_GOOD if record.exit_code == 0 else _BAD}"))
    return Group(*parts)


def report_text(record: Record, suffix: str) -> str:
    """Return what a report of a rehearsal holds, in the form that a file's suffix names: .html, .svg, else text."""
    console = Console(
        record=True,
        width=_REPORT_WIDTH,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    console.print(played(record))
    match suffix:
        case ".html":
            return console.export_html()
        case ".svg":
            return console.export_svg(title=f"ocf-systemd rehearse --unit {record.unit}")
        case _:
            return "".join(f"{line.rstrip()}\n" for line in console.export_text().splitlines())


def _headline(record: Record) -> Text:
    verb, _, others = text.headline(record).partition(" ")
    return Text.assemble((verb, "bold"), " ", others, no_wrap=True, overflow="ellipsis")


def _steps(record: Record) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, width=1)
    table.add_column(no_wrap=True, min_width=32)
    table.add_column(justify="right", no_wrap=True, min_width=7)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for step in record.steps:
        table.add_row(
            _mark(step, is_over=record.elapsed_s is not None),
            Text(TITLES[step.scene], _title_style(step)),
            _took(record, step),
            _told(step),
        )
    return table


def _mark(step: Step, *, is_over: bool) -> RenderableType:
    match step.outcome:
        case Passed():
            return Text("✓", _GOOD)
        case Failed():
            return Text("✗", _BAD)
        case Skipped():
            return Text("-", _POOR)
        case None:
            return Text("·", _DIM) if step.began_s is None or is_over else _SPINNER


def _title_style(step: Step) -> str:
    if step.outcome is None:
        return _DIM if step.began_s is None else "bold"
    return _BAD if isinstance(step.outcome, Failed) else ""


def _took(record: Record, step: Step) -> Text:
    if step.began_s is None:
        return Text()
    return Text(f"{(record.now_s if step.ended_s is None else step.ended_s) - step.began_s:.2f} s", _DIM)


def _told(step: Step) -> Text:
    outcome: Outcome | None = step.outcome
    if outcome is None:
        return Text()
    told = f"skipped: {text.told(outcome)}" if isinstance(outcome, Skipped) else text.told(outcome)
    return Text(told, _BAD if isinstance(outcome, Failed) else _DIM)


def _failure(step: Step, failed: Failed) -> Panel:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style=_DIM)
    table.add_column()
    table.add_row("what", Text(failed.told))
    table.add_row("to do", Text(failed.remedy))
    return Panel(table, title=Text(TITLES[step.scene], f"bold {_BAD}"), title_align="left", border_style=_BAD)


def _times(record: Record) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right", style="bold")
    table.add_column(style=_DIM)
    for row in (text.TIMES_HEAD, *text.times(record)):
        table.add_row(*map(Text, row), style=_DIM if row is text.TIMES_HEAD else "")
    return table


def _commands(*commands: str) -> list[RenderableType]:
    return [part for command in commands for part in (Text(command, "cyan"), "")]
