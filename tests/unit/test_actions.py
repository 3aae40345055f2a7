"""The actions, step by step against a scripted systemd and hook in virtual time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocf_systemd.observations import Exited, NotStarted, UnitState
from ocf_systemd.ocf import Action
from ocf_systemd.parameters import Operation
from ocf_systemd.reporting import ActionBegan, CommandBegan, CommandEnded, Judged, Looked, Noted, Waiting, Warned
from ocf_systemd.systemd import drop_in_path, drop_in_text
from tests.unit.builders import UNIT
from tests.unit.scripted import (
    DONE,
    HOOK_PATH,
    OUTCOMES,
    Run,
    ScriptedSystemctl,
    Step,
    act,
    exits,
    hangs,
    host_with,
    shows,
    silent,
)

if TYPE_CHECKING:
    from pathlib import Path

HOOKED = {"monitor_hook": HOOK_PATH}
PROBE = Operation(20.0)
LOST = exits(1, "Failed to start x: Connection reset by peer")
NO_ANSWER_ROWS = [pytest.param(step, id=name) for name, step in OUTCOMES.items()]


def texts(run: Run, kind: type[Warned | Noted]) -> list[str]:
    return [fact.text for fact in run.heard.facts if isinstance(fact, kind)]


class TestMonitor:
    @pytest.mark.parametrize(
        ("shown", "hook", "operation", "code"),
        [
            pytest.param(shows("active"), exits(0), None, 0, id="active, 0"),
            pytest.param(shows("reloading"), exits(0), None, 0, id="reloading, 0"),
            pytest.param(shows("active"), exits(7), None, 7, id="active, 7"),
            pytest.param(shows("active"), exits(190), None, 190, id="active, 190"),
            pytest.param(shows("active"), exits(42), None, 42, id="active, 42"),
            pytest.param(shows("active"), hangs(), None, 1, id="active, hang"),
            pytest.param(shows("inactive"), exits(0), None, 7, id="inactive, 0"),
            pytest.param(shows("failed"), exits(0), None, 7, id="failed, 0"),
            pytest.param(shows("inactive", "not-found"), exits(0), None, 5, id="not found"),
            pytest.param(shows("inactive", "not-found"), exits(0), PROBE, 7, id="not found, probe"),
            pytest.param(shows("inactive", "masked"), exits(0), None, 7, id="masked"),
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
        assert run.verdict.code == code
        assert len(run.host.times("show")) == 1
        assert set(run.host.verbs) <= {"hook"}

    def test_unit_and_hook_start_at_the_same_moment(self, tmp_path: Path) -> None:
        """The hook does not wait for systemctl; together they take as long as the longer."""
        host = host_with({"show": [shows("active", after_s=3.0)], "hook": [exits(0, after_s=4.0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        assert run.host.times("hook") == run.host.times("show") == [0.0]
        assert run.verdict.code == 0
        assert run.took_s == pytest.approx(4.0)

    def test_the_hook_of_a_stopped_unit_is_ended_and_dropped(self, tmp_path: Path) -> None:
        """Once the unit turns out not to run, nobody waits for its hook."""
        host = host_with({"show": [shows("inactive", after_s=1.0)], "hook": [exits(0, after_s=5.0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        assert run.verdict.code == 7
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
        """monitor_hook_order=gated: only once systemctl says that the unit runs."""
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
        assert (len(run.host.of("hook")), run.verdict.code) == (runs, runs)

    def test_an_only_look_gives_the_hook_all_the_time(self, tmp_path: Path) -> None:
        """A hook that takes 15 s of 18 s is waited for."""
        host = host_with({"show": [shows("active")], "hook": [exits(0, after_s=15.0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        assert run.verdict.code == 0
        assert run.took_s == pytest.approx(15.0)

    def test_a_hook_that_hangs_is_told(self, tmp_path: Path) -> None:
        """1 before Pacemaker's timeout, and the time is named."""
        run = act(Action.MONITOR, host_with({"show": [shows("active")], "hook": [hangs()]}), tmp_path, values=HOOKED)
        assert run.verdict.code == 1
        assert run.verdict.reason == f"hook {HOOK_PATH} timed out after 18.0 s, expected exit code 0"

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
        assert (run.verdict.code, len(run.host.of("hook"))) == (code, runs)

    def test_retries_leave_time_for_one_another(self, tmp_path: Path) -> None:
        """A hang takes half of what is left, so that another try may succeed."""
        host = host_with({"show": [shows("active")], "hook": [hangs(), exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values={**HOOKED, "monitor_hook_retries": "1"})
        assert run.verdict.code == 0
        assert run.took_s < 10.0

    def test_retries_end_at_the_deadline(self, tmp_path: Path) -> None:
        """However many are allowed, they end in time, with what the last one said."""
        host = host_with({"show": [shows("active")], "hook": [exits(3, after_s=0.5)]})
        run = act(Action.MONITOR, host, tmp_path, values={**HOOKED, "monitor_hook_retries": "1000"})
        assert run.verdict.code == 3
        assert 8 <= len(run.host.of("hook")) <= 30

    @pytest.mark.parametrize("answer", NO_ANSWER_ROWS)
    @pytest.mark.parametrize("operation", [pytest.param(PROBE, id="probe"), pytest.param(None, id="recurring")])
    def test_in_doubt_is_not_stopped(self, tmp_path: Path, answer: Step, operation: Operation | None) -> None:
        """Systemd does not answer: asked again until the deadline, then 1, never 7."""
        run = act(Action.MONITOR, host_with({"show": [answer]}), tmp_path, values=HOOKED, operation=operation)
        assert run.verdict.code == 1
        assert run.verdict.reason is not None
        assert run.verdict.reason.startswith("systemd does not answer: ")
        assert run.took_s > 0.9 * run.time_s
        assert len(run.host.of("show")) > 2

    def test_an_answer_that_comes_late_counts(self, tmp_path: Path) -> None:
        """During daemon-reexec calls fail for a moment: asked again, then judged."""
        host = host_with({"show": [silent(), silent(), silent(), shows("active")], "hook": [exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        assert run.verdict.code == 0
        assert run.took_s < 1.0

    @pytest.mark.parametrize("between", [pytest.param(state, id=state) for state in ("activating", "deactivating")])
    @pytest.mark.parametrize(
        ("then", "code"), [pytest.param("active", 0, id="to active"), pytest.param("inactive", 7, id="to inactive")]
    )
    def test_a_unit_between_two_states_is_waited_for(self, tmp_path: Path, between: str, then: str, code: int) -> None:
        """Where it settles is what counts; until it does, the hook does not run again."""
        host = host_with({"show": [shows(between)] * 5 + [shows(then)], "hook": [exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        assert run.verdict.code == code
        assert len(run.host.of("hook")) <= 2

    def test_a_unit_that_does_not_settle(self, tmp_path: Path) -> None:
        """1 at the deadline, with its state."""
        run = act(Action.MONITOR, host_with({"show": [shows("activating")]}), tmp_path)
        assert run.verdict.code == 1
        assert run.verdict.reason == f"{UNIT} is activating, expected active"
        assert run.took_s > 0.9 * run.time_s

    def test_the_pauses_grow_up_to_the_poll_interval(self, tmp_path: Path) -> None:
        """They start at tens of milliseconds and end at poll_interval."""
        host = host_with({"show": [shows("activating", after_s=0.0)]})
        run = act(Action.MONITOR, host, tmp_path, values={"poll_interval": "2s"})
        pauses = [fact.pause_s for fact in run.heard.facts if isinstance(fact, Waiting)]
        assert pauses[0] < 0.05
        assert pauses == sorted(pauses)
        assert max(pauses) == 2.0

    @pytest.mark.parametrize(
        "timeout_s", [pytest.param(each, id=f"{each} s") for each in (0.001, 0.1, 1.0, 5.0, 100.0)]
    )
    def test_any_timeout(self, tmp_path: Path, timeout_s: float) -> None:
        """However short or long it is, the answer comes before."""
        operation = Operation(timeout_s, is_recurring=True)
        run = act(
            Action.MONITOR,
            host_with({"show": [hangs()], "hook": [hangs()]}),
            tmp_path,
            values=HOOKED,
            operation=operation,
        )
        assert run.verdict.code == 1
        assert run.took_s < timeout_s


class TestStart:
    def test_step_by_step(self, tmp_path: Path) -> None:
        """Look, forget an earlier failure, drop-in, daemon-reload, start, look: 0 once unit and hook say running."""
        host = host_with({"show": [shows("failed"), shows("active")], "hook": [exits(7), exits(7), exits(0)]})
        run = act(Action.START, host, tmp_path, values=HOOKED)
        assert run.verdict.code == 0
        assert run.host.verbs == ["daemon-reload", "reset-failed", "start", "hook"]
        assert len(run.host.of("hook")) == 3
        assert drop_in_path(UNIT, tmp_path).read_text() == drop_in_text(UNIT)

    def test_an_active_unit_is_started_as_well(self, tmp_path: Path) -> None:
        """Start is idempotent: systemctl start of a running unit is nothing, and its hook is asked."""
        run = act(Action.START, host_with({"show": [shows("active")], "hook": [exits(0)]}), tmp_path, values=HOOKED)
        assert run.verdict.code == 0
        assert len(run.host.of("start")) == 1

    def test_a_degraded_service_has_started(self, tmp_path: Path) -> None:
        """190 counts as running for start, and is 0."""
        run = act(Action.START, host_with({"show": [shows("active")], "hook": [exits(190)]}), tmp_path, values=HOOKED)
        assert (run.verdict.code, run.verdict.reason) == (0, None)

    @pytest.mark.parametrize(
        "hook",
        [pytest.param(exits(code), id=str(code)) for code in (1, 2, 5, 6, 7, 42)] + [pytest.param(hangs(), id="hang")],
    )
    def test_a_hook_that_never_says_running(self, tmp_path: Path, hook: Step) -> None:
        """Asked until the deadline, then 1: a start never answers 7, nor any code of the hook's."""
        run = act(Action.START, host_with({"show": [shows("active")], "hook": [hook]}), tmp_path, values=HOOKED)
        assert run.verdict.code == 1
        assert run.verdict.reason is not None
        assert run.verdict.reason.startswith(f"hook {HOOK_PATH} ")
        assert run.took_s > 0.85 * run.time_s
        assert len(run.host.of("hook")) > 2

    def test_a_hang_leaves_room_for_another_try(self, tmp_path: Path) -> None:
        """One hook run gets at most half of what is left."""
        host = host_with({"show": [shows("active")], "hook": [hangs(), exits(0)]})
        run = act(Action.START, host, tmp_path, values=HOOKED)
        assert run.verdict.code == 0
        assert run.took_s < 0.6 * run.time_s

    @pytest.mark.parametrize(
        "answer",
        [pytest.param(step, id=name) for name, step in OUTCOMES.items() if name not in {"tells nothing", "hangs"}],
    )
    def test_a_lost_request_is_made_again(self, tmp_path: Path, answer: Step) -> None:
        """Systemctl failed and told of no job's end: the request may not even have been queued."""
        shown = [shows("inactive")] * 4 + [shows("active")]
        run = act(Action.START, host_with({"show": shown, "start": [answer, LOST, DONE]}), tmp_path)
        assert (run.verdict.code, len(run.host.of("start"))) == (0, 3)

    def test_a_request_that_is_always_lost(self, tmp_path: Path) -> None:
        """1 at the deadline, with what systemctl said."""
        run = act(Action.START, host_with({"show": [shows("inactive")], "start": [LOST]}), tmp_path)
        assert run.verdict.code == 1
        assert run.verdict.reason is not None
        assert "Connection reset by peer" in run.verdict.reason
        assert run.took_s > 0.85 * run.time_s

    def test_a_job_that_is_done_is_not_asked_for_again(self, tmp_path: Path) -> None:
        """Once systemd has said how the job ended, no other start is asked for."""
        host = host_with({"show": [shows("inactive"), *[shows("activating")] * 9, shows("active")]})
        run = act(Action.START, host, tmp_path)
        assert (run.verdict.code, len(run.host.of("start"))) == (0, 1)

    @pytest.mark.parametrize(
        ("start", "shown", "told"),
        [
            pytest.param(
                exits(1, f"Job for {UNIT} failed because the control process exited with error code.\n"),
                shows("failed", Result="exit-code", ExecMainCode="1", ExecMainStatus="3", InvocationID="abc"),
                "failed (start job: failed, Result=exit-code, status=3), expected active: cannot bind to port 25",
                id="failed",
            ),
            pytest.param(
                DONE,
                shows("inactive", ConditionResult="no", ConditionTimestampMonotonic="4711"),
                "inactive (start job done, condition not met), expected active: cannot bind to port 25",
                id="condition not met",
            ),
            pytest.param(
                exits(1, f"A dependency job for {UNIT} failed. See 'journalctl -xe' for details.\n"),
                shows("inactive"),
                "inactive (start job: dependency failed), expected active: cannot bind to port 25",
                id="dependency",
            ),
            pytest.param(
                exits(1, f"Job for {UNIT} canceled.\n"),
                shows("inactive"),
                "inactive (start job: canceled), expected active: cannot bind to port 25",
                id="canceled",
            ),
        ],
    )
    def test_a_start_that_failed_ends_at_once(self, tmp_path: Path, start: Step, shown: Step, told: str) -> None:
        """Nothing will change any more: 1, with the job's result, the unit's, and its last journal line."""
        journal = Step(Exited(0.01, stdout=b"cannot bind to port 25\n"))
        host = host_with({"show": [shows("inactive"), shown], "start": [start], "journal": [journal]})
        run = act(Action.START, host, tmp_path, values=HOOKED)
        assert (run.verdict.code, run.verdict.reason) == (1, f"{UNIT} is {told}")
        assert run.took_s < 1.0

    @pytest.mark.parametrize(
        "journal", [pytest.param(hangs(), id="hangs"), pytest.param(exits(1, "No journal files"), id="fails")]
    )
    def test_a_journal_that_does_not_answer(self, tmp_path: Path, journal: Step) -> None:
        """The reason does without it, and is not held up by more than a second."""
        host = host_with({"show": [shows("inactive"), shows("failed")], "journal": [journal]})
        run = act(Action.START, host, tmp_path)
        assert run.verdict.reason == f"{UNIT} is failed (start job done), expected active"
        assert run.took_s < 2.0

    def test_not_permitted(self, tmp_path: Path) -> None:
        """Systemctl exits 4: so does the start, at once."""
        host = host_with({"show": [shows("inactive")], "start": [exits(4, "Failed to start: Access denied")]})
        run = act(Action.START, host, tmp_path)
        assert run.verdict.code == 4
        assert run.verdict.reason is not None
        assert "start refused: Failed to start: Access denied" in run.verdict.reason

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
        assert run.verdict.code == code
        assert run.host.verbs == []
        assert list(tmp_path.iterdir()) == []

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
        """Told before anything is started: 5, or 4 when it is not safe."""
        (tmp_path / "open").touch()
        (tmp_path / "open").chmod(0o777)
        run = act(
            Action.START,
            host_with({"show": [shows("inactive")]}),
            tmp_path,
            values={"monitor_hook": hook.format(tmp=tmp_path), **values},
        )
        assert run.verdict.code == code
        assert run.host.verbs == []

    @pytest.mark.parametrize("limit", [pytest.param(limit, id=str(limit)) for limit in (1, 2, 5)])
    def test_start_poll_limit(self, tmp_path: Path, limit: int) -> None:
        """So many looks after the start, then it gives up, long before the deadline."""
        host = host_with({"show": [shows("active")], "hook": [exits(7)]})
        run = act(Action.START, host, tmp_path, values={**HOOKED, "start_poll_limit": str(limit)})
        assert (run.verdict.code, len(run.host.of("hook"))) == (1, limit)
        assert run.took_s < 2.0

    def test_gated_by_itself_while_the_job_runs(self, tmp_path: Path) -> None:
        """While systemd has not said that the unit has started, its hook is not run for nothing."""
        shown = [shows("inactive"), *[shows("activating")] * 4, shows("active")]
        host = host_with({"show": shown, "start": [hangs()], "hook": [exits(0)]})
        run = act(Action.START, host, tmp_path, values=HOOKED)
        assert (run.verdict.code, len(run.host.of("hook"))) == (0, 1)

    def test_a_job_that_takes_longer_than_there_is_time(self, tmp_path: Path) -> None:
        """The request is given up in time for a look, and the answer is 1."""
        host = host_with({"show": [shows("inactive"), shows("activating")], "start": [hangs()]})
        run = act(Action.START, host, tmp_path)
        assert (run.verdict.code, run.verdict.reason) == (1, f"{UNIT} is activating, expected active")

    @pytest.mark.parametrize("answer", NO_ANSWER_ROWS)
    def test_a_systemd_that_does_not_answer(self, tmp_path: Path, answer: Step) -> None:
        """1 at the deadline, and nothing was asked for blindly."""
        run = act(Action.START, host_with({"show": [answer]}), tmp_path)
        assert run.verdict.code == 1
        assert run.host.verbs == []
        assert list(tmp_path.iterdir()) == []

    def test_a_systemd_that_falls_silent_later(self, tmp_path: Path) -> None:
        """In doubt is not started either."""
        run = act(Action.START, host_with({"show": [shows("inactive"), silent()]}), tmp_path)
        assert run.verdict.code == 1
        assert run.verdict.reason is not None
        assert run.verdict.reason.startswith("systemd does not answer: ")


class TestStop:
    def test_step_by_step(self, tmp_path: Path) -> None:
        """Look, remove the drop-in, daemon-reload, stop, look: 0 once the unit is observed stopped."""
        act(Action.START, host_with({"show": [shows("active")]}), tmp_path)
        host = host_with({"show": [shows("active"), shows("deactivating"), shows("inactive")]})
        run = act(Action.STOP, host, tmp_path, values=HOOKED)
        assert (run.verdict.code, run.verdict.reason) == (0, None)
        assert run.host.verbs == ["daemon-reload", "stop"]
        assert not drop_in_path(UNIT, tmp_path).parent.exists()

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
        assert (run.verdict.code, run.host.of("hook")) == (0, [])

    @pytest.mark.parametrize("answer", NO_ANSWER_ROWS)
    def test_in_doubt_is_not_stopped(self, tmp_path: Path, answer: Step) -> None:
        """A systemd that does not answer: tried until the deadline, then 1, never 0."""
        run = act(Action.STOP, host_with({"show": [answer], "stop": [answer], "kill": [answer]}), tmp_path)
        assert run.verdict.code == 1
        assert run.verdict.reason is not None
        assert run.verdict.reason.startswith("systemd does not answer: ")
        assert run.took_s > 0.85 * run.time_s

    def test_a_lost_request_is_made_again(self, tmp_path: Path) -> None:
        """Each look asks for the stop anew."""
        host = host_with({"show": [shows("active")] * 4 + [shows("inactive")], "stop": [LOST]})
        run = act(Action.STOP, host, tmp_path)
        assert run.verdict.code == 0
        assert len(run.host.of("stop")) == 4

    def test_escalation_at_three_quarters(self, tmp_path: Path) -> None:
        """A unit that does not stop gets SIGKILL, so that the stop succeeds: a failed one means fencing."""
        host = host_with(
            {"show": [shows("deactivating")], "stop": [hangs(until="kill")]}, kill={"show": [shows("failed")]}
        )
        run = act(Action.STOP, host, tmp_path)
        assert run.verdict.code == 0
        assert run.host.times("kill") == [pytest.approx(0.75 * run.time_s, abs=0.1)]
        assert run.host.of("kill")[0].arguments[3:] == ("kill", "--signal=SIGKILL", "--", UNIT)
        assert texts(run, Warned) == [f"{UNIT} does not stop: sending SIGKILL to its processes"]

    def test_escalation_goes_on(self, tmp_path: Path) -> None:
        """One SIGKILL that was lost is not the last."""
        host = host_with({"show": [shows("deactivating")], "stop": [hangs()], "kill": [LOST]})
        run = act(Action.STOP, host, tmp_path)
        assert run.verdict.code == 1
        assert len(run.host.of("kill")) > 3

    def test_no_escalation_where_it_is_not_wanted(self, tmp_path: Path) -> None:
        """stop_escalate=no: 1 at the deadline, and nobody is killed."""
        host = host_with({"show": [shows("deactivating")], "stop": [hangs()]})
        run = act(Action.STOP, host, tmp_path, values={"stop_escalate": "no"})
        assert (run.verdict.code, run.host.of("kill")) == (1, [])
        assert run.verdict.reason is not None
        assert run.verdict.reason.startswith(f"{UNIT} is deactivating, expected inactive")

    def test_no_escalation_where_it_is_not_needed(self, tmp_path: Path) -> None:
        """A unit that stops within three quarters of the time is not killed."""
        host = host_with({"show": [shows("active"), shows("inactive")], "stop": [exits(0, after_s=13.0)]})
        run = act(Action.STOP, host, tmp_path)
        assert (run.verdict.code, run.host.of("kill")) == (0, [])

    @pytest.mark.parametrize("limit", [pytest.param(limit, id=str(limit)) for limit in (1, 3)])
    def test_stop_poll_limit(self, tmp_path: Path, limit: int) -> None:
        """So many looks after the stop, then it gives up."""
        host = host_with({"show": [shows("active")]})
        run = act(Action.STOP, host, tmp_path, values={"stop_poll_limit": str(limit)})
        assert (run.verdict.code, len(run.host.of("stop"))) == (1, limit)

    @pytest.mark.parametrize(
        ("hooks", "code", "runs"),
        [
            pytest.param([exits(0), exits(0), exits(7)], 0, 3, id="says 7 at last"),
            pytest.param([exits(7)], 0, 1, id="says 7 at once"),
        ],
    )
    def test_stop_verify_waits_for_the_hook(self, tmp_path: Path, hooks: list[Step], code: int, runs: int) -> None:
        """A unit whose ExecStop only triggers the stop is down before its service is."""
        host = host_with({"show": [shows("active"), shows("inactive")], "hook": hooks})
        run = act(Action.STOP, host, tmp_path, values={**HOOKED, "stop_verify": "yes"})
        assert (run.verdict.code, len(run.host.of("hook"))) == (code, runs)

    @pytest.mark.parametrize(
        "hook",
        [
            pytest.param(exits(0), id="says running"),
            pytest.param(exits(1), id="fails"),
            pytest.param(hangs(), id="hangs"),
        ],
    )
    def test_stop_verify_and_a_hook_that_never_says_7(self, tmp_path: Path, hook: Step) -> None:
        """1 at the deadline, and the hook is named."""
        host = host_with({"show": [shows("inactive")], "hook": [hook]})
        run = act(Action.STOP, host, tmp_path, values={**HOOKED, "stop_verify": "yes"})
        assert run.verdict.code == 1
        assert run.verdict.reason is not None
        assert run.verdict.reason.endswith("expected not running after stop")
        assert HOOK_PATH in run.verdict.reason

    @pytest.mark.parametrize(
        ("hook", "level"),
        [pytest.param("/no/such/hook", "0", id="missing"), pytest.param(HOOK_PATH, "10", id="below its check level")],
    )
    def test_stop_verify_without_a_hook_to_ask(self, tmp_path: Path, hook: str, level: str) -> None:
        """A hook that cannot be asked does not fail a stop."""
        values = {"monitor_hook": hook, "monitor_hook_level": level, "stop_verify": "yes"}
        host = host_with({"show": [shows("inactive")], "hook": [Step(NotStarted(2, "No such file or directory"))]})
        assert act(Action.STOP, host, tmp_path, values=values).verdict.code == 0

    def test_not_permitted(self, tmp_path: Path) -> None:
        """At the deadline 4, with what systemctl said."""
        host = host_with({"show": [shows("active")], "stop": [exits(4, "Failed to stop: Access denied")]})
        run = act(Action.STOP, host, tmp_path)
        assert run.verdict.code == 4
        assert run.verdict.reason == f"{UNIT} is active, expected inactive: Failed to stop: Access denied"


class TestDropIn:
    def test_systemd_is_told_only_of_changes(self, tmp_path: Path) -> None:
        """One daemon-reload when it was written and systemd has not read it, or removed; none when it stood."""
        active = {"show": [shows("active")]}
        assert len(act(Action.START, host_with(active), tmp_path).host.of("daemon-reload")) == 1
        told = {"show": [shows("active", DropInPaths=str(drop_in_path(UNIT, tmp_path)))]}
        assert len(act(Action.START, host_with(told), tmp_path).host.of("daemon-reload")) == 0
        assert len(act(Action.START, host_with(active), tmp_path).host.of("daemon-reload")) == 1
        down = {"show": [shows("active"), shows("inactive")]}
        assert len(act(Action.STOP, host_with(down), tmp_path).host.of("daemon-reload")) == 1
        assert len(act(Action.STOP, host_with(down), tmp_path).host.of("daemon-reload")) == 0

    @pytest.mark.parametrize(
        ("needs", "reloads"), [pytest.param("no", 0, id="drop-in read"), pytest.param("yes", 1, id="unit file older")]
    )
    def test_systemd_is_not_told_what_it_knows(self, tmp_path: Path, needs: str, reloads: int) -> None:
        """A unit that was forgotten while it was down has been loaded with the drop-in: it costs no daemon-reload."""
        loaded = shows("inactive", DropInPaths=str(drop_in_path(UNIT, tmp_path)), NeedDaemonReload=needs)
        run = act(Action.START, host_with({"show": [shows("inactive"), loaded, shows("active")]}), tmp_path)
        assert run.verdict.code == 0
        assert len(run.host.of("daemon-reload")) == reloads

    @pytest.mark.parametrize("action", [pytest.param(each, id=each) for each in (Action.START, Action.STOP)])
    def test_systemd_is_told_of_what_it_has_not_heard(self, tmp_path: Path, action: Action) -> None:
        """Whoever changed it may have been killed before systemd was told: NeedDaemonReload says so."""
        act(Action.START, host_with({"show": [shows("active")]}), tmp_path)
        if action is Action.STOP:
            act(Action.STOP, host_with({"show": [shows("inactive")]}), tmp_path)
        then = shows("active" if action is Action.START else "inactive")
        host = host_with({"show": [shows("active", NeedDaemonReload="yes"), then]})
        assert len(act(action, host, tmp_path).host.of("daemon-reload")) == 1

    def test_a_lost_daemon_reload_is_made_again(self, tmp_path: Path) -> None:
        """The unit is started once systemd knows of the drop-in, and not before."""
        host = host_with({"show": [shows("inactive"), shows("active")], "daemon-reload": [LOST, LOST, DONE]})
        run = act(Action.START, host, tmp_path)
        assert run.verdict.code == 0
        assert run.host.verbs == ["daemon-reload", "reset-failed", "start"]
        assert (len(run.host.of("daemon-reload")), len(run.host.of("start"))) == (3, 1)
        assert len(texts(run, Warned)) == 2

    def test_stop_goes_on_without_a_daemon_reload(self, tmp_path: Path) -> None:
        """A stop does not fail for it: the unit is stopped all the same."""
        act(Action.START, host_with({"show": [shows("active")]}), tmp_path)
        host = host_with({"show": [shows("active"), shows("inactive")], "daemon-reload": [LOST]})
        run = act(Action.STOP, host, tmp_path)
        assert run.verdict.code == 0
        assert len(texts(run, Warned)) == 1

    @pytest.mark.parametrize("wanted", [pytest.param("yes", id="wanted"), pytest.param("no", id="not wanted")])
    def test_order_at_shutdown(self, tmp_path: Path, wanted: str) -> None:
        """Start has it as the parameter says, and takes away one that was there before."""
        path = drop_in_path(UNIT, tmp_path)
        if wanted == "no":
            path.parent.mkdir(parents=True)
            path.touch()
        run = act(Action.START, host_with({"show": [shows("active")]}), tmp_path, values={"order_at_shutdown": wanted})
        assert run.verdict.code == 0
        assert path.exists() == (wanted == "yes")
        assert texts(run, Noted) == [f"drop-in {path} {'written' if wanted == 'yes' else 'removed'}"]

    def test_it_cannot_be_written(self, tmp_path: Path) -> None:
        """The start fails and tells why; the unit is not started."""
        (tmp_path / "systemd").touch()
        run = act(Action.START, host_with({"show": [shows("inactive")]}), tmp_path)
        assert run.verdict.code == 1
        assert run.verdict.reason is not None
        assert run.verdict.reason.startswith(f"drop-in {drop_in_path(UNIT, tmp_path)} cannot be written: ")
        assert run.host.of("start") == []

    def test_it_cannot_be_removed(self, tmp_path: Path) -> None:
        """The stop goes on, and the log tells."""
        path = drop_in_path(UNIT, tmp_path)
        path.mkdir(parents=True)
        run = act(Action.STOP, host_with({"show": [shows("active"), shows("inactive")]}), tmp_path)
        assert run.verdict.code == 0
        assert run.host.verbs == ["stop"]
        (warning,) = texts(run, Warned)
        assert f"drop-in {path} cannot be removed: " in warning


class TestReload:
    def test_step_by_step(self, tmp_path: Path) -> None:
        """Reload, then one monitor with the hook."""
        run = act(Action.RELOAD, host_with({"show": [shows("active")], "hook": [exits(0)]}), tmp_path, values=HOOKED)
        assert (run.verdict.code, run.host.verbs) == (0, ["reload", "hook"])

    def test_a_unit_that_cannot(self, tmp_path: Path) -> None:
        """3, and it is not asked to."""
        run = act(Action.RELOAD, host_with({"show": [shows("active", CanReload="no")]}), tmp_path)
        assert (run.verdict.code, run.host.verbs) == (3, [])
        assert run.verdict.reason == f"{UNIT} cannot reload: it has no ExecReload="

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
        """What the monitor says of it; nothing is reloaded."""
        run = act(Action.RELOAD, host_with({"show": [shown]}), tmp_path)
        assert (run.verdict.code, run.host.verbs) == (code, [])

    def test_a_unit_on_its_way_up(self, tmp_path: Path) -> None:
        """It may have read its old configuration already: it is reloaded once it runs."""
        host = host_with({"show": [shows("activating"), shows("activating"), shows("active")]})
        run = act(Action.RELOAD, host, tmp_path)
        assert (run.verdict.code, run.host.verbs) == (0, ["reload"])

    @pytest.mark.parametrize(
        ("reload", "hook", "code"),
        [
            pytest.param(DONE, exits(7), 7, id="the hook says 7"),
            pytest.param(DONE, exits(190), 190, id="degraded"),
            pytest.param(exits(1, f"Job for {UNIT} failed."), exits(0), 1, id="the job failed"),
            pytest.param(exits(1, f"Job for {UNIT} failed."), exits(5), 5, id="both: the monitor's"),
            pytest.param(LOST, exits(0), 1, id="the request was lost"),
            pytest.param(hangs(), exits(0), 1, id="the job does not end"),
        ],
    )
    def test_what_the_monitor_said(self, tmp_path: Path, reload: Step, hook: Step, code: int) -> None:
        """0, or what the monitor said, or 1 for a reload that was not done."""
        host = host_with({"show": [shows("active")], "reload": [reload], "hook": [hook]})
        assert act(Action.RELOAD, host, tmp_path, values=HOOKED).verdict.code == code


class TestReloadAgent:
    @pytest.mark.parametrize("wanted", [pytest.param("yes", id="wanted"), pytest.param("no", id="not wanted")])
    def test_the_drop_in_is_as_the_parameters_say(self, tmp_path: Path, wanted: str) -> None:
        """A running unit gets it or loses it; nothing is restarted, no hook runs."""
        path = drop_in_path(UNIT, tmp_path)
        if wanted == "no":
            act(Action.START, host_with({"show": [shows("active")]}), tmp_path)
        values = {**HOOKED, "order_at_shutdown": wanted}
        run = act(Action.RELOAD_AGENT, host_with({"show": [shows("active")]}), tmp_path, values=values)
        assert (run.verdict.code, run.host.verbs) == (0, ["daemon-reload"])
        assert path.exists() == (wanted == "yes")
        in_force = shows("active", DropInPaths=str(path) if wanted == "yes" else "")
        run = act(Action.RELOAD_AGENT, host_with({"show": [in_force]}), tmp_path, values=values)
        assert (run.verdict.code, run.host.verbs) == (0, [])

    def test_a_stopped_unit_gets_none(self, tmp_path: Path) -> None:
        """Start will write it."""
        run = act(Action.RELOAD_AGENT, host_with({"show": [shows("inactive")]}), tmp_path)
        assert (run.verdict.code, run.host.verbs) == (0, [])
        assert list(tmp_path.iterdir()) == []

    def test_it_cannot_be_written(self, tmp_path: Path) -> None:
        """Then the parameters are not taken over."""
        (tmp_path / "systemd").touch()
        run = act(Action.RELOAD_AGENT, host_with({"show": [shows("active")]}), tmp_path)
        assert run.verdict.code == 1

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
        assert run.verdict.code == code
        assert list(tmp_path.iterdir()) == []


class TestValidateAll:
    @pytest.mark.parametrize("level", [pytest.param(level, id=str(level)) for level in (0, 9)])
    def test_the_values_alone(self, tmp_path: Path, level: int) -> None:
        """Below level 10 this host does not matter, and nothing is run."""
        host = host_with({"show": [silent()]})
        values = {"monitor_hook": "/no/such/hook"}
        run = act(Action.VALIDATE_ALL, host, tmp_path, values=values, operation=Operation(20.0, check_level=level))
        assert (run.verdict.code, run.host.calls) == (0, [])

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
        assert (run.verdict.code, run.host.verbs) == (code, [])


class TestTold:
    def test_the_reporter_hears_the_whole_story(self, tmp_path: Path) -> None:
        """It begins and ends, each command does, and each look is told."""
        operation = Operation(20.0, is_recurring=True, warnings=("no timeout is set: going by 20 s",))
        host = host_with({"show": [shows("activating"), shows("active")], "hook": [exits(0)]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED, operation=operation)
        facts = run.heard.facts
        assert isinstance(facts[0], ActionBegan)
        assert (facts[0].action, facts[0].unit, facts[0].timeout_s) == (Action.MONITOR, UNIT, 20.0)
        assert facts[0].time_s == pytest.approx(18.0)
        assert facts[1] == Warned("no timeout is set: going by 20 s")
        assert facts[-1] == Judged(Action.MONITOR, run.verdict)
        began = [fact for fact in facts if isinstance(fact, CommandBegan)]
        ended = [fact.began for fact in facts if isinstance(fact, CommandEnded)]
        assert sorted(map(id, began)) == sorted(map(id, ended))
        assert len([fact for fact in facts if isinstance(fact, Looked)]) == 2

    def test_a_command_that_was_dropped_has_no_outcome(self, tmp_path: Path) -> None:
        """Its answer no longer mattered."""
        host = host_with({"show": [shows("inactive")], "hook": [hangs()]})
        run = act(Action.MONITOR, host, tmp_path, values=HOOKED)
        outcomes = [fact.outcome for fact in run.heard.facts if isinstance(fact, CommandEnded)]
        assert outcomes.count(None) == 1


STATES = st.sampled_from(["active", "reloading", "inactive", "failed", "activating", "deactivating"])
DELAYS = st.sampled_from([0.0, 0.01, 0.3, 2.0, 9.0])
LOADS = st.sampled_from(["loaded", "loaded", "loaded", "not-found", "masked"])
ANSWERS = st.one_of(
    st.builds(shows, STATES, LOADS, DELAYS), st.builds(silent, DELAYS), st.sampled_from([*OUTCOMES.values()])
)
ENDS = st.one_of(st.builds(exits, st.integers(0, 6), st.just("Job for x failed."), DELAYS), st.just(hangs()))
SAYS = st.one_of(st.builds(exits, st.sampled_from([0, 7, 190, 1, 5, 42]), st.just(""), DELAYS), st.just(hangs()))


@dataclass(frozen=True)
class History:
    """An action, and all that systemd and the hook do while it runs."""

    action: Action
    shown: list[Step]
    ends: list[Step]
    says: list[Step]
    timeout_s: float
    verify: str


HISTORIES = st.builds(
    History,
    action=st.sampled_from([action for action in Action if action is not Action.META_DATA]),
    shown=st.lists(ANSWERS, min_size=1, max_size=6),
    ends=st.lists(ENDS, min_size=1, max_size=3),
    says=st.lists(SAYS, min_size=1, max_size=3),
    timeout_s=st.sampled_from([0.01, 1.0, 20.0, 100.0]),
    verify=st.sampled_from(["yes", "no"]),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORIES)
def test_the_promise_in_every_history(tmp_path: Path, history: History) -> None:
    """Never 7 unless seen down or told so, never 7 from start, never 0 from stop unless seen down; always in time."""
    script = {"show": [*history.shown], "hook": [*history.says]}
    for verb in ("start", "stop", "reload", "kill", "daemon-reload", "reset-failed"):
        script[verb] = [*history.ends]
    run = act(
        history.action,
        ScriptedSystemctl(script),
        tmp_path,
        values={**HOOKED, "stop_verify": history.verify},
        operation=Operation(history.timeout_s, is_recurring=True, check_level=10),
    )
    code = run.verdict.code
    looks = [fact.observation.unit for fact in run.heard.facts if isinstance(fact, Looked)]
    is_down = bool(looks) and isinstance(looks[-1], UnitState) and looks[-1].is_down
    said_7 = any(isinstance(hook.outcome, Exited) and hook.outcome.code == 7 for hook in run.host.of("hook"))
    assert code != 7 or is_down or said_7
    assert code != 7 or history.action in {Action.MONITOR, Action.RELOAD}
    assert history.action is not Action.STOP or code != 0 or is_down
    assert code == 0 or run.verdict.reason
    assert run.took_s < run.timeout_s
