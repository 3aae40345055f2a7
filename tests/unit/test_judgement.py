"""What observations mean, row by row of the rules, and the promise over all of them."""

from __future__ import annotations

import sys
from itertools import product
from signal import SIGABRT, SIGKILL, SIGSEGV
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.judgement import (
    JOURNAL_LINE_LIMIT,
    HookProtocol,
    Judgement,
    KeepWaiting,
    judge_hook,
    judge_hooks,
    judge_host,
    judge_monitor,
    judge_reload,
    judge_reload_request,
    judge_silence,
    judge_start,
    judge_start_request,
    judge_stop,
)
from ocf_systemd.observations import (
    ActiveState,
    CommandOutcome,
    Exited,
    HookMissing,
    HookOutcome,
    HookRan,
    HookUnsafe,
    JobOutcome,
    JobResult,
    LoadState,
    NoAnswer,
    Observation,
    Signalled,
    UnitState,
)
from ocf_systemd.ocf import Verdict
from tests.unit.builders import HOOK, UNIT, died, exited, is_one_line, not_started, timed_out, unit_in

if TYPE_CHECKING:
    from collections.abc import Iterator

OCF = HookProtocol.OCF
MISSING = HookMissing(HOOK, "No such file or directory")
UNSAFE = HookUnsafe(HOOK, "/usr/local/lib is writable by everyone")
SILENCE = NoAnswer("no answer within 5.0 s")
DONE = JobOutcome(JobResult.DONE)
JOBS = tuple(JobOutcome(result, said="Access denied") for result in JobResult)

# What a verdict now, and what waiting for one, is written as below.
Answer = tuple[str, int]


def now(code: int) -> Answer:
    return "now", code


def wait(code: int) -> Answer:
    return "wait, then", code


def answer(judgement: Judgement) -> Answer:
    match judgement:
        case Verdict(code):
            return now(code)
        case KeepWaiting(Verdict(code)):
            return wait(code)


# Each class of what a hook can do: what it is, its code by the table of `monitor`, and by that of `start`.
HOOKS: dict[str, tuple[tuple[HookOutcome, ...], int, Answer]] = {
    "no hook": ((), 0, now(0)),
    "exit 0": ((exited(0),), 0, now(0)),
    "exit 7": ((exited(7),), 7, wait(1)),
    "exit 190": ((exited(190),), 190, now(0)),
    "exit 1": ((exited(1),), 1, wait(1)),
    "exit 2": ((exited(2),), 2, wait(1)),
    "exit 3": ((exited(3),), 3, wait(1)),
    "exit 4": ((exited(4),), 4, wait(1)),
    "exit 5": ((exited(5),), 5, wait(1)),
    "exit 6": ((exited(6),), 6, wait(1)),
    "exit 8": ((exited(8),), 8, wait(1)),
    "exit 9": ((exited(9),), 9, wait(1)),
    "exit 42": ((exited(42),), 42, wait(1)),
    "exit 191": ((exited(191),), 191, wait(1)),
    "exit 255": ((exited(255),), 255, wait(1)),
    "signal": ((died(SIGSEGV),), 1, wait(1)),
    "timeout": ((timed_out(),), 1, wait(1)),
    "not started": ((not_started(),), 1, wait(1)),
    "missing": ((MISSING,), 5, now(5)),
    "unsafe": ((UNSAFE,), 4, now(4)),
}
HOOK_ROWS = [pytest.param(*row, id=name) for name, row in HOOKS.items()]

RUNNING = (ActiveState.ACTIVE, ActiveState.RELOADING, ActiveState.REFRESHING)
DOWN = (ActiveState.INACTIVE, ActiveState.FAILED)
BETWEEN = (ActiveState.ACTIVATING, ActiveState.DEACTIVATING, ActiveState.MAINTENANCE, ActiveState.UNRECOGNISED)

ACTIVE_ROWS = [pytest.param(state, id=state) for state in ActiveState]
RUNNING_ROWS = [pytest.param(state, id=state) for state in RUNNING]
DOWN_ROWS = [pytest.param(state, id=state) for state in DOWN]
BETWEEN_ROWS = [pytest.param(state, id=state) for state in BETWEEN]
LOAD_ROWS = [pytest.param(state, id=state) for state in LoadState]
PROBE_ROWS = [pytest.param(True, id="probe"), pytest.param(False, id="recurring")]


def test_the_rows_leave_no_state_out() -> None:
    """Every ActiveState stands in exactly one of the three groups of rows."""
    assert sorted(RUNNING + DOWN + BETWEEN) == sorted(ActiveState)


class TestMonitor:
    @pytest.mark.parametrize("active", RUNNING_ROWS)
    @pytest.mark.parametrize(("hooks", "code", "_start"), HOOK_ROWS)
    def test_of_a_running_unit_the_hook_decides(
        self, active: ActiveState, hooks: tuple[HookOutcome, ...], code: int, _start: Answer
    ) -> None:
        """Active, reloading and refreshing count alike; the hook's code is passed on, whatever the LoadState."""
        for load, probe in product(LoadState, (True, False)):
            seen = Observation(unit_in(active, load), hooks)
            expected = 1 if probe and code == 5 else code  # a probe's 5 would be recorded as stopped
            assert answer(judge_monitor(seen, probe=probe, protocol=OCF)) == now(expected)

    @pytest.mark.parametrize("load", LOAD_ROWS)
    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_of_a_stopped_unit_no_hook_makes_it_better(self, active: ActiveState, load: LoadState) -> None:
        """An inactive or failed unit is 7 whatever the hook says; one not found is 7 to a probe alone, else 5."""
        for hooks, _, _ in HOOKS.values():
            seen = Observation(unit_in(active, load), hooks)
            assert answer(judge_monitor(seen, probe=True, protocol=OCF)) == now(7)
            recurring = now(5) if load is LoadState.NOT_FOUND else now(7)
            assert answer(judge_monitor(seen, probe=False, protocol=OCF)) == recurring

    @pytest.mark.parametrize("load", LOAD_ROWS)
    @pytest.mark.parametrize("active", BETWEEN_ROWS)
    @pytest.mark.parametrize("probe", PROBE_ROWS)
    def test_a_unit_between_two_states_is_waited_for(
        self, active: ActiveState, load: LoadState, *, probe: bool
    ) -> None:
        """Activating, deactivating and what a later systemd may say: wait, and 1 at the deadline."""
        for hooks, _, _ in HOOKS.values():
            seen = Observation(unit_in(active, load), hooks)
            assert answer(judge_monitor(seen, probe=probe, protocol=OCF)) == wait(1)

    @pytest.mark.parametrize("probe", PROBE_ROWS)
    def test_a_silent_systemd_is_asked_again_and_never_taken_for_stopped(self, *, probe: bool) -> None:
        """No answer: ask again until the deadline, then 1; in doubt is not stopped."""
        for hooks, _, _ in HOOKS.values():
            assert answer(judge_monitor(Observation(SILENCE, hooks), probe=probe, protocol=OCF)) == wait(1)
        assert judge_silence(SILENCE) == Verdict(1, "systemd does not answer: no answer within 5.0 s")

    def test_a_failed_unit_tells_why_it_failed(self) -> None:
        """The reason of a failed unit names its Result and how its main process ended."""
        unit = UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, "failed", "exit-code", "status=1")
        verdict = judge_monitor(Observation(unit), probe=False, protocol=OCF)
        assert verdict == Verdict(7, f"{UNIT} is failed (Result=exit-code, status=1), expected active")

    @pytest.mark.parametrize(
        ("unit", "told"),
        [
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, "failed", "signal", "signal=SEGV"),
                "failed (Result=signal, signal=SEGV)",
                id="failed by a signal",
            ),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, "failed", "timeout"),
                "failed (Result=timeout)",
                id="failed without a main process",
            ),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="status=3"),
                "failed (status=3)",
                id="failed without a Result",
            ),
            pytest.param(UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED), "failed", id="failed, no more known"),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE, "dead", "success"), "inactive", id="inactive"
            ),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE, "dead", "exec-condition", "status=1"),
                "inactive (Result=exec-condition, status=1)",
                id="inactive for a reason",
            ),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.ACTIVATING, "auto-restart", "success"),
                "activating (auto-restart)",
                id="SubState that adds something",
            ),
        ],
    )
    def test_a_reason_explains_the_state(self, unit: UnitState, told: str) -> None:
        """The state comes with what explains it, and with nothing that does not."""
        reason = reason_of(judge_monitor(Observation(unit), probe=False, protocol=OCF))
        assert reason == f"{UNIT} is {told}, expected active"

    def test_a_probe_of_a_stopped_unit_has_nothing_to_explain(self) -> None:
        """A probe's 7 is no failure and has no reason; a recurring monitor's has one."""
        seen = Observation(unit_in(ActiveState.INACTIVE))
        assert judge_monitor(seen, probe=True, protocol=OCF) == Verdict(7)
        assert judge_monitor(seen, probe=False, protocol=OCF) == Verdict(7, f"{UNIT} is inactive, expected active")


class TestStart:
    @pytest.mark.parametrize("active", RUNNING_ROWS)
    @pytest.mark.parametrize(("hooks", "_code", "expected"), HOOK_ROWS)
    def test_of_a_running_unit_the_hook_decides(
        self, active: ActiveState, hooks: tuple[HookOutcome, ...], _code: int, expected: Answer
    ) -> None:
        """0 and 190 end a start well; a hook that cannot be run ends it at once; all else is waited for, then 1."""
        for job, load in product(JOBS, LoadState):
            assert answer(judge_start(Observation(unit_in(active, load), hooks), job, OCF)) == expected

    @pytest.mark.parametrize("job", [pytest.param(job, id=job.result) for job in JOBS])
    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_a_stopped_unit_without_a_job_ends_the_start(self, active: ActiveState, job: JobOutcome) -> None:
        """Nothing will change any more: 1 at once, 4 when not permitted; a lost request is worth another."""
        for load, (hooks, _, _) in product(LoadState, HOOKS.values()):
            seen = Observation(unit_in(active, load), hooks)
            if job.result is JobResult.LOST:
                expected = wait(1)
            elif job.result is JobResult.REFUSED:
                expected = now(4)
            else:
                expected = now(1)
            assert answer(judge_start(seen, job, OCF)) == expected

    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_a_stopped_unit_whose_job_is_queued_is_waited_for(self, active: ActiveState) -> None:
        """While a job is queued for the unit, it may still start."""
        for job in JOBS:
            assert answer(judge_start(Observation(unit_in(active, has_job=True)), job, OCF)) == wait(1)

    @pytest.mark.parametrize("active", BETWEEN_ROWS)
    def test_a_unit_between_two_states_is_waited_for(self, active: ActiveState) -> None:
        """Activating for long is no failure until the deadline."""
        for job, load, (hooks, _, _) in product(JOBS, LoadState, HOOKS.values()):
            assert answer(judge_start(Observation(unit_in(active, load), hooks), job, OCF)) == wait(1)

    def test_a_silent_systemd_is_asked_again(self) -> None:
        """No answer: 1 at the deadline."""
        for job in JOBS:
            assert answer(judge_start(Observation(SILENCE), job, OCF)) == wait(1)

    @pytest.mark.parametrize(
        ("job", "condition_met", "told"),
        [
            pytest.param(DONE, True, "start job done", id="done and yet inactive"),
            pytest.param(DONE, False, "start job done, condition not met", id="condition not met"),
            pytest.param(JobOutcome(JobResult.DEPENDENCY), True, "start job: dependency failed", id="dependency"),
            pytest.param(JobOutcome(JobResult.FAILED), True, "start job: failed", id="failed"),
            pytest.param(JobOutcome(JobResult.CANCELED), True, "start job: canceled", id="canceled"),
            pytest.param(JobOutcome(JobResult.TIMEOUT), True, "start job: timeout", id="timeout"),
            pytest.param(
                JobOutcome(JobResult.REFUSED, "Access denied"), True, "start refused: Access denied", id="refused"
            ),
        ],
    )
    def test_a_failed_start_names_the_jobs_result(self, job: JobOutcome, told: str, *, condition_met: bool) -> None:
        """The reason tells what became of the job, a condition that was not met included."""
        unit = UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE, "dead", condition_met=condition_met)
        assert reason_of(judge_start(Observation(unit), job, OCF)) == f"{UNIT} is inactive ({told}), expected active"

    def test_a_failed_start_names_result_and_main_exit(self) -> None:
        """Job, Result and main exit status stand in one reason."""
        unit = UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, "failed", "exit-code", "status=203")
        reason = reason_of(judge_start(Observation(unit), JobOutcome(JobResult.FAILED), OCF))
        assert reason == f"{UNIT} is failed (start job: failed, Result=exit-code, status=203), expected active"

    @pytest.mark.parametrize(
        ("job", "said"),
        [
            pytest.param(JobOutcome(JobResult.LOST), "no job was queued", id="nothing said"),
            pytest.param(JobOutcome(JobResult.LOST, "Connection reset by peer"), "Connection reset by peer", id="said"),
        ],
    )
    def test_a_lost_request_tells_what_systemctl_said(self, job: JobOutcome, said: str) -> None:
        """At the deadline the reason of a start that never got through is what came instead."""
        reason = reason_of(judge_start(Observation(unit_in(ActiveState.INACTIVE)), job, OCF))
        assert reason == f"{UNIT} is inactive, expected active; systemctl start: {said}"


class TestStartRequest:
    @pytest.mark.parametrize(
        ("load", "running", "otherwise"),
        [
            pytest.param(LoadState.STUB, 0, 0, id="stub"),
            pytest.param(LoadState.LOADED, 0, 0, id="loaded"),
            pytest.param(LoadState.NOT_FOUND, 0, 5, id="not-found"),
            pytest.param(LoadState.BAD_SETTING, 0, 5, id="bad-setting"),
            pytest.param(LoadState.ERROR, 0, 5, id="error"),
            pytest.param(LoadState.MERGED, 0, 0, id="merged"),
            pytest.param(LoadState.MASKED, 5, 5, id="masked"),
            pytest.param(LoadState.UNRECOGNISED, 0, 0, id="unrecognised"),
        ],
    )
    def test_what_cannot_be_started_is_not_installed(self, load: LoadState, running: int, otherwise: int) -> None:
        """Not found, masked and not loadable are 5; a unit that runs without its file is let be."""
        for active in ActiveState:
            verdict = judge_start_request(unit_in(active, load))
            assert verdict.code == (running if active in RUNNING else otherwise)
            assert (verdict.reason is None) == (verdict.code == 0)

    def test_the_rows_leave_no_load_state_out(self) -> None:
        """A LoadState that is new to the table is to be given a row."""
        assert len(LoadState) == 8

    @pytest.mark.parametrize(
        ("load", "reason"),
        [
            pytest.param(LoadState.NOT_FOUND, f"{UNIT} is not found, expected an installed unit", id="not-found"),
            pytest.param(LoadState.MASKED, f"{UNIT} is masked, expected a unit that can be started", id="masked"),
            pytest.param(
                LoadState.ERROR, f"{UNIT} does not load (LoadState=error), expected a valid unit file", id="error"
            ),
        ],
    )
    def test_the_reason_tells_which(self, load: LoadState, reason: str) -> None:
        """Subject, observation, expectation."""
        assert judge_start_request(unit_in(ActiveState.INACTIVE, load)).reason == reason


class TestHost:
    @pytest.mark.parametrize(
        ("problems", "code"),
        [
            pytest.param((), 0, id="all there"),
            pytest.param((MISSING,), 5, id="hook missing"),
            pytest.param((UNSAFE,), 4, id="hook not safe"),
            pytest.param((UNSAFE, MISSING), 4, id="first by name: not safe"),
            pytest.param((MISSING, UNSAFE), 5, id="first by name: missing"),
        ],
    )
    def test_a_host_has_unit_and_hooks_or_not(self, problems: tuple[HookMissing | HookUnsafe, ...], code: int) -> None:
        """5 for what is not there, 4 for what is not safe; the first by name is told."""
        assert judge_host(unit_in(ActiveState.INACTIVE), problems).code == code

    def test_the_unit_comes_before_its_hooks(self) -> None:
        """Without the unit, its hooks do not matter."""
        verdict = judge_host(unit_in(ActiveState.INACTIVE, LoadState.NOT_FOUND), (UNSAFE,))
        assert verdict == Verdict(5, f"{UNIT} is not found, expected an installed unit")


class TestStop:
    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_a_stopped_unit_is_success(self, active: ActiveState) -> None:
        """Whatever the job's result, the LoadState and the hook: observed stopped is stopped, a missing unit too."""
        for job, load, (hooks, _, _) in product(JOBS, LoadState, HOOKS.values()):
            seen = Observation(unit_in(active, load), hooks)
            assert answer(judge_stop(seen, job, verify=False, protocol=OCF)) == now(0)

    @pytest.mark.parametrize("verify", [pytest.param(True, id="verify"), pytest.param(False, id="no verify")])
    @pytest.mark.parametrize("active", [pytest.param(state, id=state) for state in RUNNING + BETWEEN])
    def test_anything_else_is_waited_for(self, active: ActiveState, *, verify: bool) -> None:
        """Not observed stopped: at the deadline 1, or 4 when the stop was not permitted; never 0."""
        for job, load, (hooks, _, _) in product(JOBS, LoadState, HOOKS.values()):
            seen = Observation(unit_in(active, load), hooks)
            expected = wait(4) if job.result is JobResult.REFUSED else wait(1)
            assert answer(judge_stop(seen, job, verify=verify, protocol=OCF)) == expected

    def test_a_silent_systemd_is_asked_again(self) -> None:
        """Never 0 unless observed stopped."""
        for job, verify in product(JOBS, (True, False)):
            assert answer(judge_stop(Observation(SILENCE), job, verify=verify, protocol=OCF)) == wait(1)

    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in HOOKS])
    def test_verify_waits_for_the_hook_to_say_not_running(self, name: str) -> None:
        """The hook has to say 7; one that cannot be run does not fail a stop, for that would fence the node."""
        hooks, _, _ = HOOKS[name]
        content = {"no hook", "exit 7", "missing", "unsafe"}
        for active in DOWN:
            judged = judge_stop(Observation(unit_in(active), hooks), DONE, verify=True, protocol=OCF)
            assert answer(judged) == (now(0) if name in content else wait(1))

    @pytest.mark.parametrize(
        ("hooks", "expected"),
        [
            pytest.param((exited(7, hook="/h/a"), exited(7, hook="/h/b")), now(0), id="both say 7"),
            pytest.param((exited(7, hook="/h/a"), exited(0, hook="/h/b")), wait(1), id="one says running"),
            pytest.param((exited(7, hook="/h/a"), HookMissing("/h/b", "gone")), now(0), id="one is gone"),
            pytest.param((exited(0, hook="/h/a"), HookMissing("/h/b", "gone")), wait(1), id="running, one gone"),
            pytest.param((HookUnsafe("/h/a", "x"), HookMissing("/h/b", "gone")), now(0), id="none can be run"),
        ],
    )
    def test_verify_asks_all_hooks_that_can_be_run(self, hooks: tuple[HookOutcome, ...], expected: Answer) -> None:
        """All that can be run have to say 7."""
        seen = Observation(unit_in(ActiveState.INACTIVE), hooks)
        assert answer(judge_stop(seen, DONE, verify=True, protocol=OCF)) == expected

    def test_the_reason_of_an_unfinished_stop(self) -> None:
        """It names the state and what systemctl said; with verify, what the hook said."""
        job = JobOutcome(JobResult.TIMEOUT, f"Job for {UNIT} timed out.")
        stopping = UnitState(UNIT, LoadState.LOADED, ActiveState.DEACTIVATING, "stop-sigterm")
        told = reason_of(judge_stop(Observation(stopping), job, verify=False, protocol=OCF))
        assert told == f"{UNIT} is deactivating (stop-sigterm), expected inactive: Job for {UNIT} timed out."
        down = Observation(unit_in(ActiveState.INACTIVE), (exited(0),))
        told = reason_of(judge_stop(down, DONE, verify=True, protocol=OCF))
        assert told == f"hook {HOOK} says running, expected not running after stop"
        down = Observation(unit_in(ActiveState.INACTIVE), (exited(3),))
        told = reason_of(judge_stop(down, DONE, verify=True, protocol=OCF))
        assert told == f"hook {HOOK} exited with 3, expected 0, expected not running after stop"


class TestReload:
    @pytest.mark.parametrize(
        ("can_reload", "code"), [pytest.param(True, 0, id="it can"), pytest.param(False, 3, id="it cannot")]
    )
    def test_a_unit_that_cannot_reload_does_not_implement_it(self, code: int, *, can_reload: bool) -> None:
        """No ExecReload=: 3."""
        verdict = judge_reload_request(unit_in(ActiveState.ACTIVE, can_reload=can_reload))
        assert verdict.code == code
        assert verdict.reason == (None if can_reload else f"{UNIT} cannot reload: it has no ExecReload=")

    @pytest.mark.parametrize("job", [pytest.param(job, id=job.result) for job in JOBS])
    @pytest.mark.parametrize("code", [pytest.param(code, id=f"monitor {code}") for code in (0, 190, 1, 4, 5, 7, 42)])
    def test_the_monitor_decides_and_then_the_job(self, job: JobOutcome, code: int) -> None:
        """What the monitor said; where it is content, a reload that did not get done is 1."""
        monitored = Verdict(code, "as the monitor saw it")
        verdict = judge_reload(job, monitored, UNIT)
        if code in {0, 190} and job.result is not JobResult.DONE:
            assert verdict == Verdict(1, f"{UNIT} was not reloaded (reload job: {job.result}): Access denied")
        else:
            assert verdict == monitored


class TestHooks:
    @pytest.mark.parametrize(
        ("protocol", "codes"),
        [
            pytest.param(HookProtocol.OCF, {code: code for code in range(256)}, id="ocf"),
            pytest.param(HookProtocol.NAGIOS, {0: 0, 1: 190, **dict.fromkeys(range(2, 256), 1)}, id="nagios"),
            pytest.param(HookProtocol.PLAIN, {0: 0, **dict.fromkeys(range(1, 256), 1)}, id="plain"),
        ],
    )
    def test_every_exit_code_in_every_protocol(self, protocol: HookProtocol, codes: dict[int, int]) -> None:
        """Ocf passes all codes on, nagios knows degraded, plain knows good and bad."""
        assert {code: judge_hook(exited(code), protocol).code for code in range(256)} == codes

    @pytest.mark.parametrize("protocol", [pytest.param(protocol, id=protocol) for protocol in HookProtocol])
    @pytest.mark.parametrize(
        ("hook", "verdict"),
        [
            pytest.param(died(SIGSEGV), Verdict(1, f"hook {HOOK} died by SIGSEGV, expected exit code 0"), id="SEGV"),
            pytest.param(
                HookRan(HOOK, Signalled(0.1, signal=63)),
                Verdict(1, f"hook {HOOK} died by SIG63, expected exit code 0"),
                id="a signal without a name",
            ),
            pytest.param(
                HookRan(HOOK, Signalled(0.1, stderr=b"oops\n", signal=SIGABRT)),
                Verdict(1, f"hook {HOOK} died by SIGABRT, expected exit code 0: oops"),
                id="last words before a signal",
            ),
            pytest.param(
                timed_out(9.04), Verdict(1, f"hook {HOOK} timed out after 9.0 s, expected exit code 0"), id="timeout"
            ),
            pytest.param(
                not_started(),
                Verdict(1, f"hook {HOOK} could not be started: Resource temporarily unavailable"),
                id="not started",
            ),
            pytest.param(MISSING, Verdict(5, f"hook {HOOK} cannot be run: No such file or directory"), id="missing"),
            pytest.param(
                UNSAFE,
                Verdict(4, f"hook {HOOK} is not safe to run: /usr/local/lib is writable by everyone"),
                id="not safe",
            ),
        ],
    )
    def test_what_is_no_exit_code_is_no_protocols_matter(
        self, hook: HookOutcome, verdict: Verdict, protocol: HookProtocol
    ) -> None:
        """Signals, timeouts and hooks that cannot be run mean the same in every protocol; the reason tells which."""
        assert judge_hook(hook, protocol) == verdict

    @pytest.mark.parametrize(
        ("hook", "reason"),
        [
            pytest.param(exited(3), f"hook {HOOK} exited with 3, expected 0", id="silent"),
            pytest.param(exited(7), f"hook {HOOK} exited with 7 (not running), expected 0", id="not running"),
            pytest.param(exited(190), f"hook {HOOK} exited with 190 (degraded), expected 0", id="degraded"),
            pytest.param(
                exited(2, b"connecting\nconnection refused\n\n"),
                f"hook {HOOK} exited with 2, expected 0: connection refused",
                id="its last line",
            ),
            pytest.param(exited(0, b"all is well\n"), None, id="content"),
        ],
    )
    def test_the_reason_of_an_exit_code(self, hook: HookOutcome, reason: str | None) -> None:
        """It names the hook, its code, what was expected, and the hook's own last line."""
        assert judge_hook(hook, OCF).reason == reason

    def test_a_hooks_words_are_cut(self) -> None:
        """A last line without end does not make a reason without end."""
        reason = judge_hook(exited(1, b"x" * 5000), OCF).reason
        assert reason == f"hook {HOOK} exited with 1, expected 0: {'x' * JOURNAL_LINE_LIMIT}"

    @pytest.mark.parametrize(
        ("codes", "code", "reason"),
        [
            pytest.param((), 0, None, id="none"),
            pytest.param((0, 0), 0, None, id="all running"),
            pytest.param((7, 7), 7, "hook /h/a exited with 7 (not running), expected 0", id="all down"),
            pytest.param((0, 190), 190, "hook /h/b exited with 190 (degraded), expected 0", id="one degraded"),
            pytest.param((190, 190), 190, "hook /h/a exited with 190 (degraded), expected 0", id="all degraded"),
            pytest.param(
                (0, 7, 190),
                1,
                "hooks disagree: b says not running, a, c says running",
                id="they disagree",
            ),
            pytest.param((7, 190), 1, "hooks disagree: a says not running, b says running", id="7 and 190"),
            pytest.param((0, 5, 2), 5, "hook /h/b exited with 5, expected 0", id="a failure, the first by name"),
            pytest.param((7, 0, 1), 1, "hook /h/c exited with 1, expected 0", id="a failure beats a disagreement"),
            pytest.param((190, 42), 42, "hook /h/b exited with 42, expected 0", id="a failure beats degraded"),
            pytest.param((7, 3), 3, "hook /h/b exited with 3, expected 0", id="a failure beats 7"),
        ],
    )
    def test_several_hooks_together(self, codes: tuple[int, ...], code: int, reason: str | None) -> None:
        """Any failure wins; some 7 is a disagreement; all 7, 7; any 190, 190; else 0. Those who spoke are named."""
        hooks = tuple(exited(code, hook=f"/h/{'abc'[number]}") for number, code in enumerate(codes))
        assert judge_hooks(hooks, OCF) == Verdict(code, reason)


def reason_of(judgement: Judgement) -> str:
    verdict = judgement if isinstance(judgement, Verdict) else judgement.at_deadline
    assert verdict.reason is not None
    return verdict.reason


UNITS: tuple[UnitState | NoAnswer, ...] = (
    SILENCE,
    *(
        UnitState(UNIT, load, active, has_job=has_job)
        for load, active, has_job in product(LoadState, ActiveState, (False, True))
    ),
)
HOOK_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30).map(lambda name: f"/h/{name}")
COMMANDS = st.one_of(
    st.builds(Exited, st.just(0.1), stderr=st.binary(max_size=60), code=st.integers(0, 255)),
    st.builds(Signalled, st.just(0.1), stdout=st.binary(max_size=60), signal=st.sampled_from([SIGSEGV, SIGKILL])),
    st.sampled_from([timed_out().outcome, not_started().outcome]),
)
ANY_HOOK: st.SearchStrategy[HookOutcome] = st.one_of(
    st.builds(HookRan, HOOK_NAMES, COMMANDS),
    st.builds(HookMissing, HOOK_NAMES, st.just("it is not executable")),
    st.builds(HookUnsafe, HOOK_NAMES, st.just("/h is owned by uid 1000")),
)
ANY_HOOKS = st.lists(ANY_HOOK, max_size=5).map(tuple)


def judgements(seen: Observation) -> Iterator[tuple[str, Judgement]]:
    """Yield what every action says of one look."""
    for protocol in HookProtocol:
        yield "probe", judge_monitor(seen, probe=True, protocol=protocol)
        yield "monitor", judge_monitor(seen, probe=False, protocol=protocol)
        for job in JOBS:
            yield "start", judge_start(seen, job, protocol)
            for verify in (True, False):
                yield "stop", judge_stop(seen, job, verify=verify, protocol=protocol)


def check_promise(seen: Observation) -> None:
    is_down = isinstance(seen.unit, UnitState) and seen.unit.is_down
    says_7 = any(isinstance(hook, HookRan) and isinstance(hook.outcome, Exited) for hook in seen.hooks) and any(
        judge_hook(hook, OCF).code == 7 for hook in seen.hooks
    )
    for action, judgement in judgements(seen):
        assert isinstance(judgement, Verdict | KeepWaiting)
        verdict = judgement if isinstance(judgement, Verdict) else judgement.at_deadline
        assert verdict.code != 7 or (action in {"probe", "monitor"} and (is_down or says_7))
        assert verdict.code != 7 or isinstance(seen.unit, UnitState)
        assert verdict.code != 0 or action != "stop" or is_down
        assert 0 <= verdict.code <= 255
        if verdict.code == 0 or (action == "probe" and verdict.code == 7 and is_down):
            assert verdict.reason is None
        else:
            assert verdict.reason
            assert is_one_line(verdict.reason)
            assert len(verdict.reason) < 1024


@pytest.fixture
def untraced() -> Iterator[None]:
    """Have nobody measure what is covered: of so many steps that takes longer than the test, and others cover it."""
    tracing = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracing)


class TestPromise:
    @pytest.mark.usefixtures("untraced")
    def test_over_the_whole_product(self) -> None:
        """Never 7 unless seen down or told so; never 0 from stop unless seen down; every failure has a reason."""
        for unit, (hooks, _, _) in product(UNITS, HOOKS.values()):
            check_promise(Observation(unit, hooks))

    @pytest.mark.usefixtures("untraced")
    @pytest.mark.parametrize(
        "outcome",
        [
            pytest.param(exited(0).outcome, id="exit 0"),
            pytest.param(exited(7).outcome, id="exit 7"),
            pytest.param(exited(3, b"a\x1b[31m\xff\n").outcome, id="exit 3"),
            pytest.param(died(SIGSEGV).outcome, id="signal"),
            pytest.param(timed_out().outcome, id="timeout"),
            pytest.param(not_started().outcome, id="not started"),
        ],
    )
    def test_with_hooks_of_odd_names(self, outcome: CommandOutcome) -> None:
        """However a hook is called, every reason that names it is one printable line."""
        name = "/h/a\nb\x1b[31m\u202e\udcff"
        rest: tuple[HookOutcome, ...] = (exited(0, hook="/h/z"), HookMissing(name, name), HookUnsafe(name, name))
        for unit, other in product(UNITS, rest):
            check_promise(Observation(unit, (HookRan(name, outcome),)))
            check_promise(Observation(unit, (HookRan(name, outcome), other)))

    @given(unit=st.sampled_from(UNITS), hooks=ANY_HOOKS)
    def test_with_any_number_of_hooks(self, unit: UnitState | NoAnswer, hooks: tuple[HookOutcome, ...]) -> None:
        """The promise holds for whatever a directory of hooks may say, whatever the hooks are called."""
        check_promise(Observation(unit, hooks))

    @given(hooks=ANY_HOOKS, protocol=st.sampled_from(HookProtocol))
    def test_hooks_together_are_never_better_than_the_worst(
        self, hooks: tuple[HookOutcome, ...], protocol: HookProtocol
    ) -> None:
        """0 means that all said 0; 7 that all said 7."""
        codes = {judge_hook(hook, protocol).code for hook in hooks}
        together = judge_hooks(hooks, protocol).code
        assert together != 0 or codes <= {0}
        assert together != 7 or codes == {7}

    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in HOOKS])
    def test_what_matters_stands_in_the_first_128_bytes(self, name: str) -> None:
        """Older Pacemakers keep no more: subject, observation and expectation come before anybody's words."""
        hooks, _, _ = HOOKS[name]
        for unit in UNITS:
            for _, judgement in judgements(Observation(unit, hooks)):
                verdict = judgement if isinstance(judgement, Verdict) else judgement.at_deadline
                if verdict.reason and not isinstance(unit, NoAnswer):
                    head = verdict.reason.encode()[:128].decode(errors="ignore")
                    assert any(word in head for word in ("expected", "could not be", "cannot be", "is not safe"))
