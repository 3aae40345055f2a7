"""The actions, step by step against a scripted systemd and hook in virtual time."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from ocf_systemd.agent.actions import perform
from ocf_systemd.agent.events import (
    ActionEnded,
    ActionStarted,
    CommandEnded,
    CommandStarted,
    Escalated,
    Notice,
    Observed,
    StillWaiting,
    Waiting,
    WarningNotice,
)
from ocf_systemd.agent.request import Request
from ocf_systemd.core.observations import DOWN_STATES, RUNNING_STATES, Exited, NotStarted, Process, UnitState
from ocf_systemd.core.ocf import Action, ActionResult
from ocf_systemd.core.parameters import Operation
from ocf_systemd.core.timeouts import escalation_after_s
from ocf_systemd.host.drop_in import drop_in_path, drop_in_text, put_drop_in
from tests.unit.builders import UNIT, Heard, parameters
from tests.unit.scripted import (
    DONE,
    HOOK_PATH,
    OUTCOMES,
    Run,
    ScriptedSystemctl,
    Step,
    act,
    alive,
    booted,
    exits,
    hangs,
    host_with,
    lists,
    shows,
    silent,
    verb_of,
    written_below,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ocf_systemd.core.observations import CommandOutcome
    from ocf_systemd.host.processes import Command

HOOKED = {"monitor_hook": HOOK_PATH}
PROBE = Operation(20.0)
STOPPED_ROLE = Operation(20.0, is_recurring=True, expects_stopped=True)
SLEEP = Process(812, 1, "sleep")
LS = Process(813, 1, "ls", is_uninterruptible=True)
MANUAL_REFUSAL = f"Operation refused, unit {UNIT} may be requested by dependency only"
LOST = exits(1, "Failed to start x: Connection reset by peer")
NO_ANSWER_ROWS = [pytest.param(step, id=name) for name, step in OUTCOMES.items()]


def texts(run: Run, kind: type[WarningNotice | Notice]) -> list[str]:
    return [event.text for event in run.heard.facts if isinstance(event, kind)]


class TestMonitor:
    @pytest.mark.parametrize(
        ("shown", "hook", "operation", "code"),
        [
            pytest.param(shows("active"), exits(0), None, 0, id="active, 0"),
            pytest.param(shows("reloading"), exits(0), None, 0, id="reloading, 0"),
            pytest.param(shows("active"), exits(7), None, 7, id="active, 7"),
            pytest.param(shows("active"), exits(190), None, 190, id="active, 190"),
            pytest.param(shows("active"), exits(42), None, 42, id="active, 42"),
            pytest.param(shows("active"), exits(8), None, 1, id="active, 8"),
            pytest.param(shows("active"), exits(7), PROBE, 1, id="active, 7, probe"),
            pytest.param(shows("active"), exits(5), PROBE, 1, id="active, 5, probe"),
            pytest.param(shows("active"), exits(190), PROBE, 190, id="active, 190, probe"),
            pytest.param(shows("active"), exits(7), STOPPED_ROLE, 1, id="active, 7, role=Stopped"),
            pytest.param(shows("active"), hangs(), None, 1, id="active, hang"),
            pytest.param(shows("inactive"), exits(0), None, 7, id="inactive, 0"),
            pytest.param(shows("failed"), exits(0), None, 7, id="failed, 0"),
            pytest.param(shows("inactive", "not-found"), exits(0), None, 5, id="not found"),
            pytest.param(shows("inactive", "not-found"), exits(0), PROBE, 7, id="not found, probe"),
            pytest.param(shows("inactive", "masked"), exits(0), None, 7, id="masked"),
            pytest.param(shows("inactive", "not-found"), exits(0), STOPPED_ROLE, 7, id="not found, role=Stopped"),
            pytest.param(alive(shows("inactive"), SLEEP), exits(0), None, 1, id="inactive, process alive"),
            pytest.param(alive(shows("failed"), LS), exits(0), PROBE, 1, id="failed, process alive, probe"),
            pytest.param(alive(shows("inactive"), main=SLEEP), exits(0), None, 1, id="inactive, main process alive"),
        ],
    )
    def test_the_table(self, tmp_path: Path, shown: Step, hook: Step, operation: Operation | None, code: int) -> None:
        """One look is enough for what is settled, and nothing is done but looking."""
        run = act(
            Action.MONITOR,
            host_with({"show": [shown], "hook": [hook]}),
            tmp_path,
            values=HOOKED,
            operation=operation,
        )
        assert run.result.code == code
        assert len(run.host.times("show")) == (2 if shown.main or shown.others else 1)
        assert set(run.host.verbs) <= {"hook"}

    def test_started_by_hand_meanwhile(self, tmp_path: Path) -> None:
        """The processes of a start between the query and the search for processes are not taken for remaining ones."""
        shown = [alive(shows("inactive"), SLEEP), shows("active")]
        run = act(Action.MONITOR, host_with({"show": shown, "hook": [exits(0)]}), tmp_path, values=HOOKED)
        assert run.result.code == 0

    def test_no_second_reply(self, tmp_path: Path) -> None:
        """If systemd does not reply to the second query, the state is unknown, and the monitor queries it again."""
        shown = [alive(shows("inactive"), SLEEP), silent(), shows("active")]
        run = act(Action.MONITOR, host_with({"show": shown, "hook": [exits(0)]}), tmp_path, values=HOOKED)
        assert run.result.code == 0
        assert len(run.host.times("show")) == 3

    def test_unit_and_hook_start_at_the_same_moment(self, tmp_path: Path) -> None:
        """The hook does not wait for systemctl; together they take as long as the longer."""
        host = host_with({"show": [shows("active", after_s=3.0)], "hook": [exits(0, after_s=4.0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        assert run.host.times("hook") == run.host.times("show") == [0.0]
        assert run.result.code == 0
        assert run.took_s == pytest.approx(4.0)

    @pytest.mark.parametrize(
        ("operation", "when_active", "when_down"),
        [
            pytest.param(PROBE, [3.0], [], id="probe"),
            pytest.param(STOPPED_ROLE, [3.0], [], id="role=Stopped"),
            pytest.param(None, [0.0], [0.0], id="recurring"),
        ],
    )
    def test_a_probe_runs_the_hook_only_once_the_unit_is_active(
        self, tmp_path: Path, operation: Operation | None, when_active: list[float], when_down: list[float]
    ) -> None:
        """A hook that connects would start a socket-activated service on every probed node."""
        host = host_with({"show": [shows("active", after_s=3.0)], "hook": [exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED, operation=operation)
        assert run.result.code == 0
        assert run.host.times("hook") == pytest.approx(when_active)
        for state in ("inactive", "failed"):
            down = host_with({"show": [shows(state, after_s=3.0)], "hook": [exits(0, after_s=9.0)]})
            run = act(Action.MONITOR, down, tmp_path, values=HOOKED, operation=operation)
            assert (run.result.code, run.host.times("hook")) == (7, when_down)

    def test_the_hook_of_a_stopped_unit_is_ended_and_dropped(self, tmp_path: Path) -> None:
        """Once the unit is observed not running, the monitor does not wait for its hook."""
        host = host_with({"show": [shows("inactive", after_s=1.0)], "hook": [exits(0, after_s=5.0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        assert run.result.code == 7
        assert run.took_s == pytest.approx(1.0)
        (hook,) = run.host.of("hook")
        assert hook.outcome is None

    @pytest.mark.parametrize(
        ("shown", "hooks"),
        [
            pytest.param(shows("active", after_s=2.0), [2.0], id="active"),
            pytest.param(shows("inactive"), [], id="down"),
        ],
    )
    def test_a_gated_hook_waits_for_the_unit(self, tmp_path: Path, shown: Step, hooks: list[float]) -> None:
        """monitor_hook_order=gated: the hook runs only once systemctl has reported the unit as running."""
        host = host_with({"show": [shown], "hook": [exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values={**HOOKED, "monitor_hook_order": "gated"})
        assert run.host.times("hook") == pytest.approx(hooks)

    @pytest.mark.parametrize(
        ("level", "runs"),
        [
            pytest.param(0, 0, id="0"),
            pytest.param(9, 0, id="9"),
            pytest.param(10, 1, id="10"),
            pytest.param(20, 1, id="20"),
        ],
    )
    def test_the_check_level(self, tmp_path: Path, level: int, runs: int) -> None:
        """Below its level the hook does not run, and the unit's state alone counts."""
        host = host_with({"show": [shows("active")], "hook": [exits(1)]})
        operation = Operation(20.0, is_recurring=True, check_level=level)
        run = act(Action.MONITOR, host, tmp_path, values={**HOOKED, "monitor_hook_level": "10"}, operation=operation)
        assert (len(run.host.of("hook")), run.result.code) == (runs, runs)

    def test_an_only_look_gives_the_hook_all_the_time(self, tmp_path: Path) -> None:
        """A hook that takes 15 s of 18 s is waited for."""
        host = host_with({"show": [shows("active")], "hook": [exits(0, after_s=15.0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        assert run.result.code == 0
        assert run.took_s == pytest.approx(15.0)

    def test_a_hook_that_hangs_is_reported(self, tmp_path: Path) -> None:
        """1 before Pacemaker's timeout, and the time is named."""
        run = act(Action.MONITOR, host_with({"show": [shows("active")], "hook": [hangs()]}), tmp_path, values=HOOKED)
        assert run.result.code == 1
        assert run.result.reason == "hook true: timed out after 18.0 s"

    @pytest.mark.parametrize(
        ("hooks", "retries", "code", "runs"),
        [
            pytest.param([exits(1), exits(1), exits(0)], 2, 0, 3, id="third time lucky"),
            pytest.param([exits(1), exits(190)], 5, 190, 2, id="degraded is content"),
            pytest.param([exits(1), exits(2), exits(0)], 1, 2, 2, id="not often enough: the last one's"),
            pytest.param([exits(7)], 3, 7, 4, id="always 7"),
            pytest.param([exits(0)], 3, 0, 1, id="content at once"),
        ],
    )
    def test_retries(self, tmp_path: Path, hooks: list[Step], retries: int, code: int, runs: int) -> None:
        """monitor_hook_retries: further tries after a failed run."""
        host = host_with({"show": [shows("active")], "hook": hooks})
        run = act(Action.MONITOR, host, tmp_path, values={**HOOKED, "monitor_hook_retries": str(retries)})
        assert (run.result.code, len(run.host.of("hook"))) == (code, runs)

    def test_a_hook_with_a_limit_of_its_own_needs_no_share(self, tmp_path: Path) -> None:
        """monitor_hook_timeout bounds each run: no half of what is left is kept from it."""
        host = host_with({"show": [shows("active")], "hook": [exits(0, after_s=12.0)]})
        values = {**HOOKED, "monitor_hook_retries": "1", "monitor_hook_timeout": "15s"}
        run = act(Action.MONITOR, host, tmp_path, values=values)
        assert run.result.code == 0
        assert run.took_s == pytest.approx(12.0)

    def test_retries_leave_time_for_one_another(self, tmp_path: Path) -> None:
        """A hang takes half of what is left, so that another try may succeed, a poll_interval later."""
        host = host_with({"show": [shows("active")], "hook": [hangs(), exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values={**HOOKED, "monitor_hook_retries": "1"})
        assert run.result.code == 0
        assert run.took_s == pytest.approx(9.0 + 1.0, abs=0.1)

    @pytest.mark.parametrize(
        ("poll_interval", "times"),
        [
            pytest.param("1s", [0.0, 1.1, 2.2, 3.3], id="1 s"),
            pytest.param("3s", [0.0, 3.1, 6.2, 9.3], id="3 s"),
            pytest.param("500ms", [0.0, 0.6, 1.2, 1.8], id="0.5 s"),
            pytest.param("10s", [0.0, 10.1], id="while the timeout lasts"),
        ],
    )
    def test_retries_are_spaced(self, tmp_path: Path, poll_interval: str, times: list[float]) -> None:
        """A poll_interval lies between two tries, from the first: three at once would see the same trouble."""
        host = host_with({"show": [shows("active")], "hook": [exits(1, after_s=0.1)]})
        values = {**HOOKED, "monitor_hook_retries": "3", "poll_interval": poll_interval}
        run = act(Action.MONITOR, host, tmp_path, values=values)
        assert run.result.code == 1
        assert run.host.times("hook") == pytest.approx(times, abs=0.01)

    @pytest.mark.parametrize("operation", [pytest.param(PROBE, id="probe"), pytest.param(None, id="recurring")])
    @pytest.mark.parametrize(
        ("then", "code"),
        [pytest.param("active", 0, id="then active"), pytest.param("inactive", 7, id="then inactive")],
    )
    def test_an_inactive_unit_with_a_job_queued_is_waited_for(
        self, tmp_path: Path, then: str, code: int, operation: Operation | None
    ) -> None:
        """A restart of what it requires passes through this state: no 7 before the job is done."""
        host = host_with({"show": [*[shows("inactive", Job="4711")] * 5, shows(then)], "hook": [exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED, operation=operation)
        assert run.result.code == code
        assert len(run.host.of("show")) == 6

    def test_a_job_that_stays_queued(self, tmp_path: Path) -> None:
        """1 at the deadline, with what it waited for."""
        run = act(Action.MONITOR, host_with({"show": [shows("inactive", Job="4711")]}), tmp_path)
        assert (run.result.code, run.result.reason) == (1, f"{UNIT} inactive: start job queued")
        assert run.took_s > 0.9 * run.time_s

    @pytest.mark.parametrize("operation", [pytest.param(PROBE, id="probe"), pytest.param(None, id="recurring")])
    @pytest.mark.parametrize("mode", [pytest.param(mode, id=mode) for mode in ("process", "none")])
    def test_what_kill_mode_leaves_running_is_warned_of(
        self, tmp_path: Path, mode: str, operation: Operation | None
    ) -> None:
        """KillMode=process and none leave processes alive: 7 nevertheless, and the log names them."""
        host = host_with({"show": [alive(shows("inactive", KillMode=mode), SLEEP, LS)]})
        run = act(Action.MONITOR, host, tmp_path, operation=operation)
        assert run.result.code == 7
        assert texts(run, WarningNotice) == [f"KillMode={mode} of {UNIT} leaves sleep[812], ls[813] running"]

    def test_a_process_that_is_alive_is_named(self, tmp_path: Path) -> None:
        """Nothing is warned of: the reason names it."""
        run = act(Action.MONITOR, host_with({"show": [alive(shows("failed", Result="timeout"), LS)]}), tmp_path)
        reason = f"{UNIT} failed, but not stopped: ls[813] in uninterruptible sleep"
        assert (run.result.code, run.result.reason) == (1, reason)
        assert texts(run, WarningNotice) == []

    def test_retries_end_at_the_deadline(self, tmp_path: Path) -> None:
        """However many are allowed, they end in time, with the result of the last one."""
        host = host_with({"show": [shows("active")], "hook": [exits(3, after_s=0.5)]})
        run = act(Action.MONITOR, host, tmp_path, values={**HOOKED, "monitor_hook_retries": "1000"})
        assert run.result.code == 3
        assert 8 <= len(run.host.of("hook")) <= 30

    @pytest.mark.parametrize("answer", NO_ANSWER_ROWS)
    @pytest.mark.parametrize("operation", [pytest.param(PROBE, id="probe"), pytest.param(None, id="recurring")])
    def test_in_doubt_is_not_stopped(self, tmp_path: Path, answer: Step, operation: Operation | None) -> None:
        """Without a response the query is repeated until the deadline, then 1, never 7."""
        run = act(Action.MONITOR, host_with({"show": [answer]}), tmp_path, values=HOOKED, operation=operation)
        assert run.result.code == 1
        assert run.result.reason is not None
        assert run.result.reason.startswith("systemd does not answer: ")
        assert run.took_s > 0.9 * run.time_s
        assert len(run.host.of("show")) > 2

    def test_an_answer_that_comes_late_counts(self, tmp_path: Path) -> None:
        """Calls fail for a moment during daemon-reexec: the query is repeated."""
        host = host_with({"show": [silent(), silent(), silent(), shows("active")], "hook": [exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        assert run.result.code == 0
        assert run.took_s < 1.0

    @pytest.mark.parametrize("between", [pytest.param(state, id=state) for state in ("activating", "deactivating")])
    @pytest.mark.parametrize(
        ("then", "code"), [pytest.param("active", 0, id="to active"), pytest.param("inactive", 7, id="to inactive")]
    )
    def test_a_unit_between_two_states_is_waited_for(self, tmp_path: Path, between: str, then: str, code: int) -> None:
        """Where it settles is what counts; until it does, the hook does not run again."""
        host = host_with({"show": [shows(between)] * 5 + [shows(then)], "hook": [exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        assert run.result.code == code
        assert len(run.host.of("hook")) <= 2

    def test_a_unit_that_does_not_settle(self, tmp_path: Path) -> None:
        """1 at the deadline, with its state."""
        run = act(Action.MONITOR, host_with({"show": [shows("activating")]}), tmp_path)
        assert run.result.code == 1
        assert run.result.reason == f"{UNIT} activating"
        assert run.took_s > 0.9 * run.time_s

    def test_the_pauses_grow_up_to_the_poll_interval(self, tmp_path: Path) -> None:
        """They start at tens of milliseconds and end at poll_interval, but for one that leaves time for a last look."""
        host = host_with({"show": [shows("activating", after_s=0.0)]})
        run = act(Action.MONITOR, host, tmp_path, values={"poll_interval": "2s"})
        pauses = [event.pause_s for event in run.heard.facts if isinstance(event, Waiting)]
        assert pauses[0] < 0.05
        assert pauses[:-1] == sorted(pauses[:-1])
        assert max(pauses) == 2.0

    @pytest.mark.parametrize(
        "timeout_s", [pytest.param(each, id=f"{each} s") for each in (0.001, 0.1, 1.0, 5.0, 100.0)]
    )
    def test_any_timeout(self, tmp_path: Path, timeout_s: float) -> None:
        """However short or long it is, the action ends before."""
        operation = Operation(timeout_s, is_recurring=True)
        run = act(
            Action.MONITOR,
            host_with({"show": [hangs()], "hook": [hangs()]}),
            tmp_path,
            values=HOOKED,
            operation=operation,
        )
        assert run.result.code == 1
        assert run.took_s < timeout_s


class TestStart:
    def test_a_hook_that_hangs(self, tmp_path: Path) -> None:
        """The reason has the longest run of the hook, not the last, which has what is left of the time."""
        run = act(
            Action.START,
            host_with({"show": [shows("inactive"), shows("active")], "hook": [hangs()]}),
            tmp_path,
            values=HOOKED,
            operation=Operation(60.0),
        )
        times = [call.ended_s - call.at_s for call in run.host.calls if call.verb == "hook"]
        assert len(times) > 2
        assert run.result.reason == f"hook true: timed out after {max(times):.1f} s"

    def test_while_another_holds_the_lock_of_reloads(self, tmp_path: Path) -> None:
        """An agent that is stopped or frozen in its turn keeps the others from sharing, and from nothing else."""
        lock = tmp_path / "ocf-systemd" / "daemon-reload.lock"
        lock.parent.mkdir()
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            run = act(Action.START, host_with({"show": [shows("active")]}), tmp_path)
        assert run.result.code == 0
        assert len(run.host.of("daemon-reload")) == 1

    def test_step_by_step(self, tmp_path: Path) -> None:
        """Query, reset-failed, drop-in, daemon-reload, start, query: 0 once unit and hook are running."""
        host = host_with({"show": [shows("failed"), shows("active")], "hook": [exits(7), exits(7), exits(0)]})
        run = act(Action.START, host, tmp_path, values=HOOKED)
        assert run.result.code == 0
        assert run.host.verbs == ["daemon-reload", "reset-failed", "start", "hook"]
        assert len(run.host.of("hook")) == 3
        assert drop_in_path(UNIT, tmp_path).read_text() == drop_in_text(UNIT)

    def test_an_active_unit_is_started_as_well(self, tmp_path: Path) -> None:
        """Start is idempotent: systemctl start of a running unit does nothing, and its hook runs."""
        run = act(Action.START, host_with({"show": [shows("active")], "hook": [exits(0)]}), tmp_path, values=HOOKED)
        assert run.result.code == 0
        assert len(run.host.of("start")) == 1

    def test_a_degraded_service_has_started(self, tmp_path: Path) -> None:
        """190 counts as running for start, and is 0."""
        run = act(Action.START, host_with({"show": [shows("active")], "hook": [exits(190)]}), tmp_path, values=HOOKED)
        assert (run.result.code, run.result.reason) == (0, None)

    @pytest.mark.parametrize(
        "hook",
        [pytest.param(exits(code), id=str(code)) for code in (1, 2, 5, 6, 7, 42)] + [pytest.param(hangs(), id="hang")],
    )
    def test_a_hook_that_never_passes(self, tmp_path: Path, hook: Step) -> None:
        """The hook runs until the deadline, then 1: a start never returns 7, nor any code of the hook's."""
        run = act(Action.START, host_with({"show": [shows("active")], "hook": [hook]}), tmp_path, values=HOOKED)
        assert run.result.code == 1
        assert run.result.reason is not None
        assert run.result.reason.startswith("hook true: ")
        assert run.took_s > 0.85 * run.time_s
        assert len(run.host.of("hook")) > 2

    def test_a_hang_leaves_room_for_another_try(self, tmp_path: Path) -> None:
        """One hook run gets at most half of what is left."""
        host = host_with({"show": [shows("active")], "hook": [hangs(), exits(0)]})
        run = act(Action.START, host, tmp_path, values=HOOKED)
        assert run.result.code == 0
        assert run.took_s < 0.6 * run.time_s

    @pytest.mark.parametrize(
        "answer",
        [pytest.param(step, id=name) for name, step in OUTCOMES.items() if name not in {"tells nothing", "hangs"}],
    )
    def test_a_lost_request_is_made_again(self, tmp_path: Path, answer: Step) -> None:
        """A request without a job result was possibly not even queued."""
        shown = [shows("inactive")] * 4 + [shows("active")]
        run = act(Action.START, host_with({"show": shown, "start": [answer, LOST, DONE]}), tmp_path)
        assert (run.result.code, len(run.host.of("start"))) == (0, 3)

    def test_a_request_that_is_always_lost(self, tmp_path: Path) -> None:
        """1 at the deadline, with systemctl's message."""
        run = act(Action.START, host_with({"show": [shows("inactive")], "start": [LOST]}), tmp_path)
        assert run.result.code == 1
        assert run.result.reason is not None
        assert "Connection reset by peer" in run.result.reason
        assert run.took_s > 0.85 * run.time_s

    def test_a_job_that_is_done_is_not_requested_again(self, tmp_path: Path) -> None:
        """Once systemd has reported the job's result, no other start is requested."""
        host = host_with({"show": [shows("inactive"), *[shows("activating")] * 9, shows("active")]})
        run = act(Action.START, host, tmp_path)
        assert (run.result.code, len(run.host.of("start"))) == (0, 1)

    @pytest.mark.parametrize(
        ("start", "shown", "text"),
        [
            pytest.param(
                exits(1, f"Job for {UNIT} failed because the control process exited with error code.\n"),
                shows("failed", Result="exit-code", ExecMainCode="1", ExecMainStatus="3", InvocationID="abc"),
                "failed: exit-code, status 3: cannot bind to port 25",
                id="failed",
            ),
            pytest.param(
                DONE,
                shows("inactive", ConditionResult="no", ConditionTimestampMonotonic="4711"),
                "inactive: start job done, condition not met: cannot bind to port 25",
                id="condition not met",
            ),
            pytest.param(
                exits(1, f"A dependency job for {UNIT} failed. See 'journalctl -xe' for details.\n"),
                shows("inactive"),
                "inactive: start job dependency: cannot bind to port 25",
                id="dependency",
            ),
            pytest.param(
                exits(1, f"Job for {UNIT} canceled.\n"),
                shows("inactive"),
                "inactive: start job canceled: cannot bind to port 25",
                id="canceled",
            ),
            pytest.param(
                exits(1, f"Failed to start {UNIT}: {MANUAL_REFUSAL}\nSee system logs for details.\n"),
                shows("inactive"),
                f"inactive: {MANUAL_REFUSAL}: cannot bind to port 25",
                id="RefuseManualStart=yes",
            ),
        ],
    )
    def test_a_start_that_failed_ends_at_once(self, tmp_path: Path, start: Step, shown: Step, text: str) -> None:
        """Nothing will change any more: 1, with the job's result, the unit's, and its last journal line."""
        journal = Step(Exited(0.01, stdout=b"cannot bind to port 25\n"))
        host = host_with({"show": [shows("inactive"), shown], "start": [start], "journal": [journal]})
        run = act(Action.START, host, tmp_path, values=HOOKED)
        assert (run.result.code, run.result.reason) == (1, f"{UNIT} {text}")
        assert run.took_s < 1.0

    @pytest.mark.parametrize(
        "journal", [pytest.param(hangs(), id="hangs"), pytest.param(exits(1, "No journal files"), id="fails")]
    )
    def test_a_journal_that_does_not_answer(self, tmp_path: Path, journal: Step) -> None:
        """The reason does without it, and is not held up by more than a second."""
        host = host_with({"show": [shows("inactive"), shows("failed")], "journal": [journal]})
        run = act(Action.START, host, tmp_path)
        assert run.result.reason == f"{UNIT} failed"
        assert run.took_s < 2.0

    def test_the_last_line_is_found_under_an_alias(self, tmp_path: Path) -> None:
        """The journal knows a unit by its real Id, whatever name the parameter gives: mysql is mariadb.service."""
        journal = Step(Exited(0.01, stdout=b"cannot bind to port 3306\n"))
        shown = [shows("inactive", Id="mariadb.service"), shows("failed", Id="mariadb.service")]
        host = host_with({"show": shown, "journal": [journal]})
        run = act(Action.START, host, tmp_path, values={"unit": "mysql"})
        assert run.result.reason == "mysql.service failed: cannot bind to port 3306"
        assert [call.arguments[-1] for call in run.host.of("journal")] == ["--sync", "_SYSTEMD_UNIT=mariadb.service"]

    def test_not_permitted(self, tmp_path: Path) -> None:
        """Systemctl exits 4: so does the start, at once."""
        refused = exits(4, f"Failed to start {UNIT}: Access denied")
        run = act(Action.START, host_with({"show": [shows("inactive")], "start": [refused]}), tmp_path)
        assert (run.result.code, run.result.reason) == (4, f"{UNIT} inactive: Access denied")
        assert run.took_s < 2.0

    @pytest.mark.parametrize(
        ("shown", "code"),
        [
            pytest.param(shows("inactive", "not-found"), 5, id="not found"),
            pytest.param(shows("inactive", "masked"), 5, id="masked"),
            pytest.param(shows("inactive", "bad-setting"), 5, id="bad setting"),
            pytest.param(shows("inactive", "error"), 5, id="error"),
        ],
    )
    def test_what_cannot_be_started_is_not_tried(self, tmp_path: Path, shown: Step, code: int) -> None:
        """Validated first: nothing is changed on a host that cannot run it."""
        run = act(Action.START, host_with({"show": [shown]}), tmp_path)
        assert run.result.code == code
        assert set(run.host.verbs) <= {"daemon-reload"}
        assert written_below(tmp_path) == []

    def test_a_unit_file_that_appears_late(self, tmp_path: Path) -> None:
        """An earlier member of the group may have mounted its storage a moment ago: one daemon-reload before a 5."""
        host = host_with(
            {"show": [shows("inactive", "not-found")], "hook": [exits(0)]},
            **{"daemon-reload": {"show": [shows("inactive")]}, "start": {"show": [shows("active")]}},
        )
        run = act(Action.START, host, tmp_path, values={**HOOKED, "order_at_shutdown": "no"})
        assert run.result.code == 0
        assert run.host.verbs == ["daemon-reload", "reset-failed", "start", "hook"]

    def test_a_unit_file_that_does_not_appear(self, tmp_path: Path) -> None:
        """One daemon-reload, no more, and then 5; nothing is written or started."""
        run = act(Action.START, host_with({"show": [shows("inactive", "not-found")]}), tmp_path)
        assert (run.result.code, run.result.reason) == (5, f"{UNIT} not found")
        assert run.host.verbs == ["daemon-reload"]
        assert len(run.host.of("daemon-reload")) == 1
        assert written_below(tmp_path) == []
        assert run.took_s < 1.0

    @pytest.mark.parametrize(
        ("reloads", "code"),
        [pytest.param([LOST, LOST, DONE], 5, id="done at last"), pytest.param([LOST], 1, id="never done")],
    )
    def test_a_daemon_reload_that_fails_proves_nothing_about_the_file(
        self, tmp_path: Path, reloads: list[Step], code: int
    ) -> None:
        """5 is a hard error on this node: it is returned only once systemd has read its unit files."""
        host = host_with({"show": [shows("inactive", "not-found")], "daemon-reload": reloads})
        run = act(Action.START, host, tmp_path)
        assert run.result.code == code
        assert len(run.host.of("daemon-reload")) >= 3
        assert run.result.reason is not None
        assert run.result.reason.startswith(f"{UNIT} not found" if code == 5 else "systemd does not answer: daemon-rel")
        assert (run.took_s > 0.9 * run.time_s) is (code == 1)

    @pytest.mark.parametrize("load", [pytest.param(load, id=load) for load in ("masked", "bad-setting", "error")])
    @pytest.mark.parametrize(
        ("needs", "reloads", "code"), [pytest.param("yes", 1, 0, id="outdated"), pytest.param("no", 0, 5, id="as read")]
    )
    def test_a_unit_file_that_is_outdated(self, tmp_path: Path, load: str, needs: str, reloads: int, code: int) -> None:
        """What cannot be started by what systemd has read, but may be by what has been written since."""
        host = host_with(
            {"show": [shows("inactive", load, NeedDaemonReload=needs)]},
            **{"daemon-reload": {"show": [shows("inactive")]}, "start": {"show": [shows("active")]}},
        )
        run = act(Action.START, host, tmp_path, values={"order_at_shutdown": "no"})
        assert (run.result.code, len(run.host.of("daemon-reload"))) == (code, reloads)

    def test_another_agent_may_have_had_it_read(self, tmp_path: Path) -> None:
        """What was read while the start waited for its turn is not read again."""
        shown = [shows("inactive", "not-found"), shows("inactive"), shows("inactive"), shows("active")]
        run = act(Action.START, host_with({"show": shown}), tmp_path, values={"order_at_shutdown": "no"})
        assert (run.result.code, run.host.of("daemon-reload")) == (0, [])

    @pytest.mark.parametrize("action", [pytest.param(each, id=each) for each in (Action.START, Action.RELOAD)])
    @pytest.mark.parametrize("level", [pytest.param(level, id=str(level)) for level in ("0", "10")])
    def test_the_hook_is_run_whatever_its_level(self, tmp_path: Path, action: Action, level: str) -> None:
        """Else a start would be reported done before the service works."""
        host = host_with({"show": [shows("active")], "hook": [exits(7), exits(7), exits(0)]})
        run = act(action, host, tmp_path, values={**HOOKED, "monitor_hook_level": level})
        assert (run.result.code, len(run.host.of("hook"))) == (0, 3)

    @pytest.mark.parametrize(
        ("properties", "order", "text"),
        [
            pytest.param({}, "yes", "", id="no"),
            pytest.param({"Restart": ""}, "yes", "", id="a unit that has none"),
            pytest.param({"Restart": "always"}, "no", "", id="always, as is wanted"),
            pytest.param({"Restart": "always"}, "yes", "Restart=always", id="always"),
            pytest.param({"RestartForceExitStatus": "3"}, "yes", "RestartForceExitStatus=3", id="forced"),
            pytest.param(
                {"Restart": "on-abort", "RestartForceExitStatus": "3 SIGHUP"},
                "yes",
                "Restart=on-abort and RestartForceExitStatus=3 SIGHUP",
                id="both",
            ),
        ],
    )
    def test_a_restart_that_is_in_force_is_warned_of(
        self, tmp_path: Path, properties: dict[str, str], order: str, text: str
    ) -> None:
        """Once, where another drop-in comes after the agent's; the start is good all the same."""
        host = host_with({"show": [shows("active", "loaded", 0.01, **properties)]})
        run = act(Action.START, host, tmp_path, values={"order_at_shutdown": order})
        overrides = f"{text} of {UNIT} overrides {drop_in_path(UNIT, tmp_path)}"
        expected = [f"{overrides}: systemd may restart it without the cluster knowing"] if text else []
        assert (run.result.code, texts(run, WarningNotice)) == (0, expected)

    @pytest.mark.parametrize(
        ("hook", "values", "code"),
        [
            pytest.param("/no/such/hook", {}, 5, id="missing"),
            pytest.param("/etc/passwd", {}, 5, id="not executable"),
            pytest.param("{tmp}/open", {}, 4, id="not safe"),
            pytest.param(HOOK_PATH, {"monitor_hook_user": "no-such-user"}, 5, id="unknown user"),
        ],
    )
    def test_a_hook_that_cannot_be_run(self, tmp_path: Path, hook: str, values: dict[str, str], code: int) -> None:
        """A hook that cannot run is found before anything is started: 5, or 4 if it is not safe."""
        (tmp_path / "open").touch()
        (tmp_path / "open").chmod(0o777)
        run = act(
            Action.START,
            host_with({"show": [shows("inactive")]}),
            tmp_path,
            values={"monitor_hook": hook.format(tmp=tmp_path), **values},
        )
        assert run.result.code == code
        assert run.host.verbs == []

    @pytest.mark.parametrize("limit", [pytest.param(limit, id=str(limit)) for limit in (1, 2, 5)])
    def test_start_poll_limit(self, tmp_path: Path, limit: int) -> None:
        """So many looks after the start, then it gives up, long before the deadline."""
        host = host_with({"show": [shows("active")], "hook": [exits(7)]})
        run = act(Action.START, host, tmp_path, values={**HOOKED, "start_poll_limit": str(limit)})
        assert (run.result.code, len(run.host.of("hook"))) == (1, limit)
        assert run.took_s < 2.0

    def test_gated_by_itself_while_the_job_runs(self, tmp_path: Path) -> None:
        """The hook does not run before systemd has reported the unit as started."""
        shown = [shows("inactive"), *[shows("activating")] * 4, shows("active")]
        host = host_with({"show": shown, "start": [hangs()], "hook": [exits(0)]})
        run = act(Action.START, host, tmp_path, values=HOOKED)
        assert (run.result.code, len(run.host.of("hook"))) == (0, 1)

    def test_a_job_that_takes_longer_than_there_is_time(self, tmp_path: Path) -> None:
        """The request is given up in time for a query, and the result is 1."""
        host = host_with({"show": [shows("inactive"), shows("activating", SubState="start-pre")], "start": [hangs()]})
        run = act(Action.START, host, tmp_path)
        assert (run.result.code, run.result.reason) == (1, f"{UNIT} activating: start-pre")

    @pytest.mark.parametrize("answer", NO_ANSWER_ROWS)
    def test_a_systemd_that_does_not_answer(self, tmp_path: Path, answer: Step) -> None:
        """1 at the deadline, and nothing was requested."""
        run = act(Action.START, host_with({"show": [answer]}), tmp_path)
        assert run.result.code == 1
        assert run.host.verbs == []
        assert written_below(tmp_path) == []

    def test_a_systemd_that_falls_silent_later(self, tmp_path: Path) -> None:
        """In doubt is not started either."""
        run = act(Action.START, host_with({"show": [shows("inactive"), silent()]}), tmp_path)
        assert run.result.code == 1
        assert run.result.reason is not None
        assert run.result.reason.startswith("systemd does not answer: ")


class TestStop:
    def test_step_by_step(self, tmp_path: Path) -> None:
        """Stop, look until the unit is observed stopped, remove the drop-in: no daemon-reload before or after.

        A generator that takes long would make the stop fail, and so fence the node.
        """
        act(Action.START, host_with({"show": [shows("active")]}), tmp_path)
        path = drop_in_path(UNIT, tmp_path)
        shown = [shows("active", DropInPaths=str(path)), shows("deactivating"), shows("inactive")]
        run = act(Action.STOP, host_with({"show": shown}), tmp_path, values=HOOKED)
        assert (run.result.code, run.result.reason) == (0, None)
        assert run.host.verbs == ["stop"]
        assert not path.parent.exists()

    @pytest.mark.parametrize(
        "shown",
        [
            pytest.param(shows("inactive"), id="inactive"),
            pytest.param(shows("failed"), id="failed"),
            pytest.param(shows("inactive", "not-found"), id="not found"),
            pytest.param(shows("inactive", "masked"), id="masked"),
        ],
    )
    @pytest.mark.parametrize(
        "hook", [pytest.param("/no/such/hook", id="missing hook"), pytest.param(HOOK_PATH, id="hook")]
    )
    def test_what_is_stopped_is_success(self, tmp_path: Path, shown: Step, hook: str) -> None:
        """A missing hook, a missing unit, an already stopped unit: 0; the hook is not run."""
        host = host_with({"show": [shown], "stop": [exits(5, "Unit not loaded.")]})
        run = act(Action.STOP, host, tmp_path, values={"monitor_hook": hook})
        assert (run.result.code, run.host.of("hook")) == (0, [])

    @pytest.mark.parametrize("answer", NO_ANSWER_ROWS)
    def test_in_doubt_is_not_stopped(self, tmp_path: Path, answer: Step) -> None:
        """If systemd does not reply, it is queried until the deadline; then 1, never 0."""
        run = act(Action.STOP, host_with({"show": [answer], "stop": [answer]}), tmp_path)
        assert run.result.code == 1
        assert run.result.reason is not None
        assert run.result.reason.startswith("systemd does not answer: ")
        assert run.took_s > 0.85 * run.time_s
        assert run.host.signals == []

    def test_a_lost_request_is_made_again(self, tmp_path: Path) -> None:
        """Each query is followed by another stop request."""
        host = host_with({"show": [shows("active")] * 4 + [shows("inactive")], "stop": [LOST]})
        run = act(Action.STOP, host, tmp_path)
        assert run.result.code == 0
        assert len(run.host.of("stop")) == 5

    def test_what_fails_while_it_stops_has_a_last_line(self, tmp_path: Path) -> None:
        """A busy mount logs why: the reason has the unit's own log line, by its real Id, and not PID 1's."""
        journal = Step(Exited(0.01, stdout=b"umount: /srv: target is busy.\n"))
        shown = shows("active", Id="srv.mount", KillMode="")
        failed = exits(1, "Job for srv-data.mount failed.\nSee it.\n")
        host = host_with({"show": [shown], "stop": [failed], "journal": [journal]})
        run = act(Action.STOP, host, tmp_path, values={"unit": "srv-data.mount"})
        text = "srv-data.mount active: stop job failed: umount: /srv: target is busy."
        assert (run.result.code, run.result.reason) == (1, text)
        assert [call.arguments[-1] for call in run.host.of("journal")] == ["--sync", "_SYSTEMD_UNIT=srv.mount"]
        silent_unit = host_with({"show": [shown], "stop": [failed], "journal": [DONE]})
        run = act(Action.STOP, silent_unit, tmp_path, values={"unit": "srv-data.mount"})
        assert run.result.reason == "srv-data.mount active: stop job failed"
        assert len(run.host.of("journal")) == 2

    @pytest.mark.parametrize(
        ("timeout_s", "after_s"),
        [
            pytest.param(1.0, 0.5625, id="1 s: a quarter before"),
            pytest.param(4.0, 2.7, id="4 s: a quarter before"),
            pytest.param(20.0, 13.5, id="20 s: a quarter before"),
            pytest.param(60.0, 50.0, id="60 s: 5 s before"),
            pytest.param(110.0, 100.0, id="110 s, as advertised: 5 s before"),
        ],
    )
    def test_when_it_escalates(self, tmp_path: Path, timeout_s: float, after_s: float) -> None:
        """A unit that does not stop gets SIGKILL in the last part of the time, so that the stop succeeds.

        A failed one means fencing; systemd's own TimeoutStopSec, 90 s, comes first under the advertised timeout.
        """
        host = host_with(
            {"show": [shows("deactivating")], "stop": [hangs(until="SIGKILL")]}, SIGKILL={"show": [shows("failed")]}
        )
        run = act(Action.STOP, host, tmp_path, operation=Operation(timeout_s))
        assert run.result.code == 0
        assert run.host.signal_times("SIGKILL") == pytest.approx([after_s], abs=0.1)
        assert after_s == pytest.approx(escalation_after_s(run.time_s))
        assert [signal.name for signal in run.host.signals] == ["SIGKILL"]
        assert [event for event in run.heard.facts if isinstance(event, Escalated)] == [Escalated(UNIT)]
        assert "kill" not in run.host.verbs  # which writes cgroup.kill, from systemd 257 on

    def test_escalation_goes_on(self, tmp_path: Path) -> None:
        """One SIGKILL is not the last: a process that was just forked may have missed it."""
        run = act(Action.STOP, host_with({"show": [shows("deactivating")], "stop": [hangs()]}), tmp_path)
        assert run.result.code == 1
        assert len(run.host.signals) > 3
        assert len([event for event in run.heard.facts if isinstance(event, Escalated)]) == 1

    def test_no_escalation_where_it_is_not_wanted(self, tmp_path: Path) -> None:
        """stop_escalate=no: 1 at the deadline, and no process is killed."""
        host = host_with({"show": [shows("deactivating")], "stop": [hangs()]})
        run = act(Action.STOP, host, tmp_path, values={"stop_escalate": "no"})
        assert (run.result.code, run.host.signals) == (1, [])
        assert run.result.reason is not None
        assert run.result.reason.startswith(f"{UNIT} deactivating: its job still runs after ")

    @pytest.mark.parametrize("unit", [pytest.param(unit, id=unit) for unit in ("srv.mount", "a.socket", "a.target")])
    def test_no_escalation_of_what_is_no_service(self, tmp_path: Path, unit: str) -> None:
        """A mount's process is umount, and to kill it unmounts nothing; others have none."""
        run = act(
            Action.STOP,
            host_with({"show": [shows("deactivating")], "stop": [hangs()]}),
            tmp_path,
            values={"unit": unit},
        )
        assert (run.result.code, run.host.signals) == (1, [])
        assert not [event for event in run.heard.facts if isinstance(event, Escalated)]

    def test_no_escalation_where_it_is_not_needed(self, tmp_path: Path) -> None:
        """A unit that stops before is not killed."""
        host = host_with({"show": [shows("inactive")], "stop": [exits(0, after_s=13.0)]})
        run = act(Action.STOP, host, tmp_path)
        assert (run.result.code, run.host.signals) == (0, [])

    @pytest.mark.parametrize(
        ("timeout_s", "killed_after_s"),
        [pytest.param(20.0, 13.5 + 1.5, id="20 s"), pytest.param(110.0, 100.0 + 1.7, id="110 s")],
    )
    def test_an_exec_stop_post_gets_half_of_the_rest(
        self, tmp_path: Path, timeout_s: float, killed_after_s: float
    ) -> None:
        """Once the main process is dead, ExecStopPost= cleans up: it is killed as well only if it does not end.

        Half of the time until the last query, which leaves time for the last log line.
        """
        shown = shows("deactivating", SubState="stop-post")
        host = host_with({"show": [shown], "stop": [hangs(until="SIGKILL")]}, SIGKILL={"show": [shows("failed")]})
        run = act(Action.STOP, host, tmp_path, operation=Operation(timeout_s))
        assert run.result.code == 0
        assert run.host.signal_times("SIGKILL") == pytest.approx([killed_after_s], abs=1.0)
        assert min(run.host.signal_times("SIGKILL")) >= killed_after_s

    def test_an_exec_stop_post_that_follows_the_kill(self, tmp_path: Path) -> None:
        """The SIGKILL that ended the others spares the processes that clean up, which exit in time."""
        host = host_with(
            {"show": [shows("deactivating", SubState="stop-sigterm")], "stop": [exits(0, after_s=15.0)]},
            SIGKILL={"show": [*[shows("deactivating", SubState="stop-post")] * 4, shows("failed")]},
        )
        run = act(Action.STOP, host, tmp_path)
        assert run.result.code == 0
        assert [signal.unit.sub_state for signal in run.host.signals] == ["stop-sigterm"]

    def test_a_stop_that_systemd_refuses(self, tmp_path: Path) -> None:
        """RefuseManualStop=yes: SIGTERM at once, SIGKILL after as long as an escalation has, and not after 13.5 s."""
        refused = exits(1, f"Failed to stop {UNIT}: {MANUAL_REFUSAL}\n")
        host = host_with({"show": [shows("active")], "stop": [refused]}, SIGKILL={"show": [shows("failed")]})
        run = act(Action.STOP, host, tmp_path)
        assert run.result.code == 0
        assert run.host.signal_times("SIGTERM") == pytest.approx([0.0], abs=0.1)
        assert run.host.signal_times("SIGKILL")[0] == pytest.approx(4.5, abs=0.2)

    def test_a_refused_stop_that_sigterm_ends(self, tmp_path: Path) -> None:
        """Nothing is killed then."""
        refused = exits(1, f"Failed to stop {UNIT}: {MANUAL_REFUSAL}\n")
        host = host_with({"show": [shows("active")], "stop": [refused]}, SIGTERM={"show": [shows("inactive")]})
        run = act(Action.STOP, host, tmp_path)
        assert (run.result.code, [signal.name for signal in run.host.signals]) == (0, ["SIGTERM"])
        assert run.took_s < 1.0

    def test_a_refused_stop_without_escalation(self, tmp_path: Path) -> None:
        """1 at the deadline with systemd's message, and no signal is sent."""
        refused = exits(1, f"Failed to stop {UNIT}: {MANUAL_REFUSAL}\n")
        host = host_with({"show": [shows("active")], "stop": [refused]})
        run = act(Action.STOP, host, tmp_path, values={"stop_escalate": "no"})
        assert (run.result.code, run.result.reason) == (1, f"{UNIT} active: {MANUAL_REFUSAL}")
        assert run.host.signals == []

    @pytest.mark.parametrize("state", [pytest.param(state, id=state) for state in ("inactive", "failed")])
    def test_a_process_that_outlives_the_unit_is_killed(self, tmp_path: Path, state: str) -> None:
        """SendSIGKILL=no, or an alias laid over a running unit: not stopped before it is gone."""
        host = host_with({"show": [alive(shows(state), main=SLEEP)]}, SIGKILL={"show": [shows(state)]})
        run = act(Action.STOP, host, tmp_path)
        assert run.result.code == 0
        assert run.host.signal_times("SIGKILL")[0] == pytest.approx(13.5, abs=0.1)
        assert run.host.signals[0].unit.main_process == SLEEP

    @pytest.mark.parametrize(
        ("process", "text"),
        [
            pytest.param(LS, "ls[813] in uninterruptible sleep", id="uninterruptible"),
            pytest.param(SLEEP, "sleep[812] alive", id="not killed"),
        ],
    )
    @pytest.mark.parametrize("escalate", [pytest.param(value, id=value) for value in ("yes", "no")])
    def test_a_process_that_cannot_be_killed(self, tmp_path: Path, process: Process, text: str, escalate: str) -> None:
        """1 at the deadline, and never 0: what is alive may still write. The drop-in stays in place."""
        act(Action.START, host_with({"show": [shows("active")]}), tmp_path)
        host = host_with({"show": [alive(shows("failed"), process)]})
        run = act(Action.STOP, host, tmp_path, values={"stop_escalate": escalate})
        assert (run.result.code, run.result.reason) == (1, f"{UNIT} failed, but not stopped: {text}")
        assert bool(run.host.signals) is (escalate == "yes")
        assert run.took_s > 0.85 * run.time_s
        assert drop_in_path(UNIT, tmp_path).exists()

    @pytest.mark.parametrize("mode", [pytest.param(mode, id=mode) for mode in ("process", "none")])
    def test_what_kill_mode_leaves_running_is_warned_of(self, tmp_path: Path, mode: str) -> None:
        """KillMode=process and none leave processes alive: stopped, none is killed, and the log names them."""
        host = host_with({"show": [alive(shows("inactive", KillMode=mode), SLEEP)]})
        run = act(Action.STOP, host, tmp_path)
        assert (run.result.code, run.host.signals) == (0, [])
        assert texts(run, WarningNotice) == [f"KillMode={mode} of {UNIT} leaves sleep[812] running"]

    def test_a_job_that_would_start_it_again(self, tmp_path: Path) -> None:
        """Inactive with a job queued is not stopped: it is stopped again, which cancels the job."""
        host = host_with({"show": [shows("inactive", Job="4711"), shows("inactive", Job="4711"), shows("inactive")]})
        run = act(Action.STOP, host, tmp_path)
        assert (run.result.code, len(run.host.of("stop"))) == (0, 3)
        run = act(Action.STOP, host_with({"show": [shows("inactive", Job="4711")]}), tmp_path)
        assert (run.result.code, run.result.reason) == (1, f"{UNIT} inactive: a job queued")

    @pytest.mark.parametrize("action", [pytest.param(each, id=each) for each in (Action.START, Action.STOP)])
    @pytest.mark.parametrize("timeout_s", [pytest.param(each, id=f"{each} s") for each in (4.0, 20.0, 110.0)])
    def test_at_the_deadline_there_is_time_for_the_last_line(
        self, tmp_path: Path, action: Action, timeout_s: float
    ) -> None:
        """The looks end so much earlier that the journal can be read before the deadline."""
        journal = Step(Exited(0.02, stdout=b"waiting for a disk\n"), 0.02)
        host = host_with({"show": [shows("deactivating")], action: [hangs()], "journal": [journal]})
        run = act(action, host, tmp_path, operation=Operation(timeout_s))
        assert run.result.code == 1
        assert run.result.reason is not None
        assert run.result.reason.endswith(": waiting for a disk")

    def test_what_sigkill_has_ended_is_noticed_whatever_the_poll_interval(self, tmp_path: Path) -> None:
        """The last pause is as short as leaves time for a look: a stop that worked is not reported as failed."""
        timed_out = exits(1, f"Job for {UNIT} timed out.\n")
        host = host_with({"show": [shows("deactivating")], "stop": [timed_out]}, SIGKILL={"show": [shows("failed")]})
        run = act(Action.STOP, host, tmp_path, values={"poll_interval": "30s"}, operation=Operation(110.0))
        assert run.result.code == 0

    @pytest.mark.parametrize("limit", [pytest.param(limit, id=str(limit)) for limit in (1, 3)])
    def test_stop_poll_limit(self, tmp_path: Path, limit: int) -> None:
        """So many looks after the stop, then it gives up."""
        host = host_with({"show": [shows("active")]})
        run = act(Action.STOP, host, tmp_path, values={"stop_poll_limit": str(limit)})
        assert (run.result.code, len(run.host.of("stop"))) == (1, limit)

    @pytest.mark.parametrize(
        ("hooks", "code", "runs"),
        [
            pytest.param([exits(0), exits(0), exits(7)], 0, 3, id="7 at last"),
            pytest.param([exits(7)], 0, 1, id="7 at once"),
        ],
    )
    def test_stop_verify_waits_for_the_hook(self, tmp_path: Path, hooks: list[Step], code: int, runs: int) -> None:
        """A unit whose ExecStop only triggers the stop is down before its service is."""
        host = host_with({"show": [shows("active"), shows("inactive")], "hook": hooks})
        run = act(Action.STOP, host, tmp_path, values={**HOOKED, "stop_verify": "yes"})
        assert (run.result.code, len(run.host.of("hook"))) == (code, runs)

    @pytest.mark.parametrize(
        "hook",
        [
            pytest.param(exits(0), id="running"),
            pytest.param(exits(1), id="fails"),
            pytest.param(hangs(), id="hangs"),
        ],
    )
    def test_stop_verify_and_a_hook_that_never_returns_7(self, tmp_path: Path, hook: Step) -> None:
        """1 at the deadline, and the hook is named."""
        host = host_with({"show": [shows("inactive")], "hook": [hook]})
        run = act(Action.STOP, host, tmp_path, values={**HOOKED, "stop_verify": "yes"})
        assert run.result.code == 1
        assert run.result.reason is not None
        assert run.result.reason.endswith("expected not running after stop")
        assert run.result.reason.startswith("hook true: ")

    @pytest.mark.parametrize(
        ("hook", "level"),
        [pytest.param("/no/such/hook", "0", id="missing"), pytest.param(HOOK_PATH, "10", id="below its check level")],
    )
    def test_stop_verify_without_a_hook_to_run(self, tmp_path: Path, hook: str, level: str) -> None:
        """A hook that cannot run does not fail a stop."""
        values = {"monitor_hook": hook, "monitor_hook_level": level, "stop_verify": "yes"}
        host = host_with({"show": [shows("inactive")], "hook": [Step(NotStarted(2, "No such file or directory"))]})
        assert act(Action.STOP, host, tmp_path, values=values).result.code == 0

    def test_not_permitted(self, tmp_path: Path) -> None:
        """4 at the deadline, with systemctl's message."""
        host = host_with({"show": [shows("active")], "stop": [exits(4, f"Failed to stop {UNIT}: Access denied")]})
        run = act(Action.STOP, host, tmp_path, values={"stop_escalate": "no"})
        assert (run.result.code, run.result.reason) == (4, f"{UNIT} active: Access denied")


STOPPING = "pacemaker.service stop running"
WAITING = shows("active", Job="4711")


class TestStopAtShutdown:
    """The host's shutdown stops Pacemaker, for which the unit's stop job waits, while Pacemaker waits for the stop."""

    @pytest.mark.parametrize(
        "jobs",
        [
            pytest.param([lists(STOPPING)], id="stop"),
            pytest.param([lists("pacemaker.service restart waiting")], id="restart"),
            pytest.param([lists("pacemaker_remote.service stop running")], id="remote"),
            pytest.param([lists(f"{UNIT} stop waiting", STOPPING)], id="among others"),
            pytest.param([lists(), silent(), lists(STOPPING)], id="comes later"),
        ],
    )
    def test_a_job_that_waits_for_pacemaker_is_run_at_once(self, tmp_path: Path, jobs: list[Step]) -> None:
        """Without regard to dependencies, by which the job would wait until the stop's timeout."""
        host = host_with(
            {"show": [WAITING], "stop": [hangs(until="stop at once")], "list-jobs": jobs},
            **{"stop at once": {"show": [shows("inactive")]}},
        )
        run = act(Action.STOP, host, tmp_path)
        assert run.result.code == 0
        assert run.host.verbs == ["stop", "stop at once"]
        assert len(run.host.of("stop at once")) == 1
        assert run.took_s < 2.0

    @pytest.mark.parametrize(
        "jobs",
        [
            pytest.param([lists()], id="none"),
            pytest.param([lists(f"{UNIT} stop running", "web.service stop waiting")], id="others"),
            pytest.param([lists("pacemaker.service start running")], id="start"),
            pytest.param([lists("pacemaker.service verify-active waiting")], id="verify-active"),
            pytest.param([silent()], id="no answer"),
            pytest.param([hangs()], id="hangs"),
        ],
    )
    def test_otherwise_dependencies_are_kept(self, tmp_path: Path, jobs: list[Step]) -> None:
        """Units that require this one have to stop with it, which they do not in that mode."""
        host = host_with({"show": [shows("inactive")], "stop": [exits(0, after_s=6.0)], "list-jobs": jobs})
        run = act(Action.STOP, host, tmp_path)
        assert (run.result.code, run.host.verbs) == (0, ["stop"])

    @pytest.mark.parametrize(
        "shown",
        [
            pytest.param(shows("active"), id="no job"),
            pytest.param(shows("deactivating", Job="4711"), id="its job runs already"),
            pytest.param(silent(), id="no answer"),
        ],
    )
    def test_only_a_job_that_waits_is_run_at_once(self, tmp_path: Path, shown: Step) -> None:
        """What does not wait for Pacemaker is left to its dependencies, while the host shuts down as well."""
        host = host_with({"show": [shown], "stop": [exits(0, after_s=6.0)], "list-jobs": [lists(STOPPING)]})
        run = act(Action.STOP, host, tmp_path, values={"stop_poll_limit": "1"})
        assert run.host.of("stop at once") == []
        assert len(run.host.of("list-jobs")) > 3

    def test_a_quick_stop_does_not_list_jobs(self, tmp_path: Path) -> None:
        """A unit that stops in 0.2 s does not wait for a turn."""
        run = act(Action.STOP, host_with({"show": [shows("inactive")], "stop": [exits(0, after_s=0.15)]}), tmp_path)
        assert (run.result.code, run.host.of("list-jobs")) == (0, [])

    def test_it_lists_jobs_less_and_less_often(self, tmp_path: Path) -> None:
        """At first soon, then every poll_interval: a database may take a minute to stop."""
        host = host_with({"show": [shows("inactive")], "stop": [exits(0, after_s=12.0)], "list-jobs": [lists()]})
        run = act(Action.STOP, host, tmp_path, values={"poll_interval": "3s"})
        times = run.host.times("list-jobs")
        assert times[:3] == pytest.approx([0.2, 0.6, 1.4], abs=0.1)
        assert [later - earlier for earlier, later in pairwise(times)][-1] == pytest.approx(3.0, abs=0.1)


class TestDropIn:
    @pytest.mark.parametrize(
        ("action", "state"),
        [(Action.START, "activating"), (Action.STOP, "deactivating"), (Action.MONITOR, "activating")],
    )
    @pytest.mark.parametrize("after_s", [0.3, 0.45, 0.7, 1.1])
    def test_the_deadline_cuts_a_query_short(self, tmp_path: Path, action: Action, state: str, after_s: float) -> None:
        """On a busy host the last query may have no time left: the reason is the state that was observed before."""
        host = host_with({"show": [shows(state, after_s=after_s)], action.value: [hangs()]})
        run = act(action, host, tmp_path)
        assert run.result.code == 1
        assert run.result.reason is not None
        assert run.result.reason.startswith(f"{UNIT} {state}")

    def test_systemd_is_reloaded_only_for_changes(self, tmp_path: Path) -> None:
        """One daemon-reload when it was written and systemd has not read it; none when it stood and was read."""
        active = {"show": [shows("active")]}
        assert len(act(Action.START, host_with(active), tmp_path).host.of("daemon-reload")) == 1
        text = {"show": [shows("active", DropInPaths=str(drop_in_path(UNIT, tmp_path)))]}
        assert len(act(Action.START, host_with(text), tmp_path).host.of("daemon-reload")) == 0
        assert len(act(Action.START, host_with(active), tmp_path).host.of("daemon-reload")) == 1

    @pytest.mark.parametrize(
        ("needs", "reloads"), [pytest.param("no", 0, id="drop-in read"), pytest.param("yes", 1, id="unit file older")]
    )
    def test_systemd_is_not_reloaded_for_what_it_knows(self, tmp_path: Path, needs: str, reloads: int) -> None:
        """A unit that was forgotten while it was down has been loaded with the drop-in: it costs no daemon-reload."""
        loaded = shows("inactive", DropInPaths=str(drop_in_path(UNIT, tmp_path)), NeedDaemonReload=needs)
        run = act(Action.START, host_with({"show": [shows("inactive"), loaded, shows("active")]}), tmp_path)
        assert run.result.code == 0
        assert len(run.host.of("daemon-reload")) == reloads

    def test_systemd_is_reloaded_for_what_it_has_not_loaded(self, tmp_path: Path) -> None:
        """The action that wrote it may have been killed before the daemon-reload: DropInPaths does not list it."""
        act(Action.START, host_with({"show": [shows("active")]}), tmp_path)
        run = act(Action.START, host_with({"show": [shows("active", NeedDaemonReload="yes")]}), tmp_path)
        assert (run.result.code, len(run.host.of("daemon-reload"))) == (0, 1)
        assert texts(run, Notice) == []

    @pytest.mark.parametrize("is_there", [pytest.param(True, id="removed now"), pytest.param(False, id="before")])
    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in ("zz-ocf-systemd", "50-ocf-systemd")])
    @pytest.mark.parametrize(
        ("listed_later", "reloads"), [pytest.param(True, 1, id="listed"), pytest.param(False, 0, id="forgotten")]
    )
    def test_after_a_stop_systemd_is_reloaded_only_if_it_still_lists_it(
        self, tmp_path: Path, name: str, *, is_there: bool, listed_later: bool, reloads: int
    ) -> None:
        """Systemd unloads a unit that nothing refers to, and its drop-in with it."""
        path = drop_in_path(UNIT, tmp_path).with_name(f"{name}.conf")
        if is_there:
            path.parent.mkdir(parents=True)
            path.touch()
        listed = shows("inactive", DropInPaths=str(path))
        shown = [listed] if listed_later else [listed, shows("inactive")] if is_there else [shows("inactive")]
        host = host_with({"show": shown}, **{"daemon-reload": {"show": [shows("inactive")]}})
        run = act(Action.STOP, host, tmp_path)
        assert (run.result.code, len(run.host.of("daemon-reload"))) == (0, reloads)
        assert written_below(tmp_path) == []
        assert texts(run, Notice) == ([f"drop-in {drop_in_path(UNIT, tmp_path)} removed"] if is_there else [])

    def test_another_stop_may_have_reloaded_it(self, tmp_path: Path) -> None:
        """There is no daemon-reload for a drop-in that systemd unloaded while the stop waited for its turn."""
        path = drop_in_path(UNIT, tmp_path)
        path.parent.mkdir(parents=True)
        path.touch()
        listed = shows("inactive", DropInPaths=str(path))
        run = act(Action.STOP, host_with({"show": [listed, listed, shows("inactive")]}), tmp_path)
        assert (run.result.code, run.host.of("daemon-reload")) == (0, [])

    def test_one_of_the_old_name_is_replaced(self, tmp_path: Path) -> None:
        """Start writes the new one, removes the old one, and has systemd read that, which lists the old one still."""
        path = drop_in_path(UNIT, tmp_path)
        old = path.with_name("50-ocf-systemd.conf")
        path.parent.mkdir(parents=True)
        old.touch()
        host = host_with(
            {"show": [shows("active", DropInPaths=str(old))]},
            **{"daemon-reload": {"show": [shows("active", DropInPaths=str(path))]}},
        )
        run = act(Action.START, host, tmp_path)
        assert (run.result.code, len(run.host.of("daemon-reload"))) == (0, 1)
        assert written_below(tmp_path) == [path]

    def test_a_lost_daemon_reload_is_made_again(self, tmp_path: Path) -> None:
        """The unit is started once systemd knows of the drop-in, and not before."""
        host = host_with({"show": [shows("inactive"), shows("active")], "daemon-reload": [LOST, LOST, DONE]})
        run = act(Action.START, host, tmp_path)
        assert run.result.code == 0
        assert run.host.verbs == ["daemon-reload", "reset-failed", "start"]
        assert (len(run.host.of("daemon-reload")), len(run.host.of("start"))) == (3, 1)
        (waiting,) = (event.reason for event in run.heard.facts if isinstance(event, StillWaiting))
        assert waiting.startswith("systemd does not answer: daemon-reload: ")
        assert texts(run, WarningNotice) == []

    @pytest.mark.parametrize(
        ("reload", "warnings"),
        [
            pytest.param(LOST, 1, id="fails"),
            pytest.param(hangs(), 1, id="takes longer than there is time"),
            pytest.param(exits(0, after_s=15.0), 0, id="takes long"),
        ],
    )
    def test_a_stop_does_not_fail_for_a_daemon_reload(self, tmp_path: Path, reload: Step, warnings: int) -> None:
        """The unit is stopped nevertheless: 0 before the deadline, with a line in the log."""
        path = drop_in_path(UNIT, tmp_path)
        path.parent.mkdir(parents=True)
        path.touch()
        host = host_with({"show": [shows("inactive", DropInPaths=str(path))], "daemon-reload": [reload]})
        run = act(Action.STOP, host, tmp_path)
        assert (run.result.code, len(texts(run, WarningNotice))) == (0, warnings)
        assert not path.exists()

    def test_a_systemd_that_falls_silent_after_a_stop(self, tmp_path: Path) -> None:
        """Whether it lists the drop-in is not known: the stop is done all the same."""
        path = drop_in_path(UNIT, tmp_path)
        path.parent.mkdir(parents=True)
        path.touch()
        run = act(Action.STOP, host_with({"show": [shows("inactive"), silent()]}), tmp_path)
        assert (run.result.code, run.host.verbs) == (0, ["stop"])
        assert not path.exists()

    @pytest.mark.parametrize("wanted", [pytest.param("yes", id="wanted"), pytest.param("no", id="not wanted")])
    def test_order_at_shutdown(self, tmp_path: Path, wanted: str) -> None:
        """Start writes it as the parameter requires, and removes an earlier one."""
        path = drop_in_path(UNIT, tmp_path)
        if wanted == "no":
            path.parent.mkdir(parents=True)
            path.touch()
        run = act(Action.START, host_with({"show": [shows("active")]}), tmp_path, values={"order_at_shutdown": wanted})
        assert run.result.code == 0
        assert path.exists() == (wanted == "yes")
        assert texts(run, Notice) == [f"drop-in {path} {'written' if wanted == 'yes' else 'removed'}"]

    def test_it_cannot_be_written(self, tmp_path: Path) -> None:
        """The start fails with the cause; the unit is not started."""
        (booted(tmp_path) / "systemd/system" / f"{UNIT}.d").touch()
        run = act(Action.START, host_with({"show": [shows("inactive")]}), tmp_path)
        assert run.result.code == 1
        assert run.result.reason is not None
        assert run.result.reason.startswith(f"drop-in {drop_in_path(UNIT, tmp_path)} cannot be written: ")
        assert run.host.of("start") == []

    def test_it_cannot_be_removed(self, tmp_path: Path) -> None:
        """The stop continues, with a line in the log."""
        path = drop_in_path(UNIT, tmp_path)
        path.mkdir(parents=True)
        run = act(Action.STOP, host_with({"show": [shows("active"), shows("inactive")]}), tmp_path)
        assert run.result.code == 0
        assert run.host.verbs == ["stop"]
        (warning,) = texts(run, WarningNotice)
        assert f"drop-in {path} cannot be removed: " in warning


class TestReload:
    def test_step_by_step(self, tmp_path: Path) -> None:
        """Reload, then one monitor with the hook."""
        run = act(Action.RELOAD, host_with({"show": [shows("active")], "hook": [exits(0)]}), tmp_path, values=HOOKED)
        assert (run.result.code, run.host.verbs) == (0, ["reload", "hook"])

    def test_a_unit_that_cannot(self, tmp_path: Path) -> None:
        """3, and no reload is requested."""
        run = act(Action.RELOAD, host_with({"show": [shows("active", CanReload="no")]}), tmp_path)
        assert (run.result.code, run.host.verbs) == (3, [])
        assert run.result.reason == f"{UNIT} cannot reload: it has no ExecReload="

    @pytest.mark.parametrize(
        ("shown", "code"),
        [
            pytest.param(shows("inactive"), 7, id="inactive"),
            pytest.param(shows("failed"), 7, id="failed"),
            pytest.param(shows("inactive", "not-found"), 5, id="not found"),
            pytest.param(silent(), 1, id="no answer"),
        ],
    )
    def test_a_unit_that_does_not_run(self, tmp_path: Path, shown: Step, code: int) -> None:
        """The result of a monitor; nothing is reloaded."""
        run = act(Action.RELOAD, host_with({"show": [shown]}), tmp_path)
        assert (run.result.code, run.host.verbs) == (code, [])

    def test_a_unit_on_its_way_up(self, tmp_path: Path) -> None:
        """It may have read its old configuration already: it is reloaded once it runs."""
        host = host_with({"show": [shows("activating"), shows("activating"), shows("active")]})
        run = act(Action.RELOAD, host, tmp_path)
        assert (run.result.code, run.host.verbs) == (0, ["reload"])

    @pytest.mark.parametrize(
        ("reload", "hook", "code"),
        [
            pytest.param(DONE, exits(7), 7, id="the hook returns 7"),
            pytest.param(DONE, exits(190), 190, id="degraded"),
            pytest.param(exits(1, f"Job for {UNIT} failed."), exits(0), 1, id="the job failed"),
            pytest.param(exits(1, f"Job for {UNIT} failed."), exits(5), 5, id="both: the monitor's"),
            pytest.param(LOST, exits(0), 1, id="the request was lost"),
            pytest.param(hangs(), exits(0), 1, id="the job does not end"),
        ],
    )
    def test_what_the_monitor_returned(self, tmp_path: Path, reload: Step, hook: Step, code: int) -> None:
        """0, or what the last look made of it, or 1 for a reload that was not done."""
        host = host_with({"show": [shows("active")], "reload": [reload], "hook": [hook]})
        assert act(Action.RELOAD, host, tmp_path, values=HOOKED).result.code == code

    @pytest.mark.parametrize(
        ("hooks", "code", "runs"),
        [
            pytest.param([exits(7), exits(1), exits(0)], 0, 3, id="passes at last"),
            pytest.param([hangs(), exits(0)], 0, 2, id="hangs once"),
            pytest.param([exits(7), exits(190)], 190, 2, id="degraded at last"),
        ],
    )
    def test_it_is_polled_as_a_start_is(self, tmp_path: Path, hooks: list[Step], code: int, runs: int) -> None:
        """A service may be slow to read its configuration: its hook runs again, and it is reloaded once."""
        host = host_with({"show": [shows("active")], "hook": hooks})
        run = act(Action.RELOAD, host, tmp_path, values=HOOKED)
        assert (run.result.code, len(run.host.of("hook")), len(run.host.of("reload"))) == (code, runs, 1)

    def test_a_hook_that_never_passes(self, tmp_path: Path) -> None:
        """Hooks run until the deadline; then the last monitor's code, with its reason."""
        host = host_with({"show": [shows("active")], "hook": [exits(7)]})
        run = act(Action.RELOAD, host, tmp_path, values=HOOKED)
        assert (run.result.code, run.result.reason) == (7, "hook true: not running (exit 7)")
        assert run.took_s > 0.85 * run.time_s

    def test_a_lost_request_is_made_again(self, tmp_path: Path) -> None:
        """Until one gets through, which is the last."""
        host = host_with({"show": [shows("active")], "reload": [LOST, LOST, DONE], "hook": [exits(0)]})
        run = act(Action.RELOAD, host, tmp_path, values=HOOKED)
        assert (run.result.code, len(run.host.of("reload"))) == (0, 3)

    def test_a_unit_that_a_reload_brings_down(self, tmp_path: Path) -> None:
        """7 at once, with the cause: it will not start again without a start."""
        host = host_with({"show": [shows("active")]}, reload={"show": [shows("failed", Result="exit-code")]})
        run = act(Action.RELOAD, host, tmp_path, values=HOOKED)
        assert (run.result.code, run.result.reason) == (7, f"{UNIT} failed: exit-code")
        assert run.took_s < 1.0

    def test_a_reload_that_takes_longer_than_a_look(self, tmp_path: Path) -> None:
        """While the unit is reloading it runs; what counts is that the job gets done."""
        host = host_with({"show": [shows("reloading")], "reload": [exits(0, after_s=12.0)], "hook": [exits(0)]})
        run = act(Action.RELOAD, host, tmp_path, values=HOOKED)
        assert run.result.code == 0
        assert run.took_s == pytest.approx(12.0, abs=0.1)


class TestReloadAgent:
    @pytest.mark.parametrize("wanted", [pytest.param("yes", id="wanted"), pytest.param("no", id="not wanted")])
    def test_the_drop_in_follows_the_parameters(self, tmp_path: Path, wanted: str) -> None:
        """A running unit gets it or loses it; nothing is restarted, no hook runs."""
        path = drop_in_path(UNIT, tmp_path)
        if wanted == "no":
            act(Action.START, host_with({"show": [shows("active")]}), tmp_path)
        values = {**HOOKED, "order_at_shutdown": wanted}
        as_before = shows("active", DropInPaths="" if wanted == "yes" else str(path))
        run = act(Action.RELOAD_AGENT, host_with({"show": [as_before]}), tmp_path, values=values)
        assert (run.result.code, run.host.verbs) == (0, ["daemon-reload"])
        assert path.exists() == (wanted == "yes")
        in_force = shows("active", DropInPaths=str(path) if wanted == "yes" else "")
        run = act(Action.RELOAD_AGENT, host_with({"show": [in_force]}), tmp_path, values=values)
        assert (run.result.code, run.host.verbs) == (0, [])

    def test_a_stopped_unit_gets_none(self, tmp_path: Path) -> None:
        """Start will write it."""
        run = act(Action.RELOAD_AGENT, host_with({"show": [shows("inactive")]}), tmp_path)
        assert (run.result.code, run.host.verbs) == (0, [])
        assert written_below(tmp_path) == []

    def test_it_cannot_be_written(self, tmp_path: Path) -> None:
        """Then the parameters are not taken over."""
        (booted(tmp_path) / "systemd/system" / f"{UNIT}.d").touch()
        run = act(Action.RELOAD_AGENT, host_with({"show": [shows("active")]}), tmp_path)
        assert run.result.code == 1

    def test_a_daemon_reload_that_never_gets_through(self, tmp_path: Path) -> None:
        """1 at the deadline: the drop-in is not in force."""
        host = host_with({"show": [shows("active")], "daemon-reload": [LOST]})
        run = act(Action.RELOAD_AGENT, host, tmp_path)
        assert run.result.code == 1
        assert run.result.reason is not None
        assert run.result.reason.startswith("systemd does not answer: daemon-reload: ")
        assert len(run.host.of("daemon-reload")) > 3

    @pytest.mark.parametrize(
        ("shown", "hook", "code"),
        [
            pytest.param(shows("active"), "/no/such/hook", 5, id="hook missing"),
            pytest.param(shows("inactive", "not-found"), HOOK_PATH, 5, id="unit not found"),
            pytest.param(silent(), HOOK_PATH, 1, id="no answer"),
        ],
    )
    def test_the_new_parameters_are_validated(self, tmp_path: Path, shown: Step, hook: str, code: int) -> None:
        """The validation's code, and no change."""
        run = act(Action.RELOAD_AGENT, host_with({"show": [shown]}), tmp_path, values={"monitor_hook": hook})
        assert (run.result.code, run.host.verbs) == (code, [])
        assert written_below(tmp_path) == []


class TestValidateAll:
    @pytest.mark.parametrize("level", [pytest.param(level, id=str(level)) for level in (0, 9)])
    def test_the_values_alone(self, tmp_path: Path, level: int) -> None:
        """Below level 10 this host does not matter, and nothing is run."""
        host = host_with({"show": [silent()]})
        values = {"monitor_hook": "/no/such/hook"}
        run = act(Action.VALIDATE_ALL, host, tmp_path, values=values, operation=Operation(20.0, check_level=level))
        assert (run.result.code, run.host.calls) == (0, [])

    @pytest.mark.parametrize(
        ("shown", "hook", "code"),
        [
            pytest.param(shows("inactive"), HOOK_PATH, 0, id="all there"),
            pytest.param(shows("active"), HOOK_PATH, 0, id="running"),
            pytest.param(shows("inactive"), "/no/such/hook", 5, id="hook missing"),
            pytest.param(shows("inactive"), "{tmp}/open", 4, id="hook not safe"),
            pytest.param(shows("inactive", "not-found"), HOOK_PATH, 5, id="unit not found"),
            pytest.param(shows("active", "not-found"), HOOK_PATH, 0, id="unit file removed while it runs"),
            pytest.param(shows("inactive", "masked"), HOOK_PATH, 5, id="masked"),
            pytest.param(silent(), HOOK_PATH, 1, id="no answer"),
        ],
    )
    def test_this_host_too(self, tmp_path: Path, shown: Step, hook: str, code: int) -> None:
        """From level 10 on: the unit loads, the hook is there and safe; nothing is done, no hook runs."""
        (tmp_path / "open").touch()
        (tmp_path / "open").chmod(0o777)
        run = act(
            Action.VALIDATE_ALL,
            host_with({"show": [shown]}),
            tmp_path,
            values={"monitor_hook": hook.format(tmp=tmp_path)},
            operation=Operation(20.0, check_level=10),
        )
        assert (run.result.code, run.host.verbs) == (code, [])


@pytest.mark.parametrize(
    ("tests", "code", "tested"),
    [
        pytest.param([exits(0)], 0, ["/bin/true"], id="may"),
        pytest.param([exits(1)], 5, ["/bin/true"], id="may not"),
        pytest.param([exits(2)], 0, ["/bin/true"], id="unknown"),
        pytest.param([silent(after_s=0.1)], 5, ["/bin/true"], id="may not, and test prints something"),
        pytest.param([Step(NotStarted(11, "Resource temporarily unavailable"))], 0, ["/bin/true"], id="not started"),
    ],
)
@pytest.mark.parametrize(
    "action", [pytest.param(each, id=each) for each in (Action.START, Action.RELOAD_AGENT, Action.VALIDATE_ALL)]
)
def test_whether_the_hooks_user_may_execute_it(
    tmp_path: Path, action: Action, tests: list[Step], code: int, tested: list[str]
) -> None:
    """test(1) checks as that user before anything is done; only exit code 1 without output counts."""
    host = host_with({"show": [shows("active")], "hook": [exits(0)], "test": tests})
    values = {**HOOKED, "monitor_hook_user": "nobody", "order_at_shutdown": "no"}
    run = act(action, host, tmp_path, values=values, operation=Operation(20.0, check_level=10))
    assert run.result.code == code
    assert [call.arguments for call in run.host.of("test")] == [("test", "-x", path) for path in tested]
    if code:
        assert run.result.reason == "hook true: cannot be run: user nobody may not execute it"
        assert run.host.verbs == ["test"]


class TestUnbooted:
    @pytest.mark.parametrize("action", [pytest.param(each, id=each) for each in Action if each != Action.META_DATA])
    @pytest.mark.parametrize(
        "operation", [pytest.param(None, id="recurring"), pytest.param(Operation(20.0, check_level=10), id="probe")]
    )
    def test_nothing_is_queried_on_a_host_that_systemd_did_not_boot(
        self, tmp_path: Path, action: Action, operation: Operation | None
    ) -> None:
        """A container or a remote node: stop is 0, all else 5, at once, and no command runs."""
        (tmp_path / "systemd").touch()
        host = host_with({"show": [hangs()], "hook": [exits(0)]})
        run = act(action, host, tmp_path, values=HOOKED, operation=operation)
        values_alone = action is Action.VALIDATE_ALL and operation is None
        reason = "this host was not booted by systemd"
        assert run.result == (ActionResult(0) if action is Action.STOP or values_alone else ActionResult(5, reason))
        assert (run.host.calls, run.took_s) == ([], 0.0)
        assert run.heard.facts[-1] == ActionEnded(action, run.result)


@dataclass
class ManyUnits:
    """A systemd with many units, which forgets drop-ins only when it reads its unit files again, and takes a second."""

    run_directory: Path
    listed: dict[str, set[Path]] = field(default_factory=dict)
    reloads: int = 0
    running: int = 0

    async def __call__(self, command: Command, *, deadline: float) -> CommandOutcome:
        del deadline
        unit, verb = command.arguments[-1], verb_of(command)
        if verb == "daemon-reload":
            assert self.running == 0, "two daemon-reloads at once"
            self.running += 1
            self.reloads += 1
            there = set((self.run_directory / "systemd/system").glob("*.d/*.conf"))
            await anyio.sleep(1.0)
            self.listed = {name: paths & there for name, paths in self.listed.items()}
            self.running -= 1
        await anyio.sleep(0.01)
        paths = " ".join(map(str, sorted(self.listed.get(unit, ()))))
        return shows("inactive", Id=unit, DropInPaths=paths).outcome


@pytest.mark.parametrize("count", [pytest.param(count, id=str(count)) for count in (1, 2, 12, 40)])
def test_stops_share_daemon_reloads(tmp_path: Path, count: int) -> None:
    """A dozen stops at once need two or three, one at a time, and each drop-in is forgotten in the end."""
    systemd = ManyUnits(booted(tmp_path))
    units = [f"web{number}.service" for number in range(count)]
    for unit in units:
        path = drop_in_path(unit, tmp_path)
        put_drop_in(unit, path)
        systemd.listed[unit] = {path}
    codes: list[int] = []

    async def stop(unit: str, after_s: float) -> None:
        await anyio.sleep(after_s)
        operation = Operation(20.0)
        deadline = operation.deadline(anyio.current_time())
        given = parameters(unit)
        codes.append(
            (await perform(Request(Action.STOP, given, operation, deadline, {}, Heard(), systemd, tmp_path))).code
        )

    async def main() -> None:
        async with anyio.create_task_group() as together:
            for number, unit in enumerate(units):
                together.start_soon(stop, unit, 0.02 * number)

    clock = MockClock(autojump_threshold=0)
    trio.run(main, clock=clock)
    assert codes == [0] * count
    assert systemd.reloads <= min(count, 3)
    assert not any(systemd.listed.values())
    assert written_below(tmp_path) == []


class TestTold:
    def test_the_reporter_hears_the_whole_story(self, tmp_path: Path) -> None:
        """The action, each command and each query are reported."""
        operation = Operation(20.0, is_recurring=True, warnings=("no timeout is set: assuming 20 s",))
        host = host_with({"show": [shows("activating"), shows("active")], "hook": [exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED, operation=operation)
        events = run.heard.facts
        assert isinstance(events[0], ActionStarted)
        assert (events[0].action, events[0].unit, events[0].timeout_s) == (Action.MONITOR, UNIT, 20.0)
        assert events[0].time_s == pytest.approx(18.0)
        assert events[1] == WarningNotice("no timeout is set: assuming 20 s")
        assert events[-1] == ActionEnded(Action.MONITOR, run.result)
        began = [event for event in events if isinstance(event, CommandStarted)]
        ended = [event.began for event in events if isinstance(event, CommandEnded)]
        assert sorted(map(id, began)) == sorted(map(id, ended))
        assert len([event for event in events if isinstance(event, Observed)]) == 2

    def test_a_command_that_was_dropped_has_no_outcome(self, tmp_path: Path) -> None:
        """Its result no longer mattered."""
        host = host_with({"show": [shows("inactive")], "hook": [hangs()]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        outcomes = [event.outcome for event in run.heard.facts if isinstance(event, CommandEnded)]
        assert outcomes.count(None) == 1


STATES = st.sampled_from(["active", "reloading", "inactive", "failed", "activating", "deactivating"])
DELAYS = st.sampled_from([0.0, 0.01, 0.3, 2.0, 9.0])
LOADS = st.sampled_from(["loaded", "loaded", "loaded", "not-found", "masked"])
MODES = st.sampled_from(["control-group", "mixed", "process", "none"])
JOBS = st.sampled_from(["", "", "", "4711"])
ALIVE = st.sampled_from([(), (), (SLEEP,), (LS,), (SLEEP, LS)])
SHOWN = st.builds(
    lambda step, others, main: alive(step, *others, main=main),
    st.builds(
        lambda active, load, after_s, mode, job: shows(active, load, after_s, KillMode=mode, Job=job),
        *(STATES, LOADS, DELAYS, MODES, JOBS),
    ),
    ALIVE,
    st.sampled_from([None, None, None, Process(900, 1, "main")]),
)
ANSWERS = st.one_of(SHOWN, SHOWN, st.builds(silent, DELAYS), st.sampled_from([*OUTCOMES.values()]))
ENDS = st.one_of(
    st.builds(exits, st.integers(0, 6), st.sampled_from(["Job for x failed.", MANUAL_REFUSAL]), DELAYS),
    st.just(hangs()),
)
CODES = st.one_of(st.builds(exits, st.sampled_from([0, 7, 190, 1, 3, 5, 8, 42]), st.just(""), DELAYS), st.just(hangs()))
LISTS = st.sampled_from([lists(), lists(STOPPING), silent(), hangs()])


@dataclass(frozen=True)
class History:
    """An action, and all that systemd and the hook do while it runs."""

    action: Action
    shown: list[Step]
    ends: list[Step]
    hook_steps: list[Step]
    jobs: list[Step]
    operation: Operation
    values: dict[str, str]


HISTORIES = st.builds(
    History,
    action=st.sampled_from([action for action in Action if action is not Action.META_DATA]),
    shown=st.lists(ANSWERS, min_size=1, max_size=6),
    ends=st.lists(ENDS, min_size=1, max_size=3),
    hook_steps=st.lists(CODES, min_size=1, max_size=3),
    jobs=st.lists(LISTS, min_size=1, max_size=3),
    operation=st.builds(
        Operation,
        st.sampled_from([0.01, 1.0, 20.0, 100.0]),
        st.booleans(),
        st.just(10),
        expects_stopped=st.booleans(),
    ),
    values=st.fixed_dictionaries(
        {
            "stop_verify": st.sampled_from(["yes", "no"]),
            "stop_escalate": st.sampled_from(["yes", "no"]),
            "monitor_hook_retries": st.sampled_from(["0", "2"]),
            "monitor_hook_protocol": st.sampled_from(["ocf", "lsb"]),
        }
    ),
)


def is_not_running(protocol: str, hook: CommandOutcome | None) -> bool:
    return isinstance(hook, Exited) and hook.code == {"ocf": 7, "lsb": 3}[protocol]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES)
def test_the_guarantees_in_every_history(tmp_path: Path, history: History) -> None:
    """7 only if observed down or, but for probes, a hook returned it; 0 from stop only if down, nothing alive.

    Always a reason, always in time; and no command or signal comes after the action (`act` sees to that).
    """
    script = {"show": [*history.shown], "hook": [*history.hook_steps], "list-jobs": [*history.jobs]}
    for verb in ("start", "stop", "stop at once", "reload", "daemon-reload", "reset-failed"):
        script[verb] = [*history.ends]
    values = {**HOOKED, **history.values}
    run = act(history.action, ScriptedSystemctl(script), tmp_path, values=values, operation=history.operation)
    code = run.result.code
    looks = [event.observation.unit for event in run.heard.facts if isinstance(event, Observed)]
    last = looks[-1] if looks and isinstance(looks[-1], UnitState) else None
    is_down = last is not None and last.active_state in DOWN_STATES and not last.has_job and not remaining(last)
    is_probe = history.action is Action.MONITOR and history.operation.is_probe
    returned_7 = any(is_not_running(values["monitor_hook_protocol"], hook.outcome) for hook in run.host.of("hook"))
    assert code != 7 or is_down or (returned_7 and not is_probe)
    assert code != 7 or history.action in {Action.MONITOR, Action.RELOAD}
    assert history.action is not Action.STOP or code != 0 or is_down
    is_running = last is not None and last.active_state in RUNNING_STATES
    assert not (is_probe and is_running) or code not in range(2, 8)
    assert code not in {8, 9, 191}
    assert code == 0 or run.result.reason or (is_probe and code == 7)
    assert run.took_s < run.timeout_s
    assert history.action is Action.STOP or run.host.signals == []
    assert values["stop_escalate"] == "yes" or run.host.signals == []


def remaining(unit: UnitState) -> tuple[Process, ...]:
    """Return the processes that must not outlive a unit."""
    assert unit.details is not None
    main = (unit.main_process,) if unit.main_process else ()
    return main + (unit.processes if unit.details.kill_mode in {"control-group", "mixed"} else ())
