"""One call of debug mode: which actions run, with the environment that Pacemaker would give, and who shows them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import anyio

from ocf_systemd.agent.entry import INTERRUPTED
from ocf_systemd.agent.environment import pacemaker_environment
from ocf_systemd.agent.events import ActionEnded, Reporter
from ocf_systemd.agent.run import run_action
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.core.metadata import metadata_xml
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.core.parameters import read_operation
from ocf_systemd.host import processes
from ocf_systemd.host.systemctl import Systemctl

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
class Step:
    """What one action came to: its record, its result, and on failure the unit's last journal lines."""

    timeline: Timeline
    result: ActionResult
    recurring: bool
    journal: tuple[str, ...] = ()
    output: str = ""

    @property
    def consequence(self) -> str:
        """What Pacemaker would do with this result."""
        if self.timeline.interrupted:
            return "would not have interrupted it"
        return consequence(self.timeline.action, self.result.code, recurring=self.recurring)


class View(Protocol):
    """Shows what happens. `begin` returns the reporter for an action, `end` is told its result."""

    def begin(self, timeline: Timeline) -> Reporter:
        """Begin to show an action."""
        ...

    def end(self, step: Step) -> None:
        """Show what it came to."""
        ...

    def close(self, call: Call, steps: list[Step], code: int) -> None:
        """Show what all came to."""
        ...


def run_call(call: Call, view: View) -> int:
    """Run what was asked for and return the exit code: the action's; of a cycle, the first that is not as expected."""
    steps: list[Step] = []
    try:
        steps.extend(_steps(call, view))
    finally:
        code = _exit_code(call, steps)
        view.close(call, steps, code)
    return code


def _steps(call: Call, view: View) -> Iterator[Step]:
    for action in call.actions:
        environment = pacemaker_environment(action, call.options, call.timeout_s)
        timeline = Timeline(action, call.options.get("unit", ""))
        step = _describe(timeline) if action is Action.META_DATA else _perform(timeline, environment, view)
        view.end(step)
        yield step
        if timeline.interrupted:
            return


def _describe(timeline: Timeline) -> Step:
    timeline.report(ActionEnded(timeline.action, result := ActionResult(ExitCode.SUCCESS)))
    return Step(timeline, result, recurring=False, output=metadata_xml("systemd"))


def _perform(timeline: Timeline, environment: Mapping[str, str], view: View) -> Step:
    result = run_action(timeline.action, environment, view.begin(timeline), age_s=lambda: 0.0)
    recurring = not read_operation(environment).is_probe
    down_on_purpose = timeline.action is Action.MONITOR and result.code == ExitCode.NOT_RUNNING
    if result.code == ExitCode.SUCCESS or down_on_purpose or not timeline.spans:
        return Step(timeline, result, recurring)
    return Step(timeline, result, recurring, _journal(timeline.unit, environment))


def _journal(unit: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    async def read() -> tuple[str, ...]:
        deadline = anyio.current_time() + _JOURNAL_TIME_S
        return await Systemctl(unit, environment, processes.run).journal(_JOURNAL_LINES, deadline)

    return anyio.run(read)


def _exit_code(call: Call, steps: list[Step]) -> int:
    if not steps:
        return ExitCode.ERR_GENERIC
    if steps[-1].timeline.interrupted:
        return INTERRUPTED
    if call.name != CYCLE:
        return steps[-1].result.code
    for step, expected in zip(steps, _CYCLE_CODES, strict=False):
        code = step.result.code
        if code != expected and (expected is not None or code not in {ExitCode.SUCCESS, ExitCode.NOT_RUNNING}):
            return code or ExitCode.ERR_GENERIC
    return ExitCode.SUCCESS
