"""What a rehearsal makes of what it saw: each failure with subject, observation, expectation, and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.observations import HookMissing, HookOutcome
from ocf_systemd.core.ocf import Action, ActionResult, ExitCode
from ocf_systemd.rehearse.checks import (
    Subject,
    judge_done,
    judge_frozen,
    judge_hook_down,
    judge_killed,
    judge_left_behind,
    judge_pair,
    judge_restarts,
    judge_stop_while_starting,
    judge_strays,
    judge_twice,
)
from ocf_systemd.rehearse.facts import (
    Done,
    Frozen,
    Killed,
    LeftBehind,
    StopWhileStarting,
    UnitFacts,
    limit_s,
    unit_facts,
)
from ocf_systemd.rehearse.scenarios import NEEDS, TITLES, Failed, Outcome, Passed, Scene
from tests.unit.builders import HOOK, UNIT, exited, timed_out

BARE = Subject(UNIT, kill_mode="process", stop_timeout_s=90.0)
HOOKED = Subject(UNIT, HOOK, stop_timeout_s=None)
START, STOP, MONITOR = Action.START, Action.STOP, Action.MONITOR


def done(action: Action, code: int = 0, reason: str | None = None) -> Done:
    return Done(action, ActionResult(code, reason), 0.5)


def failed(outcome: Outcome | None) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def test_every_scene_has_a_title_and_a_beginning() -> None:
    """A new scene is to be given both."""
    assert set(TITLES) == set(NEEDS) == set(Scene)


class TestTwice:
    @pytest.mark.parametrize(
        ("dones", "told"),
        [
            pytest.param((replace(done(START), active_after_s=0.1), done(START)), "0 0 in 0.50 s", id="start"),
            pytest.param(
                (replace(done(START), active_after_s=0.1, hook_s=0.02), done(START)),
                "0 0 in 0.50 s, active after 0.10 s",
                id="start-waits-for-its-hook",
            ),
            pytest.param((done(MONITOR), done(MONITOR)), "0 0 in 0.50 s", id="monitor"),
            pytest.param(
                (replace(done(MONITOR), hook_s=0.02), replace(done(MONITOR), hook_s=0.03)),
                "0 0 in 0.50 s, the hook 0.03 s",
                id="monitor-with-a-hook",
            ),
            pytest.param((replace(done(STOP), elapsed_s=12.3), done(STOP)), "0 0 in 12 s", id="long"),
        ],
    )
    def test_passes(self, dones: tuple[Done, Done], told: str) -> None:
        """What passes is told by its codes and its times."""
        assert judge_twice(HOOKED, dones) == Passed(told)

    def test_down(self) -> None:
        """What is expected may be 7."""
        assert judge_twice(BARE, (done(MONITOR, 7), done(MONITOR, 7)), ExitCode.NOT_RUNNING) == Passed("7 7 in 0.50 s")

    @pytest.mark.parametrize("which", [0, 1])
    def test_fails(self, which: int) -> None:
        """One answer that is not as expected is enough, and told which."""
        dones = [done(START), done(START)]
        dones[which] = done(START, 1, f"{UNIT} is failed, expected active")
        told = failed(judge_twice(BARE, dones)).told
        assert told == (
            f"the {('first', 'second')[which]} start answered 1 (OCF_ERR_GENERIC) after 0.50 s, expected 0: "
            f"{UNIT} is failed, expected active"
        )


REMEDIES = [
    pytest.param(BARE, done(START, 1), "`journalctl -u postfix@-.service`", id="start"),
    pytest.param(BARE, done(STOP, 1), "fences the node: `ocf-systemd debug stop --unit", id="stop"),
    pytest.param(BARE, done(Action.VALIDATE_ALL, 5), "nothing else makes sense before", id="validate-all"),
    pytest.param(
        BARE, done(Action.RELOAD, 1), "`ocf-systemd debug reload --unit postfix@-.service` shows", id="reload"
    ),
    pytest.param(
        BARE, done(START, 1, "is failed (Result=start-limit-hit)"), "[Unit] StartLimitIntervalSec=0", id="start-limit"
    ),
    pytest.param(
        HOOKED,
        done(MONITOR, 1, "hook /x exited with 1, expected 0"),
        f"mend the hook, or what it asks: `ocf-systemd debug monitor --unit {UNIT} --monitor-hook {HOOK}`",
        id="hook",
    ),
]


class TestDone:
    @pytest.mark.parametrize(("subject", "one", "remedy"), REMEDIES)
    def test_remedy(self, subject: Subject, one: Done, remedy: str) -> None:
        """A failure says what to do, by the action and what it says."""
        assert remedy in failed(judge_done(subject, one, ExitCode.SUCCESS, "it")).remedy

    def test_without_a_reason(self) -> None:
        """Whoever gives no reason is named at least."""
        told = failed(judge_done(BARE, done(MONITOR, 0), ExitCode.NOT_RUNNING, "the monitor")).told
        assert told == f"the monitor answered 0 (OCF_SUCCESS) after 0.50 s, expected 7: {UNIT}"

    def test_a_stop_that_kills(self) -> None:
        """A stop that had to send SIGKILL is no good stop, though its answer is 0."""
        failure = failed(judge_done(BARE, replace(done(STOP), sent_kill=True), ExitCode.SUCCESS, "the first stop"))
        assert failure.told == (
            f"{UNIT} did not stop: the first stop sent SIGKILL and took 0.50 s in all, "
            "expected that it ends when it is told to (TimeoutStopSec=90s)"
        )
        assert f"`systemctl edit {UNIT}`, then [Service] KillSignal=" in failure.remedy

    def test_a_stop_that_systemd_ends(self) -> None:
        """Nor is one that systemd had to end."""
        told = failed(
            judge_done(HOOKED, replace(done(STOP), unit_result="timeout"), ExitCode.SUCCESS, "the first stop")
        ).told
        assert told.startswith(f"systemd had to kill {UNIT} after TimeoutStopSec=infinity (Result=timeout)")


class TestLeftBehind:
    def test_nothing(self) -> None:
        """Nothing is how it should be."""
        assert judge_left_behind(BARE, ()) == Passed("its control group is empty")

    def test_in_its_control_group(self) -> None:
        """What systemd left alone is told with the setting that did it."""
        failure = failed(judge_left_behind(BARE, [LeftBehind(7, "sleep 9", elsewhere=False)]))
        assert failure.told == f"1 process of {UNIT} outlived its stop (KillMode=process), expected none: 7 sleep 9"
        assert "[Service] KillMode=control-group" in failure.remedy

    def test_elsewhere(self) -> None:
        """What has left the control group is told apart; of many some."""
        left = [LeftBehind(pid, "sleep 9", elsewhere=True) for pid in range(1, 6)]
        failure = failed(judge_left_behind(HOOKED, left))
        assert failure.told == (
            f"5 processes of {UNIT} left its control group and outlived its stop, expected none: "
            "1 sleep 9; 2 sleep 9; 3 sleep 9"
        )
        assert "systemd no longer knows them" in failure.remedy


HOOK_DOWN = [
    pytest.param(exited(0), "says 0 (OCF_SUCCESS) while", "it cannot tell that it is dead", id="0"),
    pytest.param(exited(190), "says 190 (OCF_DEGRADED) while", "it cannot tell that it is dead", id="190"),
    pytest.param(exited(5), "says 5 (OCF_ERR_INSTALLED)", "that code is a hard error (the resource may not", id="5"),
    pytest.param(exited(6), "says 6 (OCF_ERR_CONFIGURED)", "stops the resource on every node", id="6"),
    pytest.param(HookMissing(HOOK, "gone"), "says 5 (OCF_ERR_INSTALLED)", "cannot be run: gone", id="missing"),
    pytest.param(timed_out(), "does not end while", "expected 7 at once", id="hangs"),
]


class TestHookDown:
    @pytest.mark.parametrize(("outcome", "says", "why"), HOOK_DOWN)
    def test_fails(self, outcome: HookOutcome, says: str, why: str) -> None:
        """A hook must not report a unit running that is down, return a hard or fatal error, or hang."""
        told = failed(judge_hook_down(HOOKED, (outcome,))).told
        assert told.startswith(f"hook smtp {says}")
        assert UNIT in told
        assert why in told

    def test_7(self) -> None:
        """7 is what it should say."""
        assert judge_hook_down(HOOKED, (exited(7),)) == Passed("says 7")

    def test_1(self) -> None:
        """1 does no harm."""
        assert judge_hook_down(HOOKED, (exited(1),)) == Passed("says 1; 7 would tell more")

    def test_1_where_every_stop_waits_for_7(self) -> None:
        """With stop_verify it does."""
        told = failed(judge_hook_down(Subject(UNIT, HOOK, stop_verify=True), (exited(1),))).told
        assert "with stop_verify=yes every stop waits for that, and fails" in told

    def test_other_protocols(self) -> None:
        """A plugin's 2 is a failure, no ban."""
        subject = Subject(UNIT, HOOK, HookProtocol.NAGIOS)
        assert judge_hook_down(subject, (exited(2),)) == Passed("says 1; 7 would tell more")


class TestRestarts:
    def test_passes(self) -> None:
        """All of them, with the time of one."""
        assert judge_restarts(BARE, [done(START), done(STOP)] * 10) == Passed("10 of 10, 1.00 s each")

    @pytest.mark.parametrize(
        ("dones", "name"),
        [
            pytest.param([done(START), done(STOP), done(START, 1)], "start 2 of 10 in a row answered 1", id="start"),
            pytest.param([done(START), done(STOP, 1)], "stop 1 of 10 in a row answered 1", id="stop"),
        ],
    )
    def test_fails(self, dones: list[Done], name: str) -> None:
        """The first that fails is told by its number."""
        assert failed(judge_restarts(BARE, dones)).told.startswith(name)


class TestPair:
    def test_passes(self) -> None:
        """Both say 0, and the monitor agrees."""
        assert judge_pair(BARE, (done(STOP), done(STOP)), done(MONITOR, 7), ExitCode.NOT_RUNNING) == Passed(
            "0 0, then monitor 7"
        )

    def test_one_fails(self) -> None:
        """One that fails is enough."""
        outcome = judge_pair(BARE, (done(START), done(START, 1)), done(MONITOR), ExitCode.SUCCESS)
        assert failed(outcome).told.startswith("one of two starts at once answered 1")

    def test_the_monitor_differs(self) -> None:
        """Two answers of 0 are not worth more than the monitor's."""
        outcome = judge_pair(BARE, (done(START), done(START)), done(MONITOR, 7), ExitCode.SUCCESS)
        assert failed(outcome).told.startswith("the monitor after two starts at once answered 7")


class TestStopWhileStarting:
    @pytest.mark.parametrize("code", [0, 1])
    def test_passes(self, code: int) -> None:
        """The stop wins, whatever the start says."""
        seen = StopWhileStarting(done(START, code), done(STOP), done(MONITOR, 7))
        assert judge_stop_while_starting(BARE, seen) == Passed(f"stop 0, monitor 7; the start said {code}")

    @pytest.mark.parametrize(
        ("seen", "told"),
        [
            pytest.param(
                StopWhileStarting(done(START), done(STOP, 1), done(MONITOR, 7)),
                "a stop while it starts answered 1",
                id="stop-fails",
            ),
            pytest.param(
                StopWhileStarting(done(START), done(STOP), done(MONITOR, 0)),
                "the monitor after a stop while it starts answered 0",
                id="start-wins",
            ),
        ],
    )
    def test_fails(self, seen: StopWhileStarting, told: str) -> None:
        """A stop that does not win fences, or leaves two running."""
        assert failed(judge_stop_while_starting(BARE, seen)).told.startswith(told)


class TestKilled:
    def test_passes(self) -> None:
        """Monitor tells it, start mends it."""
        seen = Killed("main process 7", done(MONITOR, 7), 0.25, done(START))
        assert judge_killed(BARE, seen) == Passed("7 after 0.25 s, then start 0")

    @pytest.mark.parametrize(
        ("subject", "remedy"),
        [
            pytest.param(BARE, "only a hook can", id="no-hook"),
            pytest.param(HOOKED, "have the hook ask the service", id="hook"),
        ],
    )
    def test_unnoticed(self, subject: Subject, remedy: str) -> None:
        """A crash that no monitor tells is never mended."""
        failure = failed(judge_killed(subject, Killed("every process", done(MONITOR), 5.0, None)))
        assert failure.told == (
            f"every process of {UNIT} was killed, and 5.00 s later monitor still answers 0, expected 7 or 1"
        )
        assert remedy in failure.remedy

    def test_restarted_by_systemd(self) -> None:
        """A crash that systemd mends by itself is none that a cluster sees."""
        failure = failed(judge_killed(HOOKED, Killed("main process 7", done(MONITOR), 5.0, None, "always")))
        assert "and systemd started it again (Restart=always): monitor answers 0, expected 7 or 1" in failure.told
        assert "leave order_at_shutdown at yes" in failure.remedy

    def test_not_mended(self) -> None:
        """Nor is one that start does not mend."""
        outcome = judge_killed(BARE, Killed("main process 7", done(MONITOR, 7), 0.1, done(START, 1)))
        assert failed(outcome).told.startswith("the start after main process 7 was killed answered 1")


class TestFrozen:
    def test_passes(self) -> None:
        """The hook notices, in a time that is told."""
        assert judge_frozen(HOOKED, Frozen(3, done(MONITOR, 1), done(MONITOR))) == Passed("1 after 0.50 s")

    def test_a_hook_without_a_limit(self) -> None:
        """A hook that had to be cut off notices too."""
        seen = Frozen(3, replace(done(MONITOR, 1), hook_cut=True), done(MONITOR))
        assert judge_frozen(HOOKED, seen) == Passed("1 after 0.50 s, cut off: the hook has no time limit")

    def test_a_watchdog(self) -> None:
        """What systemd's watchdog has ended has nothing to recover from."""
        assert isinstance(judge_frozen(BARE, Frozen(3, done(MONITOR, 7), None)), Passed)

    def test_no_hook(self) -> None:
        """Without a hook nobody notices, and the words say why one is needed."""
        failure = failed(judge_frozen(BARE, Frozen(3, done(MONITOR), done(MONITOR))))
        assert failure.told == (
            f"all processes of {UNIT} (3) were frozen by SIGSTOP, and monitor answered 0 (OCF_SUCCESS) all the same: "
            "systemd sees that processes exist, not that they work, expected a failure"
        )
        assert failure.remedy.startswith("without a hook a hang is never noticed: give it one with --monitor-hook")

    @pytest.mark.parametrize("code", [0, 190])
    def test_a_hook_that_does_not_notice(self, code: int) -> None:
        """A hook that says running is told what to ask for; degraded is running."""
        failure = failed(judge_frozen(HOOKED, Frozen(1, done(MONITOR, code), done(MONITOR))))
        assert "hook smtp does not notice a hang" in failure.told
        assert "have the hook wait for an answer of the service itself" in failure.remedy

    def test_no_recovery(self) -> None:
        """A hang that is over is to be over."""
        outcome = judge_frozen(HOOKED, Frozen(1, done(MONITOR, 1), done(MONITOR, 1, "hook says no")))
        assert failed(outcome).told.endswith("after a hang that has passed, expected 0: hook says no")


def test_strays() -> None:
    """What a hook leaves running is told by its command line."""
    assert "left a process behind, expected none: sleep 60" in judge_strays(HOOKED, ["sleep 60"]).told


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
            pytest.param("infinity", None, id="infinity"),
            pytest.param("", None, id="no-such-property"),
        ],
    )
    def test_timespan(self, text: str, seconds: float | None) -> None:
        """A time span as systemctl words it."""
        assert limit_s(text) == seconds

    def test_unit(self) -> None:
        """A unit's settings, as systemctl show words them."""
        properties = {"ActiveState": "active", "MainPID": "7", "CanReload": "yes", "TimeoutStopUSec": "5s"}
        facts = unit_facts(properties | {"ControlGroup": "/system.slice/x.service", "KillMode": "mixed"})
        assert facts == UnitFacts(
            active_state="active",
            main_pid=7,
            control_group="/system.slice/x.service",
            kill_mode="mixed",
            can_reload=True,
            stop_timeout_s=5.0,
        )
        assert facts.is_running

    @pytest.mark.parametrize("state", ["", "inactive", "failed", "deactivating"])
    def test_not_running(self, state: str) -> None:
        """What is down, or on its way there, or unknown, does not run."""
        assert not UnitFacts(active_state=state).is_running

    def test_ready(self) -> None:
        """The wait for the hook is what a start takes after systemd's active; without a hook there is none."""
        assert replace(done(START), active_after_s=0.1, hook_s=0.1).ready_s == pytest.approx(0.4)
        assert replace(done(START), active_after_s=0.1).ready_s is None
