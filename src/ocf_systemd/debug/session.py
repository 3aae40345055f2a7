"""One call of debug mode: which actions run, with the environment that Pacemaker would give, and who shows them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import anyio

from ocf_systemd.agent.entry import INTERRUPTED
from ocf_systemd.agent.environment import pacemaker_environment
from ocf_systemd.agent.events import Judged, Reporter
from ocf_systemd.agent.run import run_action
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.core.metadata import metadata_xml
from ocf_systemd.core.ocf import Action, ExitCode, Verdict
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.core.parameters import read_operation
from ocf_systemd.host import processes
from ocf_systemd.host.systemctl import Systemd

CYCLE = "cycle"
_CYCLE_ACTIONS = tuple(
    action for name in ("monitor", "stop", "monitor", "start", "monitor") for action in (Action(name),) * 2
)

# The origin's loop prints 7 7 0 0 7 7 0 0 0 0 for a unit that is down at first; one that runs has two 0 in front.
_CYCLE_CODES = (None, None, 0, 0, 7, 7, 0, 0, 0, 0)

_JOURNAL_LINES = 5
_JOURNAL_TIME_S = 2.0


@dataclass(frozen=True, slots=True)
class Call:
    """What debug mode is asked for: an action or a whole cycle, with parameters and a timeout in seconds.

    `options` are parameters by name; those of the operation (`OCF_CHECK_LEVEL`, `CRM_meta_interval`) may be among them.
    """

    name: str
    options: Mapping[str, str]
    timeout_s: float

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions to run, in order."""
        return _CYCLE_ACTIONS if self.name == CYCLE else (Action(self.name),)


@dataclass(frozen=True, slots=True)
class Result:
    """What one action came to: its record, its verdict, and on failure the unit's last journal lines."""

    timeline: Timeline
    verdict: Verdict
    recurring: bool
    journal: tuple[str, ...] = ()
    output: str = ""

    @property
    def consequence(self) -> str:
        """What Pacemaker would do with this verdict."""
        if self.timeline.interrupted:
            return "would not have interrupted it"
        return consequence(self.timeline.action, self.verdict.code, recurring=self.recurring)


class View(Protocol):
    """Shows what happens. `begin` returns the reporter for an action, `end` is told its result."""

    def begin(self, timeline: Timeline) -> Reporter:
        """Begin to show an action."""
        ...

    def end(self, result: Result) -> None:
        """Show what it came to."""
        ...

    def close(self, call: Call, results: list[Result], code: int) -> None:
        """Show what all came to."""
        ...


def run_call(call: Call, view: View) -> int:
    """Run what was asked for and return the exit code: the action's; of a cycle, the first that is not as expected."""
    results: list[Result] = []
    try:
        results.extend(_results(call, view))
    finally:
        code = _exit_code(call, results)
        view.close(call, results, code)
    return code


def _results(call: Call, view: View) -> Iterator[Result]:
    for action in call.actions:
        environment = pacemaker_environment(action, call.options, call.timeout_s)
        timeline = Timeline(action, call.options.get("unit", ""))
        result = _describe(timeline) if action is Action.META_DATA else _perform(timeline, environment, view)
        view.end(result)
        yield result
        if timeline.interrupted:
            return


def _describe(timeline: Timeline) -> Result:
    timeline.report(Judged(timeline.action, verdict := Verdict(ExitCode.SUCCESS)))
    return Result(timeline, verdict, recurring=False, output=metadata_xml("systemd"))


def _perform(timeline: Timeline, environment: Mapping[str, str], view: View) -> Result:
    verdict = run_action(timeline.action, environment, view.begin(timeline), age_s=lambda: 0.0)
    recurring = not read_operation(environment).is_probe
    down_on_purpose = timeline.action is Action.MONITOR and verdict.code == ExitCode.NOT_RUNNING
    if verdict.code == ExitCode.SUCCESS or down_on_purpose or not timeline.spans:
        return Result(timeline, verdict, recurring)
    return Result(timeline, verdict, recurring, _journal(timeline.unit, environment))


def _journal(unit: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    async def read() -> tuple[str, ...]:
        deadline = anyio.current_time() + _JOURNAL_TIME_S
        return await Systemd(unit, environment, processes.run).journal(_JOURNAL_LINES, deadline)

    return anyio.run(read)


def _exit_code(call: Call, results: list[Result]) -> int:
    if not results:
        return ExitCode.ERR_GENERIC
    if results[-1].timeline.interrupted:
        return INTERRUPTED
    if call.name != CYCLE:
        return results[-1].verdict.code
    for result, expected in zip(results, _CYCLE_CODES, strict=False):
        code = result.verdict.code
        if code != expected and (expected is not None or code not in {ExitCode.SUCCESS, ExitCode.NOT_RUNNING}):
            return code or ExitCode.ERR_GENERIC
    return ExitCode.SUCCESS
