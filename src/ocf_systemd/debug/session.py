"""Runs an action or a cycle of actions in debug mode: in an environment like Pacemaker's, and shown by a view."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import anyio

from ocf_systemd.agent.entry import INTERRUPTED
from ocf_systemd.agent.environment import pacemaker_environment
from ocf_systemd.agent.events import ActionEnded, Reporter
from ocf_systemd.agent.run import run_action
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.core.metadata import metadata_xml
from ocf_systemd.core.observations import UnitState
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.core.parameters import read_operation
from ocf_systemd.debug.changes import Changes, HostChanges
from ocf_systemd.host import processes
from ocf_systemd.host.signals import uninterrupted
from ocf_systemd.host.systemctl import Systemctl

CYCLE = "cycle"
_CYCLE_ACTIONS = tuple(
    action for name in ("monitor", "stop", "monitor", "start", "monitor") for action in (Action(name),) * 2
)

# The expected exit codes; None means 0 or 7. A unit that is down at first has 7 7 0 0 7 7 0 0 0 0, a unit that runs at
# first has 0 0 in the first two places.
_CYCLE_CODES = (None, None, 0, 0, 7, 7, 0, 0, 0, 0)

_CHANGING = frozenset({Action.START, Action.STOP, CYCLE})  # they change the unit's state and its drop-in

_JOURNAL_LINES = 5  # the last lines of the unit's journal, which a failure shows
_JOURNAL_TIME_S = 2.0  # to read them


@dataclass(frozen=True, slots=True)
class Call:
    """What debug mode runs: an action or a whole cycle, with parameters and the times of the operations.

    `name` is that of the action, or `cycle`. `options` are parameters by name; variables of the operation, such as
    `OCF_CHECK_LEVEL` and `CRM_meta_interval`, may be among them. `suggest` gets the timeline of an action that has
    ended, and returns a sentence on what the user probably meant, or an empty text. `expected_down` says why the unit
    is expected to be down on this node; it is empty if the unit is expected to run, or if nothing is known.
    """

    name: str
    options: Mapping[str, str]
    operations: Operations = field(default_factory=Operations)
    suggest: Callable[[Timeline], str] = field(default=lambda _: "")
    expected_down: str = ""

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions to run, in order."""
        return _CYCLE_ACTIONS if self.name == CYCLE else (Action(self.name),)


@dataclass(frozen=True, slots=True)
class Step:
    """One action: its timeline, its result, and after a failure the last lines of the unit's journal.

    `recurring` distinguishes a monitor with an interval from a probe. `output` is the XML of meta-data. `suggestion` is
    what the call's `suggest` returned, `expected_down` is that of the call.
    """

    timeline: Timeline
    result: ActionResult
    recurring: bool
    journal: tuple[str, ...] = ()
    output: str = ""
    suggestion: str = ""
    expected_down: str = ""

    @property
    def consequence(self) -> str:
        """Pacemaker's response, as a predicate such as "does nothing", or why the unit is expected to be down."""
        if self.timeline.interrupted:
            return "would not have interrupted it"
        unit = self.timeline.states[-1][1] if self.timeline.states else None
        is_down = isinstance(unit, UnitState) and unit.is_inactive
        if self.expected_down and is_down and self.result.code == ExitCode.NOT_RUNNING:
            return self.expected_down
        return consequence(self.timeline.action, self.result.code, recurring=self.recurring)


class View:
    """Shows actions to a user; these methods show nothing, and each view overrides those that it needs."""

    def begin(self, timeline: Timeline) -> Reporter:
        """Begin to show an action, and return its reporter."""
        return timeline

    def end(self, step: Step) -> None:
        """Show the result of an action that has ended."""

    def close(self, call: Call, steps: list[Step], code: int, changes: Changes) -> None:
        """Show what debug mode has left on this host, and the result of the whole call."""


def run_call(call: Call, view: View) -> int:
    """Run the call; return the exit code of the action.

    For a cycle, return 0 if all results are as expected, else the first unexpected exit code, or 1 if that is 0.
    """
    steps: list[Step] = []
    changes = HostChanges(call.options.get("unit", "")) if call.name in _CHANGING else None
    try:
        steps.extend(_steps(call, view))
    finally:
        code = _exit_code(call, steps)
        is_start, is_stop = call.name == Action.START, call.name == Action.STOP
        with uninterrupted():  # a second Ctrl-C must not leave a drop-in behind
            view.close(call, steps, code, changes.finish(is_start=is_start, is_stop=is_stop) if changes else Changes())
    return code


def _steps(call: Call, view: View) -> Iterator[Step]:
    for action in call.actions:
        environment = pacemaker_environment(action, call.options, call.operations)
        timeline = Timeline(action, call.options.get("unit", ""))
        step = _metadata_step(timeline) if action is Action.META_DATA else _action_step(timeline, environment, view)
        step = replace(step, suggestion=call.suggest(timeline), expected_down=call.expected_down)
        view.end(step)
        yield step
        if timeline.interrupted:
            return


def _metadata_step(timeline: Timeline) -> Step:
    timeline.report(ActionEnded(timeline.action, result := ActionResult(ExitCode.SUCCESS)))
    return Step(timeline, result, recurring=False, output=metadata_xml("systemd"))


def _action_step(timeline: Timeline, environment: Mapping[str, str], view: View) -> Step:
    result = run_action(timeline.action, environment, view.begin(timeline), age_s=lambda: 0.0)
    recurring = not read_operation(environment).is_probe
    is_down = timeline.action is Action.MONITOR and result.code == ExitCode.NOT_RUNNING
    if result.code == ExitCode.SUCCESS or is_down or not timeline.spans:
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
