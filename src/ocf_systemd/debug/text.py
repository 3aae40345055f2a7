"""The texts that the views of debug mode have in common."""

import shlex

from ocf_systemd.agent.entry import PROGRAM
from ocf_systemd.agent.events import Purpose, command_label
from ocf_systemd.agent.log import describe_outcome
from ocf_systemd.agent.timeline import Span, Timeline
from ocf_systemd.core.observations import NoAnswer, NotStarted, UnitState
from ocf_systemd.core.ocf import Action, ActionResult, code_name
from ocf_systemd.core.pacemaker import meaning
from ocf_systemd.core.text import printable, printed_lines
from ocf_systemd.debug.changes import Changes


def label(span: Span) -> str:
    """Return the label of a command, such as `systemctl show` or `hook smtp`."""
    return command_label(span.purpose, span.command)


def outcome(span: Span) -> str:
    """Return how a command ended, or that it is running."""
    if span.ended_s is None:
        return "running"
    return describe_outcome(span.outcome)


def output_lines(span: Span) -> list[str]:
    """Return the lines that a hook has printed so far, standard error last; none for any other command."""
    if span.purpose is not Purpose.HOOK:
        return []
    return [line for stream in streams(span).values() for line in printed_lines(stream)]


def streams(span: Span) -> dict[str, bytes]:
    """Return what a command has printed, by stream. While it has no outcome, only the output of a hook is known."""
    if span.outcome is None and span.command.output:
        return {"stdout": bytes(span.command.output.stdout), "stderr": bytes(span.command.output.stderr)}
    if span.outcome is None or isinstance(span.outcome, NotStarted):
        return {}
    return {"stdout": span.outcome.stdout, "stderr": span.outcome.stderr}


def state(unit: UnitState | NoAnswer) -> str:
    """Return a unit's state as `systemctl status` prints it, or why systemd did not answer."""
    if isinstance(unit, NoAnswer):
        return f"no answer: {unit.why}"
    loaded = "" if unit.load_state == "loaded" else f"{unit.load_state}, "
    return f"{loaded}{unit.active_state} ({unit.sub_state})"


def headline(timeline: Timeline) -> str:
    """Return the action, the unit, Pacemaker's timeout, and the deadline by which the agent itself ends the action."""
    times = f"   timeout {timeline.timeout_s:g} s, agent deadline {timeline.time_s:.1f} s" if timeline.timeout_s else ""
    return f"{timeline.action} {printable(timeline.unit)}{times}"


def result_line(result: ActionResult) -> str:
    """Return a result's exit code by name and number, and its meaning."""
    return f"{code_name(result.code)} ({result.code}): {meaning(result.code)}"


def hook_line(timeline: Timeline) -> str:
    """Return a remark if a monitor has run no hook, which a success does not show; otherwise an empty text."""
    if timeline.action is not Action.MONITOR or not timeline.spans:
        return ""
    return "" if any(span.purpose is Purpose.HOOK for span in timeline.spans) else "no hook was run"


def left_lines(changes: Changes) -> list[str]:
    """Return a line for each change that debug mode has left on this host, with the command that undoes the change."""
    lines, unit = [], shlex.quote(changes.unit)
    stop = f"{PROGRAM} debug stop {unit}"
    if changes.is_unknown:
        lines.append(f"unknown, systemd did not report the unit's state. To check: systemctl status {unit}")
    if changes.has_started:
        lines.append(f"{changes.unit} is running or starting, and was stopped before. To stop it: {stop}")
    if changes.has_stopped:
        lines.append(f"{changes.unit} is stopped, and was running before. To start it: systemctl start {unit}")
    if changes.drop_in:
        removal = "The stop removes it" if changes.has_started else f"To stop the unit and remove it: {stop}"
        lines.append(f"{changes.drop_in}, as a start by Pacemaker leaves it. {removal}")
    return lines


def cycle_line(code: int) -> str:
    """Return whether the exit codes of a cycle are as expected."""
    return "as expected" if code == 0 else "not as expected: 7 7 or 0 0, then 0 0 7 7 0 0 0 0"
