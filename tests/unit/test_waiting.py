"""An action that waits reports for what: when it begins, and every ten seconds, on a clock that jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocf_systemd.agent.events import CommandEnded, CommandStarted, Observed, Purpose, StillWaiting, Waiting
from ocf_systemd.agent.polling import Wait
from ocf_systemd.core.observations import ActiveState, Exited, NoAnswer, Observation
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.core.parameters import Operation
from ocf_systemd.core.timeouts import WAITING_LINE_S
from ocf_systemd.host.processes import Command, Output
from tests.unit.builders import HOOK, UNIT, exited, unit_in
from tests.unit.scripted import HOOK_PATH, Run, Step, act, exits, hangs, host_with, shows

if TYPE_CHECKING:
    from pathlib import Path

HOOKED = {"monitor_hook": HOOK_PATH}
LONG = Operation(100.0, is_recurring=True)
REFUSED = "connection refused"
NOT_YET = ActionResult(1, "hook smtp: not yet (exit 1)")
JOB = CommandStarted(Purpose.SYSTEMD, Command(("systemctl", "--no-pager", "start", "--", UNIT), {}))
SMTP = CommandStarted(Purpose.HOOK, Command((HOOK,), {}))


def waits(run: Run) -> list[tuple[int, str]]:
    """Return the reports of an action, each with the second at which it came."""
    found = [event for event in run.heard.facts if isinstance(event, StillWaiting)]
    assert all(event.timeout_s == run.timeout_s for event in found)
    return [(round(run.time_s - event.left_s), event.reason) for event in found]


class TestActions:
    def test_a_hook_that_fails_at_first(self, tmp_path: Path) -> None:
        """What is active, which hook and its last message: as the polls begin, and every ten seconds."""
        hook = [exits(1, REFUSED) for _ in range(60)]
        script = {"show": [shows("inactive"), shows("active")], "hook": [*hook, exits(0)]}
        run = act(Action.START, host_with(script), tmp_path, operation=LONG, values=HOOKED)
        assert run.result.code == 0
        reason = f"{UNIT} is active, hook true: {REFUSED} (exit 1)"
        assert waits(run) == [(second, reason) for second in range(0, int(run.took_s), 10)]
        assert len(waits(run)) >= 3

    @pytest.mark.parametrize(
        ("action", "verb", "values"),
        [
            pytest.param(Action.START, "start", {}, id="start"),
            pytest.param(Action.START, "daemon-reload", {}, id="start, daemon-reload"),
            pytest.param(Action.STOP, "stop", {}, id="stop"),
            pytest.param(Action.STOP, "stop", {"stop_escalate": "no"}, id="stop without escalation"),
            pytest.param(Action.RELOAD, "reload", {}, id="reload"),
            pytest.param(Action.RELOAD_AGENT, "daemon-reload", {}, id="reload-agent"),
        ],
    )
    def test_a_command_that_blocks(self, tmp_path: Path, action: Action, verb: str, values: dict[str, str]) -> None:
        """A `systemctl` that waits for its job is reported as well, although there is no poll meanwhile."""
        state = "active" if action in {Action.RELOAD, Action.RELOAD_AGENT} else "inactive"
        script = {"show": [shows(state)], verb: [exits(0, after_s=35.0)]}
        host = host_with(script, start={"show": [shows("active")]})
        run = act(action, host, tmp_path, operation=LONG, values=values)
        assert run.result.code == 0
        label = f"systemctl {verb} has run for"
        assert waits(run) == [(second, f"{label} {second} s") for second in (10, 20, 30)]

    def test_a_hook_that_blocks(self, tmp_path: Path) -> None:
        """A hook that hangs delays the first poll of a start."""
        script = {"show": [shows("inactive"), shows("active")], "hook": [exits(0, after_s=15.0)]}
        run = act(Action.START, host_with(script), tmp_path, operation=LONG, values=HOOKED)
        assert waits(run) == [(10, "hook true has run for 10 s")]

    def test_both(self, tmp_path: Path) -> None:
        """A hook that hangs after one that has failed: the last message, and what runs."""
        script = {"show": [shows("inactive"), shows("active")], "hook": [exits(1, REFUSED), exits(0, after_s=25.0)]}
        run = act(Action.START, host_with(script), tmp_path, operation=LONG, values=HOOKED)
        reason = f"{UNIT} is active, hook true: {REFUSED} (exit 1)"
        ran = [(second, f"{reason}, hook true has run for {second} s") for second in (10, 20)]
        assert waits(run) == [(0, reason), *ran]

    def test_a_stop_that_is_verified(self, tmp_path: Path) -> None:
        """With stop_verify the hook delays the end of a stop."""
        hook = [exits(0) for _ in range(15)]
        script = {"show": [shows("inactive")], "hook": [*hook, exits(7)]}
        values = {**HOOKED, "stop_verify": "yes"}
        run = act(Action.STOP, host_with(script), tmp_path, operation=LONG, values=values)
        assert run.result.code == 0
        reason = f"{UNIT} is inactive, hook true: running, expected not running after stop"
        assert waits(run)[0] == (0, reason)

    def test_a_monitor_of_a_unit_in_transition(self, tmp_path: Path) -> None:
        """A monitor polls too; its reports come with its polls."""
        script = {"show": [shows("activating", SubState="auto-restart")]}
        run = act(Action.MONITOR, host_with(script), tmp_path, operation=Operation(30.0, is_recurring=True))
        assert run.result.code == 1
        reason = f"{UNIT} activating: auto-restart"
        assert [why for _, why in waits(run)] == [reason] * 3

    @pytest.mark.parametrize(
        ("action", "shown", "hook"),
        [
            pytest.param(Action.MONITOR, shows("active"), exits(0), id="monitor"),
            pytest.param(Action.MONITOR, shows("active"), exits(1, after_s=17.0), id="monitor with a slow hook"),
            pytest.param(Action.MONITOR, shows("failed"), exits(0), id="monitor of a failed unit"),
            pytest.param(Action.START, shows("active"), exits(0, after_s=8.0), id="start"),
            pytest.param(Action.STOP, shows("inactive"), exits(0), id="stop"),
            pytest.param(Action.RELOAD, shows("active"), exits(0), id="reload"),
            pytest.param(Action.VALIDATE_ALL, shows("active"), exits(0), id="validate-all"),
        ],
    )
    def test_an_action_that_ends_at_the_first_poll(
        self, tmp_path: Path, action: Action, shown: Step, hook: Step
    ) -> None:
        """It reports nothing."""
        run = act(action, host_with({"show": [shown], "hook": [hook]}), tmp_path, values=HOOKED)
        assert waits(run) == []

    def test_it_does_not_delay_the_deadline(self, tmp_path: Path) -> None:
        """An action whose systemctl never ends has its result in time, and reports until then."""
        script = {"show": [shows("inactive"), shows("activating")], "start": [hangs()]}
        run = act(Action.START, host_with(script), tmp_path, operation=LONG)
        assert run.result.code == 1
        assert len(waits(run)) >= 8


class TestDecision:
    def test_the_first_waiting_event_leads_to_a_report(self) -> None:
        """So does each that comes ten seconds after the last report, and no other."""
        wait = Wait(100.0)
        times = [100.1 + step for step in range(35)]
        reported = [at for at in times if wait.record(Waiting(NOT_YET, 1.0), at)]
        assert reported == [100.1, 110.1, 120.1, 130.1]

    def test_the_state_is_that_of_the_last_poll(self) -> None:
        """Where hooks are the reason, the unit's state comes first; an older observation does not count."""
        wait = Wait(0.0)
        wait.record(Observed(Observation(unit_in(ActiveState.ACTIVE), (exited(1, b"not yet"),))), 0.0)
        assert wait.record(Waiting(NOT_YET, 1.0), 0.1) == f"{UNIT} is active, {NOT_YET.reason}"
        silent = ActionResult(1, "systemd does not answer: x")
        assert wait.record(Waiting(silent, 1.0), 10.1) == silent.reason
        wait.record(Observed(Observation(NoAnswer("x"))), 11.0)
        assert wait.record(Waiting(silent, 1.0), 20.1) == silent.reason

    def test_the_reason_of_the_step_before(self) -> None:
        """It is forgotten as a job begins: systemd has answered since."""
        wait = Wait(0.0)
        assert wait.record(Waiting(ActionResult(1, "systemd does not answer: x"), 1.0), 0.1)
        wait.record(JOB, 1.0)
        assert wait.reason_at(11.0) == "systemctl start has run for 10 s"
        assert wait.record(Waiting(NOT_YET, 1.0), 12.0) == ""

    def test_what_a_hook_has_printed_so_far(self) -> None:
        """The last line of a hook that runs is in the report."""
        output = Output()
        output.stderr += b"connecting\nno banner yet\n"
        wait = Wait(0.0)
        wait.record(CommandStarted(Purpose.HOOK, Command((HOOK,), {}, output=output)), 0.0)
        assert wait.reason_at(10.0) == "hook smtp has run for 10 s: no banner yet"

    def test_the_command_that_has_run_longest(self) -> None:
        """It is named while it runs, once it has taken ten seconds."""
        wait = Wait(0.0)
        wait.record(JOB, 0.0)
        wait.record(SMTP, 2.0)
        assert wait.reason_at(WAITING_LINE_S - 0.1) == ""
        assert wait.reason_at(WAITING_LINE_S) == "systemctl start has run for 10 s"
        wait.record(CommandEnded(JOB, Exited(11.0)), 11.0)
        assert wait.reason_at(20.0) == "hook smtp has run for 18 s"
        wait.record(CommandEnded(SMTP, None), 21.0)
        assert wait.reason_at(30.0) == ""
