"""How a rehearsal judges its facts: each error has what happened and what was expected, why it matters, and a fix."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.observations import HookMissing, HookOutcome
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.core.unit_properties import parse_units
from ocf_systemd.rehearse.checks import (
    Subject,
    judge_drop_in,
    judge_frozen,
    judge_hook_down,
    judge_hook_leftovers,
    judge_killed,
    judge_left_behind,
    judge_pair,
    judge_restarts,
    judge_restored,
    judge_run,
    judge_stop_in_start,
    judge_twice,
)
from ocf_systemd.rehearse.facts import (
    ActionRun,
    Crash,
    Leftover,
    UnitFacts,
    limit_s,
    unit_facts,
)
from ocf_systemd.rehearse.scenarios import DECISIVE, NEEDS_RUNNING, NEEDS_STOPPED, Scenario
from tests.unit.builders import HOOK, UNIT, exited, timed_out

BARE = Subject("check", UNIT, kill_mode="process", stop_timeout_s=90.0)
HOOKED = Subject("check", UNIT, HOOK, stop_timeout_s=math.inf)
START, STOP, MONITOR = Action.START, Action.STOP, Action.MONITOR


def ran(action: Action, code: int = 0, reason: str | None = None) -> ActionRun:
    return ActionRun(action, ActionResult(code, reason), 0.5)


def ok(what: str) -> CheckResult:
    return CheckResult("check", Status.OK, what)


def error(result: CheckResult | None) -> CheckResult:
    """Return the result, which must be an error with all that an administrator needs."""
    assert result is not None
    assert (result.name, result.status) == ("check", Status.ERROR), result
    assert result.what
    assert result.why.endswith(".")
    assert result.fix
    return result


def test_a_scenario_begins_with_one_state() -> None:
    """A scenario needs the unit running or stopped; validate-all needs neither."""
    assert set(Scenario) - NEEDS_RUNNING - NEEDS_STOPPED == {Scenario.VALIDATE_ALL}
    assert not NEEDS_RUNNING & NEEDS_STOPPED
    assert set(Scenario) > DECISIVE


class TestTwice:
    @pytest.mark.parametrize(
        ("runs", "what"),
        [
            pytest.param(
                (replace(ran(START), active_after_s=0.1), ran(START)), "returned 0 and 0 in 0.50 s", id="start"
            ),
            pytest.param(
                (replace(ran(START), active_after_s=0.1, hook_s=0.02), ran(START)),
                "returned 0 and 0 in 0.50 s, active after 0.10 s",
                id="start-waits-for-its-hook",
            ),
            pytest.param((ran(MONITOR), ran(MONITOR)), "returned 0 and 0 in 0.50 s", id="monitor"),
            pytest.param(
                (replace(ran(MONITOR), hook_s=0.02), replace(ran(MONITOR), hook_s=0.03)),
                "returned 0 and 0 in 0.50 s, the hook 0.03 s",
                id="monitor-with-a-hook",
            ),
            pytest.param((replace(ran(STOP), elapsed_s=12.3), ran(STOP)), "returned 0 and 0 in 12 s", id="long"),
        ],
    )
    def test_passes(self, runs: tuple[ActionRun, ActionRun], what: str) -> None:
        """A result that is ok has the exit codes and the times."""
        assert judge_twice(HOOKED, runs) == ok(what)

    def test_down(self) -> None:
        """The expected code may be 7."""
        runs = (ran(MONITOR, 7), ran(MONITOR, 7))
        assert judge_twice(BARE, runs, ExitCode.NOT_RUNNING) == ok("returned 7 and 7 in 0.50 s")

    @pytest.mark.parametrize("which", [0, 1])
    def test_fails(self, which: int) -> None:
        """One unexpected exit code is an error, which reports which run returned it."""
        runs = [ran(START), ran(START)]
        runs[which] = ran(START, 1, f"{UNIT} is failed, expected active")
        assert error(judge_twice(BARE, runs)).what == (
            f"the {('first', 'second')[which]} start returned 1 (OCF_ERR_GENERIC) after 0.50 s, expected 0: "
            f"{UNIT} is failed, expected active"
        )


FIXES = [
    pytest.param(BARE, ran(START, 1), "journalctl -u postfix@-.service", id="start"),
    pytest.param(BARE, ran(STOP, 1), f"ocf-systemd debug stop {UNIT}", id="stop"),
    pytest.param(BARE, ran(Action.VALIDATE_ALL, 5), f"ocf-systemd debug validate-all {UNIT}", id="validate-all"),
    pytest.param(BARE, ran(Action.RELOAD, 1), f"ocf-systemd debug reload {UNIT}", id="reload"),
    pytest.param(
        BARE,
        ran(START, 1, "is failed (Result=start-limit-hit)"),
        f"systemctl edit {UNIT}   # [Unit] StartLimitIntervalSec=0",
        id="start-limit",
    ),
    pytest.param(
        HOOKED,
        ran(MONITOR, 1, "hook /x exited with 1, expected 0"),
        f"ocf-systemd debug monitor {UNIT} --monitor-hook {HOOK}",
        id="hook",
    ),
]


class TestRun:
    @pytest.mark.parametrize(("subject", "run", "fix"), FIXES)
    def test_fix(self, subject: Subject, run: ActionRun, fix: str) -> None:
        """An error has the commands that show or fix it, by the action and its reason."""
        assert fix in error(judge_run(subject, run, ExitCode.SUCCESS, "it")).fix

    def test_why(self) -> None:
        """An error has Pacemaker's response, to a monitor that is expected to return 7 as to a probe."""
        failed = error(judge_run(BARE, ran(STOP, 1), ExitCode.SUCCESS, "it"))
        assert consequence(STOP, 1, recurring=True) in failed.why
        failed = error(judge_run(BARE, ran(MONITOR), ExitCode.NOT_RUNNING, "it"))
        assert consequence(MONITOR, 0, recurring=False) in failed.why

    def test_without_a_reason(self) -> None:
        """Without an exit reason the error has the unit's name."""
        failed = error(judge_run(BARE, ran(MONITOR, 0), ExitCode.NOT_RUNNING, "the monitor"))
        assert failed.what == f"the monitor returned 0 (OCF_SUCCESS) after 0.50 s, expected 7: {UNIT}"

    def test_a_stop_that_kills(self) -> None:
        """A stop that sent SIGKILL is an error, though it returned 0."""
        failed = error(judge_run(BARE, replace(ran(STOP), escalated=True), ExitCode.SUCCESS, "the first stop"))
        assert failed.what == (
            f"{UNIT} did not stop by itself (TimeoutStopSec=90s): the first stop sent SIGKILL, which took 0.50 s, "
            "expected that it ends on its stop signal"
        )
        assert f"systemctl edit {UNIT}   # [Service] KillSignal=…" in failed.fix

    def test_a_stop_that_systemd_ends(self) -> None:
        """So is a stop after which systemd sent SIGKILL."""
        failed = error(judge_run(HOOKED, replace(ran(STOP), unit_result="timeout"), ExitCode.SUCCESS, "the first stop"))
        assert failed.what.startswith(f"systemd killed {UNIT} after TimeoutStopSec=infinity (Result=timeout)")

    def test_names_are_quoted(self) -> None:
        """A unit and a hook with characters of the shell are quoted in commands."""
        subject = Subject("check", r"srv-a\x2db.service", "/a b")
        failed = error(judge_run(subject, ran(START, 1), ExitCode.SUCCESS, "it"))
        assert r"ocf-systemd debug start 'srv-a\x2db.service' --monitor-hook '/a b'" in failed.fix


class TestLeftBehind:
    def test_nothing(self) -> None:
        """No process may outlive a stop."""
        assert judge_left_behind(BARE, ()) == ok("no process outlived the stop")

    def test_in_its_control_group(self) -> None:
        """For a process that systemd did not end the error has the setting that does."""
        failed = error(judge_left_behind(BARE, [Leftover(7, "sleep 9", has_left_group=False)]))
        assert failed.what == f"1 process of {UNIT} outlived its stop (KillMode=process), expected none: 7 sleep 9"
        assert failed.fix == (f"systemctl edit {UNIT}   # [Service] KillMode=control-group",)

    def test_elsewhere(self) -> None:
        """For processes that left the control group it is another error; it lists some of many."""
        left = [Leftover(pid, "sleep 9", has_left_group=True) for pid in range(1, 6)]
        failed = error(judge_left_behind(HOOKED, left))
        assert failed.what == (
            f"5 processes of {UNIT} left its control group and outlived its stop, expected none: "
            "1 sleep 9; 2 sleep 9; 3 sleep 9"
        )
        assert "systemd does not track them any more" in failed.why


HOOK_DOWN = [
    pytest.param(exited(0), "returned 0 (OCF_SUCCESS) while", "cannot detect that the service is dead", id="0"),
    pytest.param(exited(190), "returned 190 (OCF_DEGRADED) while", "cannot detect that the service is dead", id="190"),
    pytest.param(exited(5), "returned 5 (OCF_ERR_INSTALLED)", "hard error", id="5"),
    pytest.param(exited(6), "returned 6 (OCF_ERR_CONFIGURED)", "fatal error", id="6"),
    pytest.param(HookMissing(HOOK, "gone"), "returned 5 (OCF_ERR_INSTALLED)", "cannot be run: gone", id="missing"),
    pytest.param(timed_out(), "did not end while", "expected exit code 7 at once", id="hangs"),
]


class TestHookDown:
    @pytest.mark.parametrize(("outcome", "what", "detail"), HOOK_DOWN)
    def test_fails(self, outcome: HookOutcome, what: str, detail: str) -> None:
        """A hook must not report a unit running that is down, return a hard or fatal error, or hang."""
        failed = error(judge_hook_down(HOOKED, (outcome,)))
        assert failed.what.startswith(f"hook smtp {what}")
        assert UNIT in failed.what
        assert detail in f"{failed.what} {failed.why}"

    def test_7(self) -> None:
        """The hook should return 7."""
        assert judge_hook_down(HOOKED, (exited(7),)) == ok("returned 7")

    def test_1(self) -> None:
        """1 does no harm."""
        assert judge_hook_down(HOOKED, (exited(1),)) == ok("returned 1; 7 is more precise")

    def test_1_where_every_stop_waits_for_7(self) -> None:
        """With stop_verify=yes it does."""
        failed = error(judge_hook_down(replace(HOOKED, stop_verify=True), (exited(1),)))
        assert "With stop_verify=yes every stop waits for 7, and fails." in failed.why

    def test_other_protocols(self) -> None:
        """A plugin's 2 is a failure, not a hard error."""
        subject = replace(HOOKED, protocol=HookProtocol.NAGIOS)
        assert judge_hook_down(subject, (exited(2),)) == ok("returned 1; 7 is more precise")


class TestRestarts:
    def test_passes(self) -> None:
        """The result has the number of restarts, and the time of one."""
        assert judge_restarts(BARE, [ran(START), ran(STOP)] * 10) == ok("10 of 10, 1.00 s each")

    @pytest.mark.parametrize(
        ("runs", "name"),
        [
            pytest.param([ran(START), ran(STOP), ran(START, 1)], "start 2 of 10 in a row returned 1", id="start"),
            pytest.param([ran(START), ran(STOP, 1)], "stop 1 of 10 in a row returned 1", id="stop"),
        ],
    )
    def test_fails(self, runs: list[ActionRun], name: str) -> None:
        """The error has the number of the first that failed."""
        assert error(judge_restarts(BARE, runs)).what.startswith(name)


class TestPair:
    def test_passes(self) -> None:
        """Both must return 0, and the monitor must agree."""
        result = judge_pair(BARE, (ran(STOP), ran(STOP)), ran(MONITOR, 7), ExitCode.NOT_RUNNING)
        assert result == ok("returned 0 and 0, then monitor 7")

    def test_one_fails(self) -> None:
        """One that fails is an error."""
        failed = error(judge_pair(BARE, (ran(START), ran(START, 1)), ran(MONITOR), ExitCode.SUCCESS))
        assert failed.what.startswith("one of two concurrent starts returned 1")

    def test_the_monitor_differs(self) -> None:
        """So is a monitor that returns another code."""
        failed = error(judge_pair(BARE, (ran(START), ran(START)), ran(MONITOR, 7), ExitCode.SUCCESS))
        assert failed.what.startswith("the monitor after two concurrent starts returned 7")


class TestStopInStart:
    @pytest.mark.parametrize("code", [0, 1])
    def test_passes(self, code: int) -> None:
        """The unit must be down, whatever the start returns."""
        runs = (ran(START, code), ran(STOP), ran(MONITOR, 7))
        assert judge_stop_in_start(BARE, *runs) == ok(f"stop returned 0, monitor 7, start {code}")

    @pytest.mark.parametrize(
        ("runs", "what"),
        [
            pytest.param(
                (ran(START), ran(STOP, 1), ran(MONITOR, 7)),
                "a stop during a start returned 1",
                id="stop-fails",
            ),
            pytest.param(
                (ran(START), ran(STOP), ran(MONITOR, 0)),
                "the monitor after a stop during a start returned 0",
                id="start-wins",
            ),
        ],
    )
    def test_fails(self, runs: tuple[ActionRun, ActionRun, ActionRun], what: str) -> None:
        """A stop that fails is an error, and a unit that is up afterwards."""
        assert error(judge_stop_in_start(BARE, *runs)).what.startswith(what)


class TestKilled:
    def test_passes(self) -> None:
        """Monitor must report a crash, and start recover it."""
        crash = Crash("main process 7", ran(MONITOR, 7), 0.25, ran(START))
        assert judge_killed(BARE, crash) == ok("monitor returned 7 after 0.25 s, then start 0")

    @pytest.mark.parametrize(
        ("subject", "fix"),
        [
            pytest.param(BARE, "only a hook can", id="no-hook"),
            pytest.param(HOOKED, "Have the hook query the service", id="hook"),
        ],
    )
    def test_undetected(self, subject: Subject, fix: str) -> None:
        """A crash that no monitor reports is an error."""
        failed = error(judge_killed(subject, Crash("every process", ran(MONITOR), 5.0, None)))
        assert failed.what == (
            f"every process of {UNIT} was killed, and 5.00 s later monitor still returned 0, expected 7 or 1"
        )
        assert fix in failed.fix[0]

    def test_restarted_by_systemd(self) -> None:
        """So is a crash that systemd recovers without the cluster knowing."""
        failed = error(judge_killed(HOOKED, Crash("main process 7", ran(MONITOR), 5.0, None, "always")))
        assert "and systemd restarted it (Restart=always): monitor returned 0, expected 7 or 1" in failed.what
        assert "Leave order_at_shutdown at yes" in failed.fix[0]

    def test_not_recovered(self) -> None:
        """So is a start that fails afterwards."""
        failed = error(judge_killed(BARE, Crash("main process 7", ran(MONITOR, 7), 0.1, ran(START, 1))))
        assert failed.what.startswith("the start after main process 7 was killed returned 1")


class TestFrozen:
    def test_passes(self) -> None:
        """The hook must detect a hang; the result has the time that took."""
        hang = (3, ran(MONITOR, 1), ran(MONITOR))
        assert judge_frozen(HOOKED, *hang) == ok("monitor returned 1 after 0.50 s")

    def test_a_hook_without_a_limit(self) -> None:
        """A hook that was ended at the deadline detects it too."""
        hang = (3, replace(ran(MONITOR, 1), hook_timed_out=True), ran(MONITOR))
        expected = ok("monitor returned 1 after 0.50 s, its deadline: the hook has no time limit")
        assert judge_frozen(HOOKED, *hang) == expected

    def test_a_watchdog(self) -> None:
        """A unit that systemd's watchdog has ended need not work afterwards."""
        assert judge_frozen(BARE, 3, ran(MONITOR, 7), None).status is Status.OK

    def test_no_hook(self) -> None:
        """Without a hook no hang is detected; the error explains why, and that a hook is needed."""
        failed = error(judge_frozen(BARE, 3, ran(MONITOR), ran(MONITOR)))
        assert failed.what == (
            f"all processes of {UNIT} (3) were frozen by SIGSTOP, and monitor returned 0 (OCF_SUCCESS), "
            "expected a failure"
        )
        assert "systemd sees that processes exist, not that they work" in failed.why
        assert "--monitor-hook" in failed.fix[0]

    @pytest.mark.parametrize("code", [0, 190])
    def test_a_hook_that_does_not_detect_it(self, code: int) -> None:
        """A hook that reports the unit running is an error, also if it reports it degraded."""
        failed = error(judge_frozen(HOOKED, 1, ran(MONITOR, code), ran(MONITOR)))
        assert "Hook smtp does not detect a hang" in failed.why
        assert "wait for a response of the service itself" in failed.fix[0]

    def test_no_recovery(self) -> None:
        """A unit must work once the hang is over."""
        failed = error(judge_frozen(HOOKED, 1, ran(MONITOR, 1), ran(MONITOR, 1, "hook failed")))
        assert failed.what.endswith("after the hang was over, expected 0: hook failed")


def test_hook_leftovers() -> None:
    """The error for processes that a hook leaves running has their command lines."""
    assert "left processes running, expected none: sleep 60" in error(judge_hook_leftovers(HOOKED, ["sleep 60"])).what


class TestRestored:
    @pytest.mark.parametrize(
        ("state", "what"), [("active", "running"), ("activating", "running"), ("failed", "stopped")]
    )
    def test_restored(self, state: str, what: str) -> None:
        """The unit must be running or stopped as before."""
        before = UnitFacts(active_state="active" if what == "running" else "inactive")
        assert judge_restored(BARE, before, UnitFacts(active_state=state)) == ok(f"{UNIT} is {what}, as before")

    @pytest.mark.parametrize(
        ("before", "now", "verb"),
        [("active", "failed", "start"), ("inactive", "active", "stop"), ("active", "", "start")],
    )
    def test_not_restored(self, before: str, now: str, verb: str) -> None:
        """If it is not, the error has its state and the command that restores it."""
        failed = error(judge_restored(BARE, UnitFacts(active_state=before), UnitFacts(active_state=now)))
        assert failed.fix == (f"systemctl {verb} {UNIT}",)
        assert failed.what.endswith(f"is {now or 'in an unknown state'} now")

    def test_drop_in(self) -> None:
        """So is a drop-in that could not be restored."""
        assert error(judge_drop_in(BARE, "Read-only file system")).what.endswith("Read-only file system")


def test_skipped() -> None:
    """A check that does not run has the reason, and nothing to fix."""
    assert BARE.skipped("there is no hook") == CheckResult("check", Status.SKIPPED, "there is no hook")


class TestFacts:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            pytest.param("1min 30s", 90.0, id="two"),
            pytest.param("5s", 5.0, id="one"),
            pytest.param("500ms", 0.5, id="ms"),
            pytest.param("1.5s", 1.5, id="fraction"),
            pytest.param("1h 2min", 3720.0, id="hours"),
            pytest.param("0", 0.0, id="nothing"),
            pytest.param("infinity", math.inf, id="infinity"),
            pytest.param("", math.inf, id="no-such-property"),
        ],
    )
    def test_timespan(self, text: str, seconds: float) -> None:
        """A time limit is read as systemctl prints it."""
        assert limit_s(text) == seconds

    def test_unit(self) -> None:
        """A unit's properties are read as `systemctl show` prints them, a line for each ExecStop= command."""
        lines = ("ActiveState=active", "MainPID=7", "CanReload=yes", "TimeoutStopUSec=5s", "KillMode=mixed")
        commands = ("ExecStop={ path=/a ; argv[]=/a b=c ; }", "ExecStop={ path=/d ; argv[]=/d ; }")
        shown = "\n".join((*lines, *commands, "ControlGroup=/system.slice/x.service", ""))
        facts = unit_facts(parse_units(shown.encode())[0])
        assert facts == UnitFacts(
            active_state="active",
            main_pid=7,
            control_group="/system.slice/x.service",
            kill_mode="mixed",
            can_reload=True,
            stop_timeout_s=5.0,
            stop_commands=2,
        )
        assert facts.is_running

    @pytest.mark.parametrize("state", ["", "inactive", "failed", "deactivating", "maintenance"])
    def test_not_running(self, state: str) -> None:
        """A unit that is down, stops or is unknown is not running."""
        assert not UnitFacts(active_state=state).is_running

    def test_hook_wait(self) -> None:
        """A start waits for its hook from systemd's active to the end; without a hook there is no such time."""
        assert replace(ran(START), active_after_s=0.1, hook_s=0.1).hook_wait_s == pytest.approx(0.4)
        assert replace(ran(START), active_after_s=0.1).hook_wait_s is None
