"""The rich view of debug mode: concurrent commands on a time axis while they run, then the result.

Texts from outside are passed as `Text` objects: in a plain string, rich would read `[red]` as markup.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ocf_systemd.agent.events import Purpose, Reporter
from ocf_systemd.agent.timeline import Span, Timeline
from ocf_systemd.core.judgement import PASSING_CODES
from ocf_systemd.core.observations import Exited, NoAnswer, UnitState
from ocf_systemd.core.ocf import ExitCode
from ocf_systemd.debug import text
from ocf_systemd.debug.changes import Changes
from ocf_systemd.debug.session import CYCLE, Call, Step, View
from ocf_systemd.display.rich_checks import BAD, DIM, GOOD, POOR, grid
from ocf_systemd.display.terminal import live

_SHOWN_SPANS = 12  # the last commands: a start may query its unit dozens of times
_SHOWN_OUTPUT = 4  # the last lines that each hook has printed
_BAR_MIN_SHARE = 1 / 60  # of the time axis, so that the bar of a short command is visible
_AXIS_MIN_WIDTH = 8  # columns; if fewer are left, there is no time axis
_TEXT_SHARE = 3  # a label and an outcome each have at most a third of the screen


@dataclass(slots=True)
class LiveView(View):
    """Draws an action while it runs; in a cycle, an action that did not fail ends as one line."""

    console: Console
    in_cycle: bool
    _live: ExitStack = field(default_factory=ExitStack, init=False)
    _steps: int = field(default=0, init=False)

    def begin(self, timeline: Timeline) -> Reporter:
        """Begin to draw an action."""
        self._live.enter_context(live(self.console, lambda: frame(timeline, self.console.width)))
        return timeline

    def end(self, step: Step) -> None:
        """Leave the result of an action on the screen."""
        self._live.close()
        self._steps += 1
        if step.output:
            self.console.print(Syntax(step.output, "xml", background_color="default", word_wrap=True))
        elif self.in_cycle and (step.result.code in PASSING_CODES | {ExitCode.NOT_RUNNING}):
            self.console.print(_step(self._steps, step))
        else:
            width = self.console.width
            self.console.print(frame(step.timeline, width), *result_box(step, width))

    def close(self, call: Call, steps: list[Step], code: int, changes: Changes) -> None:
        """Remove the live display, and print what debug mode has left on this host, and the summary of a cycle."""
        self._live.close()
        for line in text.left_lines(changes):
            # The line is not wrapped, because it ends with a command to copy.
            self.console.print(Text.assemble(("left  ", "bold"), (line, POOR)), soft_wrap=True)
        if call.name == CYCLE:
            codes = Text(" ").join(Text(str(each.result.code), _style(each.result.code)) for each in steps)
            summary = Text(f"   {text.cycle_line(code)}", GOOD if code == 0 else BAD)
            self.console.print(Text("cycle  ", "bold"), codes, summary, sep="")


def frame(timeline: Timeline, width: int) -> RenderableType:
    """Return what a screen of `width` columns shows of an action at this moment."""
    now_s = timeline.now_s
    action, _, others = text.headline(timeline).partition(" ")
    headline = Text.assemble((action, "bold"), " ", others)
    parts: list[RenderableType] = [headline, *_spans(timeline, now_s, width)]
    notes = [note for note in timeline.notes if not note.is_waiting]  # the status has the latest
    parts += [Text(f"{note.at_s:.3f} s {note.text}", POOR if note.is_warning else DIM) for note in notes]
    parts.append(_status(timeline, now_s))
    return Group(*parts)


def _spans(timeline: Timeline, now_s: float, width: int) -> Iterator[RenderableType]:
    """Yield a row for each command, with a time axis if the width suffices; the output of a hook follows its row."""
    spans = list(timeline.spans)
    if left_out := max(len(spans) - _SHOWN_SPANS, 0):
        yield Text(f"({left_out} earlier commands)", DIM)
    rows = [_texts(span, now_s) for span in spans[left_out:]]
    longest = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    for span, row in zip(spans[left_out:], rows, strict=True):
        yield _row(span, row, longest, now_s, width)
        for line in text.output_lines(span)[-_SHOWN_OUTPUT:]:
            yield Padding(Text(f"│ {line}", DIM), (0, 0, 0, longest[0] + 1))


def _texts(span: Span, now_s: float) -> tuple[Text, Text, Text, Text]:
    """Return when a command began, its label, its outcome, and how long it took."""
    took_s = (now_s if span.ended_s is None else span.ended_s) - span.began_s
    return (
        Text(f"{span.began_s:.3f} s", DIM),
        Text(text.label(span)),
        Text(text.outcome(span), _span_style(span)),
        Text(f"{took_s:.3f} s"),
    )


def _row(span: Span, row: tuple[Text, ...], longest: list[int], now_s: float, width: int) -> Table:
    """Return the row of a command; `longest` has the width that each column needs in all rows, so that they align.

    Long texts are wrapped, not cut. On a narrow screen the row has no time axis.
    """
    began, label, outcome, took = row
    label_width, outcome_width = (min(longest[column], width // _TEXT_SHARE) for column in (1, 2))
    axis_width = width - longest[0] - label_width - outcome_width - longest[3] - len("    ")
    has_axis = axis_width >= _AXIS_MIN_WIDTH
    table = grid(expand=True)
    table.add_column(justify="right", no_wrap=True, width=longest[0])
    table.add_column(overflow="fold", width=label_width if has_axis else None, ratio=None if has_axis else 1)
    if has_axis:
        table.add_column(ratio=1)
    table.add_column(overflow="fold", width=outcome_width)
    table.add_column(justify="right", no_wrap=True, width=longest[3])
    table.add_row(began, label, *((_bar(span, now_s),) if has_axis else ()), outcome, took)
    return table


def _bar(span: Span, now_s: float) -> Bar:
    ended_s = now_s if span.ended_s is None else span.ended_s
    axis_s = max(now_s, 1e-3)
    least_s = axis_s * _BAR_MIN_SHARE
    begin_s = min(span.began_s, axis_s - least_s)
    return Bar(axis_s, begin_s, min(max(ended_s, begin_s + least_s), axis_s), color=_span_style(span))


def _span_style(span: Span) -> str:
    if span.ended_s is None:
        return "cyan"
    match span.outcome:
        case None:
            return "bright_black"
        case Exited(code=code) if span.purpose is Purpose.HOOK:
            return _style(code)
        case Exited(code=0):
            return GOOD
        case Exited():
            return POOR
        case _:
            return BAD


def _style(code: int) -> str:
    if code == ExitCode.SUCCESS:
        return GOOD
    return POOR if code in {ExitCode.NOT_RUNNING, ExitCode.DEGRADED} else BAD


def _status(timeline: Timeline, now_s: float) -> Table:
    table = grid(2, expand=True)
    table.add_column(no_wrap=True, style=DIM)
    table.add_column(ratio=1, overflow="fold")
    if timeline.states:
        states = (Text(text.state(state), _state_style(state)) for _, state in timeline.states)
        table.add_row("unit", Text(" → ").join(states))
    if timeline.result is None and timeline.waiting_for:
        table.add_row("waiting", Text(timeline.waiting_for, POOR))
    if timeline.time_s:
        left_s = max(timeline.time_s - now_s, 0.0)
        row = grid(expand=True)
        row.add_column(ratio=1)
        row.add_column(no_wrap=True, justify="right")
        style = BAD if left_s < timeline.time_s / 4 else "cyan"
        bar = ProgressBar(timeline.time_s, min(now_s, timeline.time_s), complete_style=style, finished_style=BAD)
        row.add_row(bar, f"{left_s:.1f} s left of {timeline.time_s:.1f} s")
        table.add_row("deadline", row)
    return table


def _state_style(state: UnitState | NoAnswer) -> str:
    if isinstance(state, NoAnswer):
        return BAD
    if state.is_running:
        return GOOD
    return BAD if state.active_state == "failed" else POOR


def result_box(step: Step, width: int) -> Iterator[RenderableType]:
    """Yield a box with the result; the headline is in the border of the box or, if it is too long, above the box."""
    style = _style(step.result.code)
    line = f"{text.result_line(step.result)}, after {step.timeline.elapsed_s:.3f} s"
    headline = Text(line, f"bold {style}")
    fits = width - len("╭─  ─╮") >= headline.cell_len
    if not fits:
        yield headline
    table = grid(2)
    table.add_column(no_wrap=True, style=DIM)
    table.add_column(overflow="fold")
    if step.result.reason:
        table.add_row("reason", Text(step.result.reason))
    if step.suggestion:
        table.add_row("", Text(step.suggestion))
    if hook := text.hook_line(step.timeline):
        table.add_row("hook", Text(hook))
    table.add_row("Pacemaker", Text(step.consequence))
    for number, line in enumerate(step.journal):
        table.add_row("" if number else "journal", Text(line, DIM))
    yield Panel(table, title=headline if fits else None, title_align="left", border_style=style)


def _step(number: int, step: Step) -> Text:
    result = step.result
    return Text.assemble(
        (f"{number:3} ", DIM),
        (f"{step.timeline.action:<10}", "bold"),
        (f"{text.result_line(result):<44}", _style(result.code)),
        (f"{step.timeline.elapsed_s:8.3f} s", DIM),
    )
