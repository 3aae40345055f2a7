"""The views of debug mode, from timelines made by hand: terminals, text, JSON."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import product
from signal import SIGINT, SIGSEGV

import pytest
from rich.console import Console, Group, RenderableType

from ocf_systemd.agent.environment import pacemaker_environment
from ocf_systemd.agent.events import (
    ActionEnded,
    ActionStarted,
    CommandEnded,
    CommandStarted,
    Escalated,
    Event,
    Interrupted,
    Notice,
    Observed,
    Purpose,
    Reporter,
    StillWaiting,
    UnitObserved,
    Waiting,
    WarningNotice,
)
from ocf_systemd.agent.timeline import Timeline
from ocf_systemd.commands.debug import _suggestion
from ocf_systemd.core.cluster import Resource
from ocf_systemd.core.observations import (
    ActiveState,
    CommandOutcome,
    Exited,
    LoadState,
    NoAnswer,
    NotStarted,
    Observation,
    Signalled,
    TimedOut,
    UnitState,
)
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.operations import Operations
from ocf_systemd.core.pacemaker import MEANINGS, consequence, meaning
from ocf_systemd.core.parameters import read_operation
from ocf_systemd.core.timeouts import ADVERTISED_TIMEOUT_S
from ocf_systemd.debug import text
from ocf_systemd.debug.changes import Changes, HostChanges, HostState
from ocf_systemd.debug.json_view import JsonView
from ocf_systemd.debug.live_view import LiveView, frame, result_box
from ocf_systemd.debug.session import Call, Step, View, run_call
from ocf_systemd.debug.text_view import TextView
from ocf_systemd.host.drop_in import drop_in_path
from ocf_systemd.host.processes import Command, Output
from tests.unit.builders import HOOK, UNIT

DROP_IN = drop_in_path(UNIT)
UNCHANGED, STARTED = Changes(), Changes(UNIT, has_started=True, drop_in=DROP_IN)
ESCAPES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")
ODD = "a[red]b[/red] :smile: [link=x]"
"""What rich takes for markup, unless it is `Text`."""


class Clock:
    """A clock that advances a tenth of a second with each event."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def command(*arguments: str, purpose: Purpose = Purpose.SYSTEMD) -> CommandStarted:
    return CommandStarted(purpose, Command(arguments, {}))


def report(reporter: Reporter, clock: Clock, *events: Event) -> None:
    for event in events:
        clock.now += 0.1
        reporter.report(event)


def story(unit: str = UNIT, hook: str = HOOK, reason: str = "hook exited with 1, expected 0") -> tuple[Event, ...]:
    """Return the events of a monitor whose hook first fails and then hangs."""
    active = UnitState(unit, LoadState.LOADED, ActiveState.ACTIVE, "running")
    show, again = command("systemctl", "--no-pager", "show", "--", unit), command("systemctl", "show", "--", unit)
    smtp, more = command(hook, purpose=Purpose.HOOK), command(hook, purpose=Purpose.HOOK)
    result = ActionResult(1, reason)
    return (
        ActionStarted(Action.MONITOR, unit, 18.0, 20.0),
        smtp,
        show,
        CommandEnded(show, Exited(0.01, code=0)),
        UnitObserved(active),
        CommandEnded(smtp, Exited(0.1, b"220 hello\n", b"\x1b[31mno answer\x1b[0m\nocf\xff\n", code=1)),
        Observed(Observation(active)),
        Waiting(result, 0.02),
        WarningNotice("something odd"),
        Notice("drop-in written"),
        again,
        CommandEnded(again, NotStarted(24, "Too many open files")),
        UnitObserved(NoAnswer("systemctl could not be started")),
        more,
        CommandEnded(more, None),
        ActionEnded(Action.MONITOR, result),
    )


def recorded(events: tuple[Event, ...], action: Action = Action.MONITOR, unit: str = UNIT) -> Timeline:
    clock = Clock()
    timeline = Timeline(action, unit, clock)
    report(timeline, clock, *events)
    return timeline


def step_of(timeline: Timeline, *, journal: tuple[str, ...] = (), output: str = "") -> Step:
    assert timeline.result is not None
    return Step(timeline, timeline.result, recurring=True, journal=journal, output=output)


def rendered(renderable: RenderableType, width: int = 120) -> str:
    """Return the screen at that width, without colours."""
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=False, color_system=None, highlight=False).print(renderable)
    return stream.getvalue()


def as_json(timeline: Timeline) -> dict[str, list[dict[str, object]]]:
    """Return the object of the JSON view."""
    stream = io.StringIO()
    with redirect_stdout(stream):
        JsonView().close(Call("monitor", {"unit": UNIT}), [step_of(timeline)], 0, UNCHANGED)
    found: dict[str, list[dict[str, object]]] = json.loads(stream.getvalue())
    return found


class TestTimeline:
    def test_it_keeps_events_with_times(self) -> None:
        """It has commands as spans, changes of the state and notes, in seconds since the action began."""
        timeline = recorded(story())
        assert [(text.label(span), text.outcome(span)) for span in timeline.spans] == [
            ("hook smtp", "exit 1"),
            ("systemctl show", "exit 0"),
            ("systemctl show", "not started: Too many open files"),
            ("hook smtp", "ended, no longer needed"),
        ]
        times = [(round(span.began_s, 3), round(span.ended_s or 0.0, 3)) for span in timeline.spans]
        assert times == [(0.2, 0.6), (0.3, 0.4), (1.1, 1.2), (1.4, 1.5)]
        assert [text.state(state) for _, state in timeline.states] == [
            "active (running)",
            "no answer: systemctl could not be started",
        ]
        assert [(note.text, note.is_warning) for note in timeline.notes] == [
            ("something odd", True),
            ("drop-in written", False),
        ]
        assert (timeline.observations, timeline.time_s, timeline.timeout_s) == (1, 18.0, 20.0)
        assert timeline.waiting_for == "hook exited with 1, expected 0"
        assert timeline.elapsed_s == timeline.now_s == pytest.approx(1.6)

    def test_a_state_that_stays_is_one(self) -> None:
        """A state that does not change is kept once."""
        down = UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE)
        timeline = recorded(
            (UnitObserved(down), UnitObserved(down), Observed(Observation(down)), Observed(Observation(down)))
        )
        assert (len(timeline.states), timeline.observations) == (1, 2)

    def test_time_goes_on_until_there_is_a_result(self) -> None:
        """The time runs until the action has its result."""
        clock = Clock()
        timeline = Timeline(Action.START, UNIT, clock)
        clock.now += 5
        assert timeline.now_s == pytest.approx(5.0)
        report(timeline, clock, ActionEnded(Action.START, ActionResult(0)))
        clock.now += 5
        assert timeline.now_s == pytest.approx(5.1)

    def test_an_interruption(self) -> None:
        """It is a note, and Pacemaker's response is that it would not have interrupted the action."""
        timeline = recorded(
            (Interrupted(Action.MONITOR, SIGINT), ActionEnded(Action.MONITOR, ActionResult(1, "interrupted by SIGINT")))
        )
        assert timeline.interrupted
        assert [(note.text, note.is_warning) for note in timeline.notes] == [("interrupted by SIGINT", True)]
        assert step_of(timeline).consequence == "would not have interrupted it"

    def test_an_escalation(self) -> None:
        """A SIGKILL, which is not a command, is a warning, and is written at once."""
        warning = f"{UNIT} does not stop: sending SIGKILL to its processes"
        events = (
            ActionStarted(Action.STOP, UNIT, 105.0, 110.0),
            Escalated(UNIT),
            ActionEnded(Action.STOP, ActionResult(0)),
        )
        timeline = recorded(events, Action.STOP)
        assert timeline.escalated
        assert [(note.text, note.is_warning) for note in timeline.notes] == [(warning, True)]
        assert not recorded(story()).escalated
        stream, clock = io.StringIO(), Clock()
        with redirect_stdout(stream):
            report(TextView().begin(Timeline(Action.STOP, UNIT, clock)), clock, *events)
        assert f"  warning: {warning}\n" in stream.getvalue()


class TestText:
    @pytest.mark.parametrize(
        ("arguments", "purpose", "label"),
        [
            pytest.param(
                ("systemctl", "--no-pager", "kill", "--signal=SIGKILL", "--", UNIT),
                Purpose.SYSTEMD,
                "systemctl kill",
                id="verb",
            ),
            pytest.param(("systemctl", "--x"), Purpose.SYSTEMD, "systemctl ", id="no verb"),
            pytest.param(("journalctl", "--lines=1"), Purpose.SYSTEMD, "journalctl", id="journal"),
            pytest.param((HOOK, "-H", "x"), Purpose.HOOK, "hook smtp", id="hook"),
            pytest.param(("/h/a\x1b[31mb\n",), Purpose.HOOK, "hook ab", id="hook of an odd name"),
        ],
    )
    def test_labels(self, arguments: tuple[str, ...], purpose: Purpose, label: str) -> None:
        """A command's label is its program and verb, or the file name of the hook."""
        timeline = recorded((command(*arguments, purpose=purpose),))
        assert text.label(timeline.spans[0]) == label
        assert text.outcome(timeline.spans[0]) == "running"

    @pytest.mark.parametrize(
        ("outcome", "lines"),
        [
            pytest.param(Exited(0.1, b"a\n\nb\n", b"c\n"), ["a", "b", "c"], id="both streams"),
            pytest.param(Signalled(0.1, b"\x1b[2Jx\n", signal=SIGSEGV), ["x"], id="escape codes"),
            pytest.param(TimedOut(0.1), [], id="nothing"),
            pytest.param(NotStarted(2, "gone"), [], id="not started"),
            pytest.param(None, [], id="dropped"),
        ],
    )
    def test_output(self, outcome: CommandOutcome | None, lines: list[str]) -> None:
        """The output of a hook is shown, that of systemctl is not."""
        for purpose in Purpose:
            began = command("/h/x", purpose=purpose)
            timeline = recorded((began, CommandEnded(began, outcome)))
            assert text.output_lines(timeline.spans[0]) == (lines if purpose is Purpose.HOOK else [])

    @pytest.mark.parametrize(
        ("load", "shown"),
        [
            pytest.param(LoadState.LOADED, "inactive (dead)", id="loaded"),
            pytest.param(LoadState.NOT_FOUND, "not-found, inactive (dead)", id="not found"),
            pytest.param(LoadState.MASKED, "masked, inactive (dead)", id="masked"),
        ],
    )
    def test_states(self, load: LoadState, shown: str) -> None:
        """A state is shown as `systemctl status` prints it."""
        assert text.state(UnitState(UNIT, load, ActiveState.INACTIVE, "dead")) == shown

    def test_a_result(self) -> None:
        """A result has the name of its code, its number and its meaning."""
        assert text.result_line(ActionResult(7)) == "OCF_NOT_RUNNING (7): not running"
        assert text.result_line(ActionResult(42)) == "exit code 42 (42): failed, with a code of the hook's own"


class TestConsequences:
    def test_every_exit_code_of_every_action_has_one(self) -> None:
        """Each exit code of each action has a meaning and a response of Pacemaker."""
        for action, code, recurring in product(Action, range(256), (True, False)):
            response = consequence(action, code, recurring=recurring)
            assert response[0].islower() or response.startswith("Pacemaker"), response
            assert meaning(code)
        assert set(MEANINGS) == set(ExitCode)

    @pytest.mark.parametrize(
        ("action", "code", "recurring", "word"),
        [
            pytest.param(Action.MONITOR, 0, True, "does nothing", id="monitor 0"),
            pytest.param(Action.MONITOR, 190, True, "degraded", id="monitor 190"),
            pytest.param(Action.MONITOR, 7, True, "recovers the resource", id="monitor 7"),
            pytest.param(Action.MONITOR, 1, True, "recovers the resource", id="monitor 1"),
            pytest.param(Action.MONITOR, 42, True, "recovers the resource", id="monitor 42"),
            pytest.param(Action.MONITOR, 2, True, "until cleanup or failure-timeout (hard error)", id="monitor 2"),
            pytest.param(Action.MONITOR, 3, True, "recovers the resource", id="monitor 3"),
            pytest.param(Action.MONITOR, 4, True, "hard error", id="monitor 4"),
            pytest.param(Action.MONITOR, 5, True, "hard error", id="monitor 5"),
            pytest.param(Action.MONITOR, 6, True, "any node until cleanup or failure-timeout", id="monitor 6"),
            pytest.param(Action.MONITOR, 0, False, "manages it", id="probe 0"),
            pytest.param(Action.MONITOR, 190, False, "manages it", id="probe 190"),
            pytest.param(Action.MONITOR, 7, False, "may start it", id="probe 7"),
            pytest.param(Action.MONITOR, 5, False, "records the resource as stopped on this node", id="probe 5"),
            pytest.param(Action.MONITOR, 1, False, "recovers the resource", id="probe 1"),
            pytest.param(Action.START, 0, True, "records the start as done", id="start 0"),
            pytest.param(Action.START, 1, True, "tries another node", id="start 1"),
            pytest.param(Action.START, 5, True, "hard error", id="start 5"),
            pytest.param(Action.START, 6, True, "fatal error", id="start 6"),
            pytest.param(Action.STOP, 0, True, "records the resource as stopped", id="stop 0"),
            pytest.param(Action.STOP, 1, True, "fences this node", id="stop 1"),
            pytest.param(Action.STOP, 7, True, "fences this node", id="stop 7"),
            pytest.param(Action.RELOAD, 0, True, "records the reload as done", id="reload 0"),
            pytest.param(Action.RELOAD, 3, True, "hard error", id="reload 3"),
            pytest.param(Action.RELOAD_AGENT, 6, True, "fatal error", id="reload-agent 6"),
            pytest.param(Action.VALIDATE_ALL, 6, True, "only tools", id="validate-all"),
            pytest.param(Action.META_DATA, 0, True, "only tools", id="meta-data"),
        ],
    )
    def test_what_pacemaker_does(self, action: Action, code: int, word: str, *, recurring: bool) -> None:
        """The responses are those in Pacemaker Explained."""
        assert word in consequence(action, code, recurring=recurring)


class TestPlain:
    def shown(
        self,
        events: tuple[Event, ...],
        *,
        journal: tuple[str, ...] = (),
        name: str = "monitor",
        changes: Changes = UNCHANGED,
    ) -> str:
        stream, clock = io.StringIO(), Clock()
        view, timeline = TextView(), Timeline(Action.MONITOR, UNIT, clock)
        with redirect_stdout(stream):
            report(view.begin(timeline), clock, *events)
            step = step_of(timeline, journal=journal)
            view.end(step)
            view.close(Call(name, {"unit": UNIT}), [step], 0, changes)
        return stream.getvalue()

    def test_a_line_for_all_that_happens(self) -> None:
        """The lines are in the order of the events, the result last."""
        lines = self.shown(story(), journal=("Nov 22 postfix: hello",)).splitlines()
        assert lines == [
            f"monitor {UNIT}   timeout 20 s, agent deadline 18.0 s",
            "    0.400 s  systemctl show: exit 0, took 0.100 s",
            "    0.500 s  unit: active (running)",
            "    0.600 s  hook smtp: exit 1, took 0.400 s",
            "             | 220 hello",
            "             | no answer",
            "             | ocf\\xff",
            "    0.900 s  warning: something odd",
            "    1.000 s  drop-in written",
            "    1.200 s  systemctl show: not started: Too many open files, took 0.100 s",
            "    1.300 s  unit: no answer: systemctl could not be started",
            "    1.500 s  hook smtp: ended, no longer needed, took 0.100 s",
            "  result     OCF_ERR_GENERIC (1): failed, after 1.600 s",
            "  reason     hook exited with 1, expected 0",
            "  Pacemaker  counts a failure and recovers the resource: stop, then start, on this node or another",
            "  journal    Nov 22 postfix: hello",
        ]

    @pytest.mark.parametrize(
        "outcome",
        [
            pytest.param(Exited(0.1, b"220 hello\n"), id="success"),
            pytest.param(TimedOut(0.1, b"220 hello\n"), id="timed out"),
            pytest.param(Signalled(0.1, b"220 hello\n", signal=SIGSEGV), id="died"),
            pytest.param(None, id="interrupted"),
        ],
    )
    def test_the_output_of_a_hook(self, outcome: CommandOutcome | None) -> None:
        """It is shown however the hook ended."""
        output = Output()
        output.stdout += b"220 hello\n"
        smtp = CommandStarted(Purpose.HOOK, Command((HOOK,), {}, output=output))
        events = (smtp, CommandEnded(smtp, outcome), ActionEnded(Action.MONITOR, ActionResult(0)))
        assert "             | 220 hello\n" in self.shown(events)
        (command,) = as_json(recorded(events))["commands"]
        assert command["stdout"] == "220 hello\n"
        assert "│ 220 hello" in rendered(frame(recorded(events), 120))

    def test_a_wait(self) -> None:
        """What an action waits for stands between the other lines, and in the JSON; the live view has a line for it."""
        waiting = StillWaiting("hook smtp: refused", 12.3, 20.0)
        events = (Notice("one"), waiting, Notice("two"), ActionEnded(Action.START, ActionResult(0)))
        lines = self.shown(events).splitlines()
        assert lines[:3] == [
            "    0.100 s  one",
            "    0.200 s  waiting: hook smtp: refused; 12 s left of 20 s",
            "    0.300 s  two",
        ]
        notes = as_json(recorded(events))["notes"]
        assert [(note["at_s"], note["text"]) for note in notes] == [(0.1, "one"), (0.2, waiting.text), (0.3, "two")]
        assert waiting.text not in rendered(frame(recorded(events), 120))
        assert re.search("waiting +hook smtp: refused", rendered(frame(recorded(events[:-1]), 120)))

    def test_time_order(self) -> None:
        """The times of the lines never go back."""
        times = re.findall(r"^ +([0-9.]+) s  ", self.shown(story()), re.MULTILINE)
        assert times == sorted(times, key=float)
        assert len(times) > 5

    def test_no_escape_codes(self) -> None:
        """There are none, whatever hooks print and are named."""
        assert not ESCAPES.search(self.shown(story(hook="/h/\x1b]0;x\x07a")))

    def test_nothing_is_markup(self) -> None:
        """Square brackets are written as they are."""
        shown = self.shown(story(unit=ODD, hook=f"/h/{ODD.replace('/', '')}", reason=ODD))
        assert f"monitor {ODD}   timeout" in shown
        assert f"  reason     {ODD}\n" in shown
        assert "hook a[red]b[red] :smile: [link=x]: exit 1" in shown

    def test_no_hook(self) -> None:
        """A monitor that has run no hook shows that; one with wrong parameters has not begun."""
        show = command("systemctl", "show", "--", UNIT)
        ended = ActionEnded(Action.MONITOR, ActionResult(0))
        unhooked = (show, CommandEnded(show, Exited(0.1)), ended)
        for events, expected in ((unhooked, True), (story(), False), ((ended,), False)):
            timeline = recorded(events)
            assert ("  hook       no hook was run\n" in self.shown(events)) is expected
            assert ("no hook was run" in rendered(Group(*result_box(step_of(timeline), 80)), 80)) is expected
        assert text.hook_line(recorded(unhooked, Action.STOP)) == ""

    def test_a_suggestion(self) -> None:
        """What was probably meant follows the reason."""
        step = replace(step_of(recorded(story(reason="no such value"))), suggestion="Did you mean 'nagios'?")
        stream = io.StringIO()
        with redirect_stdout(stream):
            TextView().end(step)
        for lines in (stream.getvalue().splitlines(), rendered(Group(*result_box(step, 80)), 80).splitlines()):
            (at,) = (number for number, line in enumerate(lines) if "no such value" in line)
            assert "Did you mean 'nagios'?" in lines[at + 1]

    def test_expected_down(self) -> None:
        """A 7 of a unit that is down has the reason why that is expected; a hook's 7, or another code, does not."""
        for state, code, expected in (("inactive", 7, True), ("active", 7, False), ("inactive", 1, False)):
            unit = UnitState(UNIT, LoadState.LOADED, ActiveState(state))
            timeline = recorded((UnitObserved(unit), ActionEnded(Action.MONITOR, ActionResult(code))))
            step = replace(step_of(timeline), expected_down="the cluster runs web on node1")
            assert (step.consequence == "the cluster runs web on node1") is expected
            assert "recovers the resource" in step_of(timeline).consequence

    def test_a_result_without_a_reason(self) -> None:
        """Without a reason there is no line for one."""
        assert "reason" not in self.shown((ActionEnded(Action.MONITOR, ActionResult(0)),))

    def test_summary_of_a_cycle(self) -> None:
        """A cycle has a line with the codes, and whether they are as expected."""
        shown = self.shown((ActionEnded(Action.MONITOR, ActionResult(7)),), name="cycle")
        assert shown.splitlines()[-1] == "cycle: 7 (as expected)"

    def test_what_is_left(self) -> None:
        """A line for the unit and one for the drop-in follow the result, with the commands that undo them."""
        lines = self.shown(story(), changes=STARTED).splitlines()
        assert [line.split()[0] for line in lines[-2:]] == ["left", "left"]
        assert f"{UNIT} is running" in lines[-2]
        assert f"ocf-systemd debug stop {UNIT}" in lines[-2]
        assert str(DROP_IN) in lines[-1]
        lines = self.shown(story(), changes=Changes(UNIT, has_stopped=True)).splitlines()
        assert f"systemctl start {UNIT}" in lines[-1]
        assert "left " not in self.shown(story())

    def test_what_is_left_is_unknown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If systemd does not report the state, a line has the command that does."""

        async def no_answer(*_: object) -> NoAnswer:
            return NoAnswer("timed out")

        monkeypatch.setattr("ocf_systemd.debug.changes.show_unit", no_answer)
        changes = HostChanges(UNIT).finish(is_start=True, is_stop=False)
        assert f"systemctl status {UNIT}" in self.shown(story(), changes=changes).splitlines()[-1]

    @pytest.mark.parametrize(
        ("nodes", "removed"), [pytest.param((), [UNIT], id="active nowhere"), pytest.param(("n1",), [], id="active")]
    )
    def test_drop_in_of_pacemaker(
        self, monkeypatch: pytest.MonkeyPatch, nodes: tuple[str, ...], removed: list[str]
    ) -> None:
        """A drop-in that has appeared stays if Pacemaker may have started the unit meanwhile."""
        found: list[str] = []
        states = iter((HostState(is_up=True, has_drop_in=False), HostState(is_up=True, has_drop_in=True)))

        async def state(_: object) -> HostState:
            return next(states)

        async def unload(changes: HostChanges) -> None:
            found.append(changes._parameters.unit)  # noqa: SLF001

        resource = Resource("web", "ocf:pacemaker:systemd", UNIT, {}, nodes=nodes)
        monkeypatch.setattr("ocf_systemd.debug.changes.resources_of", lambda _: (resource,))
        monkeypatch.setattr(HostChanges, "_state", state)
        monkeypatch.setattr(HostChanges, "_unload_drop_in", unload)
        HostChanges(UNIT).finish(is_start=False, is_stop=False)
        assert found == removed

    def test_commands_are_quoted(self) -> None:
        """A shell does not change the unit's name in the commands."""
        unit = r"a\x2db@c.service"
        assert f"debug stop '{unit}'" in self.shown(story(), changes=Changes(unit, has_started=True))
        assert f"systemctl start '{unit}'" in self.shown(story(), changes=Changes(unit, has_stopped=True))

    def test_a_cycle_ends_with_its_summary(self) -> None:
        """What is left stands before the summary."""
        lines = self.shown(story(), name="cycle", changes=STARTED).splitlines()
        assert [line.split()[0] for line in lines[-3:]] == ["left", "left", "cycle:"]

    def test_metadata_is_all_that_is_written(self) -> None:
        """The XML alone is written, for a pipe."""
        stream = io.StringIO()
        timeline = recorded((ActionEnded(Action.META_DATA, ActionResult(0)),), Action.META_DATA)
        with redirect_stdout(stream):
            TextView().end(step_of(timeline, output="<xml/>\n"))
        assert stream.getvalue() == "<xml/>\n"


KEYS = {
    "action",
    "unit",
    "code",
    "name",
    "meaning",
    "reason",
    "pacemaker",
    "elapsed_s",
    "timeout_s",
    "deadline_s",
    "looks",
    "states",
    "commands",
    "notes",
    "journal",
    "output",
}


class TestJson:
    def shown(self, steps: list[Step], name: str = "monitor", code: int = 1, changes: Changes = UNCHANGED) -> str:
        stream, view = io.StringIO(), JsonView()
        with redirect_stdout(stream):
            for step in steps:
                assert view.begin(step.timeline) is step.timeline
                view.end(step)
            assert stream.getvalue() == ""
            view.close(Call(name, {"unit": UNIT}), steps, code, changes)
        return stream.getvalue()

    def test_one_object_with_the_documented_keys(self) -> None:
        """Times are in seconds, states and commands in order; bytes that are not UTF-8 are escaped."""
        document = json.loads(self.shown([step_of(recorded(story()), journal=("one", "two"))]))
        assert set(document) == KEYS | {"left"}
        plain = {
            key: document[key] for key in ("action", "unit", "code", "name", "meaning", "looks", "journal", "output")
        }
        assert plain == {
            "action": "monitor",
            "unit": UNIT,
            "code": 1,
            "name": "OCF_ERR_GENERIC",
            "meaning": "failed",
            "looks": 1,
            "journal": ["one", "two"],
            "output": "",
        }
        assert document["states"] == [
            {"at_s": 0.5, "LoadState": "loaded", "ActiveState": "active", "SubState": "running"},
            {"at_s": 1.3, "no_answer": "systemctl could not be started"},
        ]
        assert document["commands"][0] == {
            "purpose": "hook",
            "arguments": [HOOK],
            "began_s": 0.2,
            "ended_s": 0.6,
            "outcome": "exit 1",
            "stdout": "220 hello\n",
            "stderr": "\x1b[31mno answer\x1b[0m\nocf\\xff\n",
        }
        assert document["commands"][3]["outcome"] == "ended, no longer needed"
        assert document["notes"][0] == {"at_s": 0.9, "text": "something odd", "warning": True}

    def test_no_escape_codes(self) -> None:
        """Control characters are escaped as JSON does."""
        shown = self.shown([step_of(recorded(story(hook="/h/\x1b[31m", unit="\x1b[31m"), unit="\x1b[31m"))])
        assert not ESCAPES.search(shown)

    @pytest.mark.parametrize("raw", [pytest.param("\udcff", id="a byte"), pytest.param("ü", id="a letter")])
    def test_it_can_be_written_as_utf8(self, raw: str) -> None:
        """The object can be written whatever bytes the names of the unit and the hook have."""
        timeline = recorded(story(unit=raw, hook=f"/h/{raw}"), unit=raw)
        assert json.loads(self.shown([step_of(timeline)]).encode())["code"] == 1

    def test_a_cycle_is_one_object(self) -> None:
        """A cycle's object has its actions as steps, also if there are none."""
        steps = [
            step_of(recorded(story())),
            step_of(recorded((ActionEnded(Action.STOP, ActionResult(0)),), Action.STOP)),
        ]
        document = json.loads(self.shown(steps, "cycle", 5))
        assert (document["action"], document["unit"], document["code"]) == ("cycle", UNIT, 5)
        assert [set(step) for step in document["steps"]] == [KEYS, KEYS]
        assert json.loads(self.shown([], "cycle"))["steps"] == []

    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in ("start", "cycle")])
    def test_what_is_left(self, name: str) -> None:
        """The object has what the call has left, of a cycle next to its steps."""
        shown = self.shown([step_of(recorded(story()))], name, changes=STARTED)
        assert json.loads(shown)["left"] == {
            "started": True,
            "stopped": False,
            "drop_in": str(DROP_IN),
            "unknown": False,
        }
        shown = self.shown([step_of(recorded(story()))], name)
        assert json.loads(shown)["left"] == {"started": False, "stopped": False, "drop_in": None, "unknown": False}

    def test_an_action_without_a_result(self) -> None:
        """Without a result there is an object without steps."""
        assert json.loads(self.shown([]))["steps"] == []


WIDTHS = [pytest.param(width, id=str(width)) for width in (80, 120)]


class TestLive:
    @pytest.mark.parametrize("width", WIDTHS)
    def test_a_frame(self, width: int) -> None:
        """It has the headline, the commands on an axis with the hook's output, notes, states and the deadline."""
        shown = rendered(frame(recorded(story()), width), width)
        lines = shown.splitlines()
        assert lines[0].startswith(f"monitor {UNIT}   timeout 20 s, agent deadline 18.0 s")
        for expected in (
            "hook smtp",
            "exit 1",
            "│ no answer",
            "something odd",
            "active (running)",
            "16.4 s left of 18.0 s",
        ):
            assert expected in shown
        assert max(map(len, lines)) <= width
        assert not ESCAPES.search(shown)

    @pytest.mark.parametrize("width", WIDTHS)
    def test_a_frame_at_every_moment(self, width: int) -> None:
        """There is a frame after each event, also before the first; a command that runs is shown as running."""
        clock = Clock()
        timeline = Timeline(Action.MONITOR, UNIT, clock)
        assert rendered(frame(timeline, width), width)
        pictures = []
        for event in story():
            report(timeline, clock, event)
            pictures.append(rendered(frame(timeline, width), width))
            assert max(map(len, pictures[-1].splitlines())) <= width
        assert pictures[2].count("running") == 2
        assert "waiting" in pictures[7]
        assert "waiting" not in pictures[-1]

    def test_many_commands_leave_room(self) -> None:
        """The last dozen commands are shown, and the number of earlier ones."""
        events: list[Event] = []
        for _ in range(40):
            began = command("systemctl", "show", "--", UNIT)
            events += [began, CommandEnded(began, Exited(0.1))]
        shown = rendered(frame(recorded(tuple(events)), 120))
        assert shown.count("systemctl show") == 12
        assert "(28 earlier commands)" in shown

    @pytest.mark.parametrize("width", WIDTHS)
    def test_nothing_is_markup(self, width: int) -> None:
        """Square brackets, colons and links in names are not markup."""
        timeline = recorded(story(unit="x[red]y", hook="/h/[red]z:bug:", reason="[bold]w"), unit="x[red]y")
        shown = rendered(frame(timeline, width), width)
        assert "monitor x[red]y" in shown
        assert "hook [red]z:bug:" in shown
        assert "[bold]w" in rendered(Group(*result_box(step_of(timeline, journal=("[red]v",)), width)), width)

    def test_no_escape_codes(self) -> None:
        """Names and reasons cannot move the cursor, also not those of a wrong unit name."""
        timeline = recorded(
            (ActionEnded(Action.MONITOR, ActionResult(6, "unit='x' has characters")),), unit="\x1b[2Jx\nmore"
        )
        assert not ESCAPES.search(rendered(frame(timeline, 120)))

    @pytest.mark.parametrize("width", WIDTHS)
    @pytest.mark.parametrize("code", [pytest.param(code, id=str(code)) for code in (0, 1, 7, 42, 190)])
    def test_the_result(self, width: int, code: int) -> None:
        """It has the code by name, the reason, Pacemaker's response and the journal's last lines."""
        timeline = recorded((ActionEnded(Action.MONITOR, ActionResult(code, "because")),))
        step = step_of(timeline, journal=("first line", "second line"))
        shown = rendered(Group(*result_box(step, width)), width)
        assert text.result_line(ActionResult(code)) in shown
        for expected in ("reason", "because", "Pacemaker", "journal", "first line", "second line"):
            assert expected in shown
        assert max(map(len, shown.splitlines())) <= width

    @pytest.mark.parametrize("in_cycle", [pytest.param(True, id="in a cycle"), pytest.param(False, id="alone")])
    def test_what_stays_on_the_screen(self, *, in_cycle: bool) -> None:
        """A cycle leaves a line for each step that went well, and a summary; one action its frame and result."""
        stream = io.StringIO()
        view = LiveView(Console(file=stream, width=100, color_system=None, highlight=False), in_cycle)
        steps = []
        for result in (ActionResult(0), ActionResult(1, "because")):
            clock = Clock()
            timeline = Timeline(Action.MONITOR, UNIT, clock)
            report(view.begin(timeline), clock, *story()[:-1], ActionEnded(Action.MONITOR, result))
            steps.append(step_of(timeline))
            view.end(steps[-1])
        view.close(Call("cycle" if in_cycle else "monitor", {"unit": UNIT}), steps, 1, STARTED)
        shown = stream.getvalue()
        assert shown.count("left  ") == 2
        assert str(DROP_IN) in shown
        assert shown.count(f"monitor {UNIT}") == (1 if in_cycle else 2)
        assert ("  1 monitor" in shown) == in_cycle
        assert ("cycle  0 1   not as expected" in shown) == in_cycle
        assert "because" in shown

    def test_metadata_is_shown_as_it_is(self) -> None:
        """The XML is shown as text."""
        stream = io.StringIO()
        view: View = LiveView(Console(file=stream, width=100, color_system=None), in_cycle=False)
        assert run_call(Call("meta-data", {"unit": "x"}), view) == 0
        assert '<parameter name="unit"' in stream.getvalue()


class TestCall:
    def test_the_actions_of_a_cycle(self) -> None:
        """A cycle is monitor, stop, monitor, start, monitor, each twice."""
        names = [action.value for action in Call("cycle", {}).actions]
        assert names == [
            "monitor",
            "monitor",
            "stop",
            "stop",
            "monitor",
            "monitor",
            "start",
            "start",
            "monitor",
            "monitor",
        ]
        assert Call("stop", {}).actions == (Action.STOP,)

    @pytest.mark.parametrize("action", [pytest.param(action, id=action) for action in Action])
    def test_the_environment_is_pacemakers(self, action: Action) -> None:
        """The environment has the timeout, the interval of a recurring monitor, the parameters and other variables."""
        options = {"unit": "nginx", "monitor_hook": "/h", "OCF_CHECK_LEVEL": "20", "CRM_meta_on_node": "n1"}
        environment = pacemaker_environment(action, options, Operations({action: 12.5, "interval": 30.0}))
        assert environment["OCF_RESKEY_unit"] == "nginx"
        assert environment["OCF_RESKEY_monitor_hook"] == "/h"
        assert environment["OCF_RESKEY_CRM_meta_on_node"] == "n1"
        assert environment["OCF_RESKEY_CRM_meta_name"] == action
        operation = read_operation(environment)
        assert (operation.timeout_s, operation.check_level, operation.warnings) == (12.5, 20, ())
        assert operation.is_recurring == (action is Action.MONITOR)
        assert environment.get("OCF_RESKEY_CRM_meta_interval") == ("30000" if action is Action.MONITOR else None)

    @pytest.mark.parametrize("action", [pytest.param(action, id=action) for action in Action])
    def test_timeouts_are_as_advertised(self, action: Action) -> None:
        """Without other times, an action has the timeout that the metadata advertise, as under Pacemaker."""
        environment = pacemaker_environment(action, {}, Call(action, {}).operations)
        assert environment["OCF_RESKEY_CRM_meta_timeout"] == f"{ADVERTISED_TIMEOUT_S[action]}000"

    def test_validation_is_of_this_host(self) -> None:
        """validate-all checks this host."""
        assert pacemaker_environment(Action.VALIDATE_ALL, {}, Operations())["OCF_CHECK_LEVEL"] == "10"

    def test_what_the_call_adds(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The views get the suggestion for the timeline of each action."""
        call = Call("monitor", {"unit": "a;b"}, suggest=lambda timeline: f"Did you mean {timeline.action}?")
        assert run_call(call, TextView()) == 6
        assert "\n             Did you mean monitor?\n" in capsys.readouterr().out

    def test_suggestions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A unit that is not found, and a value that is wrong, have the most similar one; others have none."""
        monkeypatch.setattr("ocf_systemd.commands.candidates.known_units", lambda: {"nginx.service": ""})
        for load, unit, value, expected in (
            (LoadState.NOT_FOUND, "ngnx.service", "yes", "Did you mean nginx.service?"),
            (LoadState.NOT_FOUND, "sshd.service", "yes", ""),
            (LoadState.LOADED, "ngnx.service", "yess", "Did you mean 'yes'?"),
            (LoadState.LOADED, "ngnx.service", "yes", ""),
        ):
            timeline = recorded((UnitObserved(UnitState(unit, load, ActiveState.INACTIVE)),))
            assert _suggestion({"unit": unit, "stop_escalate": value}, timeline) == expected

    def test_wrong_parameters_are_shown_as_any_result(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The result is 6 with its reason, though the action did not begin."""
        assert run_call(Call("monitor", {"unit": "a;b"}), JsonView()) == 6
        document = json.loads(capsys.readouterr().out)
        assert (document["code"], document["commands"], document["states"]) == (6, [], [])
        assert document["reason"].startswith("unit='a;b' has characters")
        assert run_call(Call("cycle", {"unit": "a;b"}), TextView()) == 6
        assert capsys.readouterr().out.splitlines()[-1].endswith("(not as expected: 7 7 or 0 0, then 0 0 7 7 0 0 0 0)")
