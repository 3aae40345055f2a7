"""What observations mean, row by row of the rules, and the guarantees over all of them."""

from __future__ import annotations

import sys
from itertools import product
from signal import SIGABRT, SIGKILL, SIGSEGV
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocf_systemd.core.hook_protocol import HookProtocol, exit_code_of
from ocf_systemd.core.judgement import (
    PASSING_CODES,
    QUOTED_MAX,
    Judgement,
    KeepWaiting,
    describe_process,
    judge_hook,
    judge_hooks,
    judge_host,
    judge_monitor,
    judge_no_answer,
    judge_reload,
    judge_reload_request,
    judge_start,
    judge_start_request,
    judge_stop,
    judge_unbooted,
    with_log_line,
)
from ocf_systemd.core.observations import (
    ActiveState,
    CommandOutcome,
    Exited,
    HookAttempted,
    HookMissing,
    HookOutcome,
    HookStuck,
    HookUnsafe,
    JobOutcome,
    JobResult,
    LoadState,
    NoAnswer,
    Observation,
    Process,
    Signalled,
    TimedOut,
    UnitDetails,
    UnitState,
)
from ocf_systemd.core.ocf import REASON_PREFIX, Action, ActionResult
from ocf_systemd.core.records import replace
from tests.unit.builders import HOOK, UNIT, died, exited, is_one_line, not_started, timed_out, unit_in

if TYPE_CHECKING:
    from collections.abc import Iterator

OCF = HookProtocol.OCF
MISSING = HookMissing(HOOK, "No such file or directory")
UNSAFE = HookUnsafe(HOOK, "/usr/local/lib is writable by everyone")
SILENCE = NoAnswer("no answer within 5.0 s")
SLEEP = Process(812, 1000, "sleep")
LS = Process(813, 1001, "ls", is_uninterruptible=True)
STUCK = HookStuck(HOOK, LS)
CANNOT_BE_KILLED = HookAttempted(HOOK, TimedOut(9.0, survivors=(LS,)))
DONE = JobOutcome(JobResult.DONE)
JOBS = tuple(JobOutcome(result, message="Access denied") for result in JobResult)

# What a result now, and what waiting for one, is written as below.
Judged = tuple[str, int]


def now(code: int) -> Judged:
    return "now", code


def wait(code: int) -> Judged:
    return "wait, then", code


def judged(judgement: Judgement) -> Judged:
    match judgement:
        case ActionResult(code):
            return now(code)
        case KeepWaiting(ActionResult(code)):
            return wait(code)


# Each class of what a hook can do: what it is, and its code by the table of `monitor`, of a probe, and of `start`.
HOOKS: dict[str, tuple[tuple[HookOutcome, ...], int, int, Judged]] = {
    "no hook": ((), 0, 0, now(0)),
    "exit 0": ((exited(0),), 0, 0, now(0)),
    "exit 7": ((exited(7),), 7, 1, wait(1)),
    "exit 190": ((exited(190),), 190, 190, now(0)),
    "exit 1": ((exited(1),), 1, 1, wait(1)),
    "exit 2": ((exited(2),), 2, 1, wait(1)),
    "exit 3": ((exited(3),), 3, 1, wait(1)),
    "exit 4": ((exited(4),), 4, 1, wait(1)),
    "exit 5": ((exited(5),), 5, 1, wait(1)),
    "exit 6": ((exited(6),), 6, 1, wait(1)),
    "exit 8": ((exited(8),), 1, 1, wait(1)),
    "exit 9": ((exited(9),), 1, 1, wait(1)),
    "exit 42": ((exited(42),), 42, 42, wait(1)),
    "exit 191": ((exited(191),), 1, 1, wait(1)),
    "exit 255": ((exited(255),), 255, 255, wait(1)),
    "signal": ((died(SIGSEGV),), 1, 1, wait(1)),
    "timeout": ((timed_out(),), 1, 1, wait(1)),
    "cannot be killed": ((CANNOT_BE_KILLED,), 1, 1, wait(1)),
    "last run cannot be killed": ((STUCK,), 1, 1, wait(1)),
    "not started": ((not_started(),), 1, 1, wait(1)),
    "missing": ((MISSING,), 5, 1, now(5)),
    "unsafe": ((UNSAFE,), 4, 1, now(4)),
}
HOOK_ROWS = [pytest.param(*row, id=name) for name, row in HOOKS.items()]
ONE_HOOK = [hooks for hooks, *_ in HOOKS.values()]

RUNNING = (ActiveState.ACTIVE, ActiveState.RELOADING, ActiveState.REFRESHING)
DOWN = (ActiveState.INACTIVE, ActiveState.FAILED)
BETWEEN = (ActiveState.ACTIVATING, ActiveState.DEACTIVATING, ActiveState.MAINTENANCE, ActiveState.UNRECOGNISED)

ACTIVE_ROWS = [pytest.param(state, id=state) for state in ActiveState]
RUNNING_ROWS = [pytest.param(state, id=state) for state in RUNNING]
DOWN_ROWS = [pytest.param(state, id=state) for state in DOWN]
BETWEEN_ROWS = [pytest.param(state, id=state) for state in BETWEEN]
LOAD_ROWS = [pytest.param(state, id=state) for state in LoadState]
PROBE_ROWS = [pytest.param(True, id="probe"), pytest.param(False, id="recurring")]


def with_processes(unit: UnitState, kill_mode: str, *others: Process, main: Process | None = None) -> UnitState:
    """Return a unit's state with processes of it that are alive."""
    details = UnitDetails(unit.unit, kill_mode=kill_mode)
    return replace(unit, details=details, main_process=main, processes=others)


# Processes that are alive in spite of an inactive or failed unit: what may still write is not stopped.
REMAINING = {
    "control-group": ("control-group", (SLEEP,), None),
    "mixed": ("mixed", (SLEEP,), None),
    "main process": ("control-group", (), SLEEP),
    "main process, mixed": ("mixed", (LS,), SLEEP),
    "main process, KillMode=process": ("process", (), SLEEP),
    "main process, KillMode=none": ("none", (LS,), SLEEP),
}
REMAINING_ROWS = [pytest.param(*row, id=name) for name, row in REMAINING.items()]
SPARED = {"process": ("process", (SLEEP, LS), None), "none": ("none", (SLEEP,), None)}
SPARED_ROWS = [pytest.param(*row, id=name) for name, row in SPARED.items()]


def test_the_rows_leave_no_state_out() -> None:
    """Every ActiveState stands in exactly one of the three groups of rows."""
    assert sorted(RUNNING + DOWN + BETWEEN) == sorted(ActiveState)


class TestMonitor:
    @pytest.mark.parametrize("active", RUNNING_ROWS)
    @pytest.mark.parametrize(("hooks", "code", "probed", "_start"), HOOK_ROWS)
    def test_of_a_running_unit_the_hook_decides(
        self, active: ActiveState, hooks: tuple[HookOutcome, ...], code: int, probed: int, _start: Judged
    ) -> None:
        """Active, reloading and refreshing count alike, whatever the LoadState; a probe's codes are never 2 to 7."""
        for load in LoadState:
            observed = Observation(unit_in(active, load), hooks)
            assert judged(judge_monitor(observed, probe=False, protocol=OCF)) == now(code)
            assert judged(judge_monitor(observed, probe=True, protocol=OCF)) == now(probed)

    @pytest.mark.parametrize("protocol", [pytest.param(protocol, id=protocol) for protocol in HookProtocol])
    def test_a_probe_never_takes_a_running_unit_for_stopped(self, protocol: HookProtocol) -> None:
        """Of every exit code and protocol: 7 and 5 would be recorded as stopped, 2 to 6 are hard errors: all are 1."""
        for active, code in product(RUNNING, range(256)):
            observed = Observation(unit_in(active), (exited(code, b"no route\n"),))
            recurring = judge_monitor(observed, probe=False, protocol=protocol)
            probe = judge_monitor(observed, probe=True, protocol=protocol)
            assert isinstance(recurring, ActionResult)
            expected = 1 if recurring.code in range(2, 8) else recurring.code
            assert probe == ActionResult(expected, recurring.reason)

    def test_a_probes_reason_names_the_hooks_own_code(self) -> None:
        """That 7 has become 1 hides nothing: the hook's exit code stands in the reason."""
        observed = Observation(unit_in(ActiveState.ACTIVE), (exited(7, b"connection refused\n"),))
        reason = "hook smtp: connection refused (exit 7)"
        assert judge_monitor(observed, probe=True, protocol=OCF) == ActionResult(1, reason)
        assert judge_monitor(observed, probe=False, protocol=OCF) == ActionResult(7, reason)

    @pytest.mark.parametrize("load", LOAD_ROWS)
    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_of_a_stopped_unit_no_hook_makes_it_better(self, active: ActiveState, load: LoadState) -> None:
        """An inactive or failed unit is 7 whatever the hook returns; one not found is 7 to a probe alone, else 5."""
        for hooks in ONE_HOOK:
            observed = Observation(unit_in(active, load), hooks)
            assert judged(judge_monitor(observed, probe=True, protocol=OCF)) == now(7)
            recurring = now(5) if load is LoadState.NOT_FOUND else now(7)
            assert judged(judge_monitor(observed, probe=False, protocol=OCF)) == recurring

    @pytest.mark.parametrize("load", LOAD_ROWS)
    @pytest.mark.parametrize("active", DOWN_ROWS)
    @pytest.mark.parametrize("probe", PROBE_ROWS)
    def test_a_stopped_unit_with_a_job_queued_is_waited_for(
        self, active: ActiveState, load: LoadState, *, probe: bool
    ) -> None:
        """A restart of what the unit requires passes through inactive: not 7 but another look, and 1 at the deadline.

        Processes that are alive change nothing of that: the job starts the unit, or it is judged by them later.
        """
        unit = unit_in(active, load, has_job=True)
        for each in (unit, with_processes(unit, "control-group", SLEEP)):
            judgement = judge_monitor(Observation(each), probe=probe, protocol=OCF)
            assert judgement == KeepWaiting(ActionResult(1, f"{UNIT} {active}: start job queued"))

    @pytest.mark.parametrize(("kill_mode", "others", "main"), REMAINING_ROWS)
    @pytest.mark.parametrize("active", DOWN_ROWS)
    @pytest.mark.parametrize("probe", PROBE_ROWS)
    def test_a_stopped_unit_with_processes_alive_has_failed(
        self, active: ActiveState, kill_mode: str, others: tuple[Process, ...], main: Process | None, *, probe: bool
    ) -> None:
        """What may still write is not stopped: 1 from a monitor and a probe, for a unit that is not found as well."""
        for load, hooks in product(LoadState, ONE_HOOK):
            unit = with_processes(unit_in(active, load), kill_mode, *others, main=main)
            judgement = judge_monitor(Observation(unit, hooks), probe=probe, protocol=OCF)
            assert judged(judgement) == now(1)
            assert reason_of(judgement).startswith(f"{UNIT} {active}, but not stopped: ")

    @pytest.mark.parametrize(("kill_mode", "others", "main"), SPARED_ROWS)
    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_processes_that_kill_mode_spares_do_not_count(
        self, active: ActiveState, kill_mode: str, others: tuple[Process, ...], main: Process | None
    ) -> None:
        """KillMode=process and none leave processes alive: 7, as without them."""
        unit = with_processes(unit_in(active), kill_mode, *others, main=main)
        assert judge_monitor(Observation(unit), probe=True, protocol=OCF) == ActionResult(7)
        assert judge_monitor(Observation(unit), probe=False, protocol=OCF) == ActionResult(7, f"{UNIT} {active}")

    @pytest.mark.parametrize(
        ("processes", "text"),
        [
            pytest.param((SLEEP,), "sleep[812] alive", id="one"),
            pytest.param((LS,), "ls[813] in uninterruptible sleep", id="uninterruptible"),
            pytest.param((SLEEP, Process(9, 1, "a")), "sleep[812] alive and 1 more", id="two"),
            pytest.param((SLEEP, LS), "ls[813] in uninterruptible sleep and 1 more", id="what no signal ends first"),
            pytest.param(
                (*(Process(pid, 1, "cat") for pid in (1, 2, 3)), LS),
                "ls[813] in uninterruptible sleep and 3 more",
                id="many",
            ),
        ],
    )
    def test_the_reason_names_a_process_that_is_alive(self, processes: tuple[Process, ...], text: str) -> None:
        """By name and pid, and how many more; one that no signal can end comes first."""
        unit = with_processes(unit_in(ActiveState.INACTIVE), "control-group", *processes)
        reason = reason_of(judge_monitor(Observation(unit), probe=False, protocol=OCF))
        assert reason == f"{UNIT} inactive, but not stopped: {text}"

    @pytest.mark.parametrize("load", LOAD_ROWS)
    @pytest.mark.parametrize("active", BETWEEN_ROWS)
    @pytest.mark.parametrize("probe", PROBE_ROWS)
    def test_a_unit_between_two_states_is_waited_for(
        self, active: ActiveState, load: LoadState, *, probe: bool
    ) -> None:
        """Activating, deactivating and unknown states: wait, and 1 at the deadline."""
        for hooks in ONE_HOOK:
            observed = Observation(unit_in(active, load), hooks)
            assert judged(judge_monitor(observed, probe=probe, protocol=OCF)) == wait(1)

    @pytest.mark.parametrize("probe", PROBE_ROWS)
    def test_a_silent_systemd_is_queried_again_and_never_taken_for_stopped(self, *, probe: bool) -> None:
        """Without a state: query again until the deadline, then 1, never stopped."""
        for hooks in ONE_HOOK:
            assert judged(judge_monitor(Observation(SILENCE, hooks), probe=probe, protocol=OCF)) == wait(1)
        assert judge_no_answer(SILENCE) == ActionResult(1, "systemd does not answer: no answer within 5.0 s")

    def test_no_monitor_requests_a_longer_pause(self) -> None:
        """KeepWaiting.spaced is for another try of a failed hook, which is no judgement of one look."""
        for unit, hooks in product(UNITS, ONE_HOOK):
            for _, _, judgement in judgements(Observation(unit, hooks), jobs=(DONE,)):
                assert isinstance(judgement, ActionResult) or not judgement.spaced
        assert not KeepWaiting(ActionResult(1)).spaced

    def test_the_reason_of_a_failed_unit_is_why_it_failed(self) -> None:
        """The reason of a failed unit names its Result and how its main process ended."""
        unit = UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, "failed", "exit-code", "status 1")
        result = judge_monitor(Observation(unit), probe=False, protocol=OCF)
        assert result == ActionResult(7, f"{UNIT} failed: exit-code, status 1")

    @pytest.mark.parametrize(
        ("unit", "text"),
        [
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, "failed", "signal", "SIGSEGV"),
                "failed: signal, SIGSEGV",
                id="failed by a signal",
            ),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, "failed", "timeout"),
                "failed: timeout",
                id="failed without a main process",
            ),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, main_exit="status 3"),
                "failed: status 3",
                id="failed without a Result",
            ),
            pytest.param(UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED), "failed", id="failed, no more known"),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE, "dead", "success"), "inactive", id="inactive"
            ),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE, "dead", "exec-condition", "status 1"),
                "inactive: exec-condition, status 1",
                id="inactive for a reason",
            ),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.ACTIVATING, "auto-restart", "success"),
                "activating: auto-restart",
                id="SubState that adds something",
            ),
            pytest.param(
                UnitState(UNIT, LoadState.LOADED, ActiveState.ACTIVATING, "activating", "success"),
                "activating",
                id="SubState that adds nothing",
            ),
        ],
    )
    def test_a_reason_explains_the_state(self, unit: UnitState, text: str) -> None:
        """The state comes with what explains it, and with nothing that does not."""
        reason = reason_of(judge_monitor(Observation(unit), probe=False, protocol=OCF))
        assert reason == f"{UNIT} {text}"

    def test_a_probe_of_a_stopped_unit_has_nothing_to_explain(self) -> None:
        """A probe's 7 is no failure and has no reason; a recurring monitor's has one."""
        observed = Observation(unit_in(ActiveState.INACTIVE))
        assert judge_monitor(observed, probe=True, protocol=OCF) == ActionResult(7)
        assert judge_monitor(observed, probe=False, protocol=OCF) == ActionResult(7, f"{UNIT} inactive")

    def test_a_missing_unit_is_named(self) -> None:
        """The reason of a recurring monitor's 5 names what is missing."""
        observed = Observation(unit_in(ActiveState.INACTIVE, LoadState.NOT_FOUND))
        assert judge_monitor(observed, probe=False, protocol=OCF) == ActionResult(5, f"{UNIT} not found")


class TestUnbooted:
    @pytest.mark.parametrize("action", [pytest.param(action, id=action) for action in Action])
    def test_without_systemd_nothing_can_run(self, action: Action) -> None:
        """On a host that systemd did not boot a stop is done, 0; everything else is 5, and never 7 or 1."""
        expected = ActionResult(0) if action is Action.STOP else ActionResult(5, "this host was not booted by systemd")
        assert judge_unbooted(action) == expected


class TestStart:
    @pytest.mark.parametrize("active", RUNNING_ROWS)
    @pytest.mark.parametrize(("hooks", "_code", "_probed", "expected"), HOOK_ROWS)
    def test_of_a_running_unit_the_hook_decides(
        self, active: ActiveState, hooks: tuple[HookOutcome, ...], _code: int, _probed: int, expected: Judged
    ) -> None:
        """0 and 190 end a start well; a hook that cannot be run ends it at once; all else is waited for, then 1."""
        for job, load in product(JOBS, LoadState):
            assert judged(judge_start(Observation(unit_in(active, load), hooks), job, OCF)) == expected

    @pytest.mark.parametrize("job", [pytest.param(job, id=job.result) for job in JOBS])
    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_a_stopped_unit_without_a_job_ends_the_start(self, active: ActiveState, job: JobOutcome) -> None:
        """Nothing will change any more, a refused manual start included: 1 at once; 4 when not permitted.

        A lost request is worth another.
        """
        for load, hooks in product(LoadState, ONE_HOOK):
            observed = Observation(unit_in(active, load), hooks)
            if job.result is JobResult.LOST:
                expected = wait(1)
            elif job.result is JobResult.ACCESS_DENIED:
                expected = now(4)
            else:
                expected = now(1)
            assert judged(judge_start(observed, job, OCF)) == expected

    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_a_stopped_unit_whose_job_is_queued_is_waited_for(self, active: ActiveState) -> None:
        """While a job is queued for the unit, it may still start."""
        for job in JOBS:
            assert judged(judge_start(Observation(unit_in(active, has_job=True)), job, OCF)) == wait(1)

    @pytest.mark.parametrize("active", BETWEEN_ROWS)
    def test_a_unit_between_two_states_is_waited_for(self, active: ActiveState) -> None:
        """Activating for long is no failure until the deadline."""
        for job, load, hooks in product(JOBS, LoadState, ONE_HOOK):
            assert judged(judge_start(Observation(unit_in(active, load), hooks), job, OCF)) == wait(1)

    def test_a_silent_systemd_is_queried_again(self) -> None:
        """Without a reply it is 1 at the deadline."""
        for job in JOBS:
            assert judged(judge_start(Observation(SILENCE), job, OCF)) == wait(1)

    @pytest.mark.parametrize(
        ("job", "condition_met", "text"),
        [
            pytest.param(DONE, True, "start job done", id="done and yet inactive"),
            pytest.param(DONE, False, "start job done, condition not met", id="condition not met"),
            pytest.param(JobOutcome(JobResult.DEPENDENCY), True, "start job dependency", id="dependency"),
            pytest.param(JobOutcome(JobResult.FAILED), True, "start job failed", id="failed"),
            pytest.param(JobOutcome(JobResult.CANCELED), True, "start job canceled", id="canceled"),
            pytest.param(JobOutcome(JobResult.TIMEOUT), True, "start job timeout", id="timeout"),
            pytest.param(JobOutcome(JobResult.PENDING), True, "", id="pending, no message"),
            pytest.param(
                JobOutcome(JobResult.PENDING, "its job still runs after 5.0 s"),
                True,
                "its job still runs after 5.0 s",
                id="pending",
            ),
        ],
    )
    def test_a_failed_start_names_the_jobs_result(self, job: JobOutcome, text: str, *, condition_met: bool) -> None:
        """The reason names the job's result, including a condition that was not met."""
        unit = UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE, "dead", condition_met=condition_met)
        expected = f"{UNIT} inactive: {text}" if text else f"{UNIT} inactive"
        assert reason_of(judge_start(Observation(unit), job, OCF)) == expected

    @pytest.mark.parametrize(
        ("result", "code", "message"),
        [
            pytest.param(JobResult.ACCESS_DENIED, 4, "Access denied", id="not permitted"),
            pytest.param(
                JobResult.REFUSE_MANUAL,
                1,
                f"Operation refused, unit {UNIT} may be requested by dependency only",
                id="RefuseManualStart=yes",
            ),
        ],
    )
    def test_a_refused_start_ends_with_systemds_message(self, result: JobResult, code: int, message: str) -> None:
        """At once, with systemctl's message, without the unit's name, which the reason has already."""
        job = JobOutcome(result, f"Failed to start {UNIT}: {message}")
        unit = UnitState(UNIT, LoadState.LOADED, ActiveState.INACTIVE, "dead")
        assert judge_start(Observation(unit), job, OCF) == ActionResult(code, f"{UNIT} inactive: {message}")

    @pytest.mark.parametrize(
        ("job", "text"),
        [
            pytest.param(JobOutcome(JobResult.FAILED), "exit-code, status 203", id="a failed job adds nothing"),
            pytest.param(DONE, "exit-code, status 203", id="nor does one that is done"),
            pytest.param(
                JobOutcome(JobResult.DEPENDENCY), "start job dependency, exit-code, status 203", id="another one does"
            ),
        ],
    )
    def test_a_failed_start_names_result_and_main_exit(self, job: JobOutcome, text: str) -> None:
        """Result and main exit status, and the job's result where it adds information."""
        unit = UnitState(UNIT, LoadState.LOADED, ActiveState.FAILED, "failed", "exit-code", "status 203")
        assert reason_of(judge_start(Observation(unit), job, OCF)) == f"{UNIT} failed: {text}"

    @pytest.mark.parametrize(
        ("job", "message"),
        [
            pytest.param(JobOutcome(JobResult.LOST), "no job was queued", id="no message"),
            pytest.param(
                JobOutcome(JobResult.LOST, "Connection reset by peer"), "Connection reset by peer", id="message"
            ),
        ],
    )
    def test_a_lost_request_has_systemctls_message(self, job: JobOutcome, message: str) -> None:
        """The reason of a start that never reached systemd is systemctl's message."""
        reason = reason_of(judge_start(Observation(unit_in(ActiveState.INACTIVE)), job, OCF))
        assert reason == f"{UNIT} inactive: systemctl start: {message}"

    def test_the_log_line_is_last(self) -> None:
        """The unit's last log line follows the state, as far as there is room; without one nothing changes."""
        result = ActionResult(1, f"{UNIT} failed: exit-code, status 3")
        assert with_log_line(result, "fatal: bad string length") == ActionResult(
            1, f"{UNIT} failed: exit-code, status 3: fatal: bad string length"
        )
        assert with_log_line(result, "") == result
        cut = with_log_line(result, "x" * 5000)
        assert cut == ActionResult(1, f"{UNIT} failed: exit-code, status 3: {'x' * QUOTED_MAX}")


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
            result = judge_start_request(unit_in(active, load))
            assert result.code == (running if active in RUNNING else otherwise)
            assert (result.reason is None) == (result.code == 0)

    def test_the_rows_leave_no_load_state_out(self) -> None:
        """Every LoadState has a row in the table."""
        assert len(LoadState) == 8

    @pytest.mark.parametrize(
        ("load", "reason"),
        [
            pytest.param(LoadState.NOT_FOUND, f"{UNIT} not found", id="not-found"),
            pytest.param(LoadState.MASKED, f"{UNIT} masked", id="masked"),
            pytest.param(LoadState.ERROR, f"{UNIT} does not load: error", id="error"),
            pytest.param(LoadState.BAD_SETTING, f"{UNIT} does not load: bad-setting", id="bad-setting"),
        ],
    )
    def test_the_reason_names_it(self, load: LoadState, reason: str) -> None:
        """What failed, and why."""
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
        """5 for a missing hook, 4 for one that is not safe; the reason names the first by name."""
        assert judge_host(unit_in(ActiveState.INACTIVE), problems).code == code

    def test_the_unit_comes_before_its_hooks(self) -> None:
        """Without the unit, its hooks do not matter."""
        result = judge_host(unit_in(ActiveState.INACTIVE, LoadState.NOT_FOUND), (UNSAFE,))
        assert result == ActionResult(5, f"{UNIT} not found")


class TestStop:
    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_a_stopped_unit_is_success(self, active: ActiveState) -> None:
        """Whatever the job's result, the LoadState and the hook: observed stopped is stopped, a missing unit too."""
        for job, load, hooks in product(JOBS, LoadState, ONE_HOOK):
            observed = Observation(unit_in(active, load), hooks)
            assert judged(judge_stop(observed, job, verify=False, protocol=OCF)) == now(0)

    @pytest.mark.parametrize("verify", [pytest.param(True, id="verify"), pytest.param(False, id="no verify")])
    @pytest.mark.parametrize("active", [pytest.param(state, id=state) for state in RUNNING + BETWEEN])
    def test_anything_else_is_waited_for(self, active: ActiveState, *, verify: bool) -> None:
        """Not observed stopped: at the deadline 1, or 4 when the stop was not permitted; never 0."""
        for job, load, hooks in product(JOBS, LoadState, ONE_HOOK):
            observed = Observation(unit_in(active, load), hooks)
            expected = wait(4) if job.result is JobResult.ACCESS_DENIED else wait(1)
            assert judged(judge_stop(observed, job, verify=verify, protocol=OCF)) == expected

    @pytest.mark.parametrize(("kill_mode", "others", "main"), REMAINING_ROWS)
    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_a_unit_with_processes_alive_is_not_stopped(
        self, active: ActiveState, kill_mode: str, others: tuple[Process, ...], main: Process | None
    ) -> None:
        """Inactive to systemd, but with a process that may still write: the stop goes on, and fails at the deadline.

        The results of hooks do not matter for that.
        """
        for job, verify, hooks in product(JOBS, (True, False), ONE_HOOK):
            unit = with_processes(unit_in(active), kill_mode, *others, main=main)
            judgement = judge_stop(Observation(unit, hooks), job, verify=verify, protocol=OCF)
            assert judged(judgement) == wait(1)
            assert reason_of(judgement).startswith(f"{UNIT} {active}, but not stopped: ")

    @pytest.mark.parametrize(("kill_mode", "others", "main"), SPARED_ROWS)
    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_what_kill_mode_spares_may_outlive_the_unit(
        self, active: ActiveState, kill_mode: str, others: tuple[Process, ...], main: Process | None
    ) -> None:
        """KillMode=process and none leave processes alive: stopped."""
        unit = with_processes(unit_in(active), kill_mode, *others, main=main)
        assert judge_stop(Observation(unit), DONE, verify=False, protocol=OCF) == ActionResult(0)

    @pytest.mark.parametrize("active", DOWN_ROWS)
    def test_a_stopped_unit_with_a_job_queued_is_waited_for(self, active: ActiveState) -> None:
        """It would be started after the stop has returned 0."""
        unit = Observation(unit_in(active, has_job=True))
        for job, verify in product(JOBS, (True, False)):
            assert judged(judge_stop(unit, job, verify=verify, protocol=OCF)) == wait(1)
        assert reason_of(judge_stop(unit, DONE, verify=False, protocol=OCF)) == f"{UNIT} {active}: a job queued"
        job = JobOutcome(JobResult.CANCELED, "Job canceled.")
        reason = reason_of(judge_stop(unit, job, verify=False, protocol=OCF))
        assert reason == f"{UNIT} {active}: a job queued, Job canceled."

    def test_a_silent_systemd_is_queried_again(self) -> None:
        """Never 0 unless observed stopped."""
        for job, verify in product(JOBS, (True, False)):
            assert judged(judge_stop(Observation(SILENCE), job, verify=verify, protocol=OCF)) == wait(1)

    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in HOOKS])
    def test_verify_waits_for_the_hook_to_return_7(self, name: str) -> None:
        """The hook must return 7; one that cannot run does not fail a stop, since that would fence the node."""
        hooks, *_ = HOOKS[name]
        content = {"no hook", "exit 7", "missing", "unsafe", "last run cannot be killed"}
        for active in DOWN:
            judgement = judge_stop(Observation(unit_in(active), hooks), DONE, verify=True, protocol=OCF)
            assert judged(judgement) == (now(0) if name in content else wait(1))

    @pytest.mark.parametrize(
        ("code", "expected"),
        [pytest.param(3, now(0), id="not running"), pytest.param(0, wait(1), id="running")]
        + [pytest.param(code, wait(1), id=f"{code}") for code in (1, 2, 4, 7, 150)],
    )
    def test_verify_reads_the_hook_by_its_protocol(self, code: int, expected: Judged) -> None:
        """An lsb hook returns 3 for not running, and 7 is a failure."""
        observed = Observation(unit_in(ActiveState.INACTIVE), (exited(code),))
        assert judged(judge_stop(observed, DONE, verify=True, protocol=HookProtocol.LSB)) == expected

    @pytest.mark.parametrize(
        ("hooks", "expected"),
        [
            pytest.param((exited(7, hook="/h/a"), exited(7, hook="/h/b")), now(0), id="both 7"),
            pytest.param((exited(7, hook="/h/a"), exited(0, hook="/h/b")), wait(1), id="one running"),
            pytest.param((exited(7, hook="/h/a"), HookMissing("/h/b", "gone")), now(0), id="one is gone"),
            pytest.param((exited(0, hook="/h/a"), HookMissing("/h/b", "gone")), wait(1), id="running, one gone"),
            pytest.param((exited(0, hook="/h/a"), HookStuck("/h/b", LS)), wait(1), id="running, one not started"),
            pytest.param((HookUnsafe("/h/a", "x"), HookMissing("/h/b", "gone")), now(0), id="none can be run"),
        ],
    )
    def test_verify_runs_all_hooks_that_can_run(self, hooks: tuple[HookOutcome, ...], expected: Judged) -> None:
        """All that can run must return 7."""
        observed = Observation(unit_in(ActiveState.INACTIVE), hooks)
        assert judged(judge_stop(observed, DONE, verify=True, protocol=OCF)) == expected

    @pytest.mark.parametrize(
        ("job", "text"),
        [
            pytest.param(DONE, "stop-sigterm", id="done adds nothing"),
            pytest.param(JobOutcome(JobResult.TIMEOUT, "message"), "stop job timeout, stop-sigterm", id="timeout"),
            pytest.param(JobOutcome(JobResult.FAILED, "message"), "stop job failed, stop-sigterm", id="failed"),
            pytest.param(
                JobOutcome(JobResult.PENDING, "its job still runs after 9.0 s"),
                "its job still runs after 9.0 s, stop-sigterm",
                id="pending",
            ),
            pytest.param(JobOutcome(JobResult.LOST), "stop-sigterm", id="lost, no message"),
            pytest.param(JobOutcome(JobResult.LOST, "reset by peer"), "reset by peer, stop-sigterm", id="lost"),
            pytest.param(
                JobOutcome(JobResult.REFUSE_MANUAL, f"Failed to stop {UNIT}: Operation refused"),
                "Operation refused, stop-sigterm",
                id="RefuseManualStop=yes",
            ),
        ],
    )
    def test_the_reason_of_an_unfinished_stop(self, job: JobOutcome, text: str) -> None:
        """It names the state, and the job's result where that adds information."""
        stopping = UnitState(UNIT, LoadState.LOADED, ActiveState.DEACTIVATING, "stop-sigterm")
        reason = reason_of(judge_stop(Observation(stopping), job, verify=False, protocol=OCF))
        assert reason == f"{UNIT} deactivating: {text}"

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            pytest.param(0, "hook smtp: running, expected not running after stop", id="running"),
            pytest.param(190, "hook smtp: degraded (exit 190), expected not running after stop", id="degraded"),
            pytest.param(3, "hook smtp: failed (exit 3), expected not running after stop", id="failed"),
        ],
    )
    def test_the_reason_of_an_unverified_stop(self, code: int, reason: str) -> None:
        """With verify, the hook's result, and the expected one."""
        down = Observation(unit_in(ActiveState.INACTIVE), (exited(code),))
        assert reason_of(judge_stop(down, DONE, verify=True, protocol=OCF)) == reason


class TestReload:
    @pytest.mark.parametrize(
        ("can_reload", "code"), [pytest.param(True, 0, id="it can"), pytest.param(False, 3, id="it cannot")]
    )
    def test_a_unit_that_cannot_reload_does_not_implement_it(self, code: int, *, can_reload: bool) -> None:
        """No ExecReload=: 3."""
        result = judge_reload_request(unit_in(ActiveState.ACTIVE, can_reload=can_reload))
        assert result.code == code
        assert result.reason == (None if can_reload else f"{UNIT} cannot reload: it has no ExecReload=")

    @pytest.mark.parametrize("job", [pytest.param(job, id=job.result) for job in JOBS])
    @pytest.mark.parametrize("active", RUNNING_ROWS)
    @pytest.mark.parametrize(("hooks", "code", "_probed", "_start"), HOOK_ROWS)
    def test_of_a_running_unit_the_monitor_decides_and_then_the_job(
        self,
        active: ActiveState,
        hooks: tuple[HookOutcome, ...],
        job: JobOutcome,
        code: int,
        _probed: int,
        _start: Judged,
    ) -> None:
        """Where the hook passes, a reload that did not get done is 1, one that got lost is sent again.

        A hook that fails may yet pass: its code stands at the deadline. One that cannot be run will not.
        """
        judgement = judge_reload(Observation(unit_in(active), hooks), job, OCF)
        if code in PASSING_CODES and job.result is JobResult.DONE:
            assert judged(judgement) == now(code)
        elif code in PASSING_CODES:
            not_reloaded = ActionResult(1, f"{UNIT} not reloaded: reload job {job.result}: Access denied")
            assert judgement == (KeepWaiting(not_reloaded) if job.result is JobResult.LOST else not_reloaded)
        else:
            assert judged(judgement) == (now(code) if hooks in {(MISSING,), (UNSAFE,)} else wait(code))

    def test_a_job_without_a_message(self) -> None:
        """The reason ends with the job's result then."""
        observed = Observation(unit_in(ActiveState.ACTIVE))
        judgement = judge_reload(observed, JobOutcome(JobResult.CANCELED), OCF)
        assert judgement == ActionResult(1, f"{UNIT} not reloaded: reload job canceled")

    @pytest.mark.parametrize("job", [pytest.param(job, id=job.result) for job in JOBS])
    def test_of_any_other_unit_the_monitor_decides(self, job: JobOutcome) -> None:
        """A unit that the reload stopped is 7 at once; a transition and a missing state are waited for."""
        for unit, hooks in product(UNITS, ONE_HOOK):
            if isinstance(unit, UnitState) and unit.is_running:
                continue
            observed = Observation(unit, hooks)
            assert judge_reload(observed, job, OCF) == judge_monitor(observed, probe=False, protocol=OCF)


class TestHooks:
    @pytest.mark.parametrize(
        ("protocol", "codes"),
        [
            pytest.param(HookProtocol.OCF, {code: code for code in range(256)} | {8: 1, 9: 1, 191: 1}, id="ocf"),
            pytest.param(HookProtocol.NAGIOS, {0: 0, 1: 190, **dict.fromkeys(range(2, 256), 1)}, id="nagios"),
            pytest.param(HookProtocol.PLAIN, {0: 0, **dict.fromkeys(range(1, 256), 1)}, id="plain"),
            pytest.param(HookProtocol.LSB, {0: 0, **dict.fromkeys(range(1, 256), 1), 3: 7}, id="lsb"),
        ],
    )
    def test_every_exit_code_in_every_protocol(self, protocol: HookProtocol, codes: dict[int, int]) -> None:
        """Ocf passes on all codes but the promoted role's, nagios knows degraded, plain good and bad, lsb 3."""
        assert {code: judge_hook(exited(code), protocol).code for code in range(256)} == codes
        assert {code: exit_code_of(code, protocol) for code in range(256)} == codes

    @pytest.mark.parametrize("code", [pytest.param(code, id=f"{code}") for code in (8, 9, 191)])
    @pytest.mark.parametrize("protocol", [pytest.param(protocol, id=protocol) for protocol in HookProtocol])
    def test_a_promoted_code_is_a_failure_that_names_it(self, code: int, protocol: HookProtocol) -> None:
        """Pacemaker would respond with a demote, which this agent does not support, and refuse the node."""
        assert judge_hook(exited(code), protocol) == ActionResult(1, f"hook smtp: failed (exit {code})")

    @pytest.mark.parametrize("protocol", [pytest.param(protocol, id=protocol) for protocol in HookProtocol])
    @pytest.mark.parametrize(
        ("hook", "result"),
        [
            pytest.param(died(SIGSEGV), ActionResult(1, "hook smtp: killed by SIGSEGV"), id="SEGV"),
            pytest.param(
                HookAttempted(HOOK, Signalled(0.1, signal=63)),
                ActionResult(1, "hook smtp: killed by SIG63"),
                id="a signal without a name",
            ),
            pytest.param(
                HookAttempted(HOOK, Signalled(0.1, stderr=b"oops\n", signal=SIGABRT)),
                ActionResult(1, "hook smtp: oops (killed by SIGABRT)"),
                id="output before a signal",
            ),
            pytest.param(timed_out(9.04), ActionResult(1, "hook smtp: timed out after 9.0 s"), id="timeout"),
            pytest.param(
                HookAttempted(HOOK, TimedOut(9.04, stderr=b"waiting for a greeting\n")),
                ActionResult(1, "hook smtp: waiting for a greeting (timed out after 9.0 s)"),
                id="output before a timeout",
            ),
            pytest.param(
                HookAttempted(HOOK, TimedOut(9.04, stderr=b"listing\n", survivors=(LS, SLEEP))),
                ActionResult(
                    1, "hook smtp: cannot be killed: ls[813] in uninterruptible sleep (timed out after 9.0 s)"
                ),
                id="cannot be killed",
            ),
            pytest.param(
                HookAttempted(HOOK, TimedOut(9.0, survivors=(SLEEP,))),
                ActionResult(1, "hook smtp: cannot be killed: sleep[812] alive (timed out after 9.0 s)"),
                id="alive all the same",
            ),
            pytest.param(
                STUCK,
                ActionResult(
                    1, "hook smtp: not started, its last run cannot be killed: ls[813] in uninterruptible sleep"
                ),
                id="last run cannot be killed",
            ),
            pytest.param(
                not_started(),
                ActionResult(1, "hook smtp: cannot be started: Resource temporarily unavailable"),
                id="not started",
            ),
            pytest.param(MISSING, ActionResult(5, "hook smtp: cannot be run: No such file or directory"), id="missing"),
            pytest.param(
                UNSAFE,
                ActionResult(4, "hook smtp: not safe to run: /usr/local/lib is writable by everyone"),
                id="not safe",
            ),
        ],
    )
    def test_what_does_not_depend_on_the_protocol(
        self, hook: HookOutcome, result: ActionResult, protocol: HookProtocol
    ) -> None:
        """Signals, timeouts and hooks that cannot run mean the same in every protocol; the reason names them."""
        assert judge_hook(hook, protocol) == result

    @pytest.mark.parametrize(
        ("hook", "reason"),
        [
            pytest.param(exited(3), "hook smtp: failed (exit 3)", id="silent"),
            pytest.param(exited(7), "hook smtp: not running (exit 7)", id="not running"),
            pytest.param(exited(190), "hook smtp: degraded (exit 190)", id="degraded"),
            pytest.param(
                exited(2, b"connecting\nconnection refused\n\n"),
                "hook smtp: connection refused (exit 2)",
                id="its last line",
            ),
            pytest.param(
                HookAttempted(HOOK, Exited(0.1, b"on stdout\n", code=1)),
                "hook smtp: on stdout (exit 1)",
                id="of stdout",
            ),
            pytest.param(exited(1, hook="/h/d/"), "hook d: failed (exit 1)", id="a path that ends in a slash"),
            pytest.param(exited(0, b"all is well\n"), None, id="content"),
        ],
    )
    def test_the_reason_of_an_exit_code(self, hook: HookOutcome, reason: str | None) -> None:
        """The hook's base name, its own last line, and its code last."""
        assert judge_hook(hook, OCF).reason == reason

    @pytest.mark.parametrize(
        ("stderr", "message"),
        [
            pytest.param(b"ocf-exit-reason:no greeting\n", "no greeting", id="alone"),
            pytest.param(b"ocf-exit-reason:no greeting\ncleaning up\n", "no greeting", id="before another line"),
            pytest.param(b"ocf-exit-reason:first\nocf-exit-reason:second\nlast\n", "second", id="the last of them"),
            pytest.param(b"ocf-exit-reason: with a blank \n", "with a blank", id="with a blank"),
            pytest.param(b"ocf-exit-reason:\n", "failed", id="empty"),
            pytest.param(b"x ocf-exit-reason:y\n", "x ocf-exit-reason:y", id="within a line it is none"),
        ],
    )
    def test_a_hooks_own_exit_reason_is_its_message(self, stderr: bytes, message: str) -> None:
        """What ocf_exit_reason of ocf-shellfuncs has printed last, without its prefix, whatever came after it."""
        assert judge_hook(exited(1, stderr), OCF) == ActionResult(1, f"hook smtp: {message} (exit 1)")
        killed = HookAttempted(HOOK, Signalled(0.1, stderr=stderr, signal=SIGKILL))
        text = "killed by SIGKILL" if message == "failed" else f"{message} (killed by SIGKILL)"
        assert judge_hook(killed, OCF) == ActionResult(1, f"hook smtp: {text}")

    @pytest.mark.parametrize(
        ("stdout", "stderr", "message"),
        [
            pytest.param(
                b"SMTP CRITICAL - no greeting | time=5.0s;1;2\nmore\nlast | x=1\n",
                b"",
                "SMTP CRITICAL - no greeting",
                id="the first line, without performance data",
            ),
            pytest.param(b"\n\nCRITICAL\nmore\n", b"", "CRITICAL", id="the first that is not empty"),
            pytest.param(b"CRITICAL\n", b"a warning of the interpreter\n", "CRITICAL", id="stdout before stderr"),
            pytest.param(b"", b"usage:\ncheck_smtp -H host\n", "check_smtp -H host", id="nothing on stdout"),
            pytest.param(b"", b"ocf-exit-reason:why\nlast\n", "why", id="its own exit reason"),
            pytest.param(b"|time=1s\n", b"", "failed", id="performance data alone"),
        ],
    )
    def test_a_plugins_message_is_its_first_line(self, stdout: bytes, stderr: bytes, message: str) -> None:
        """A monitoring plugin puts its message first, and performance data after a bar ("Plugin Output")."""
        hook = HookAttempted(HOOK, Exited(0.1, stdout, stderr, code=2))
        assert judge_hook(hook, HookProtocol.NAGIOS) == ActionResult(1, f"hook smtp: {message} (exit 2)")

    @pytest.mark.parametrize(
        "protocol", [pytest.param(protocol, id=protocol) for protocol in HookProtocol if protocol != "nagios"]
    )
    def test_other_hooks_keep_their_last_line(self, protocol: HookProtocol) -> None:
        """A bar means nothing in another protocol."""
        hook = HookAttempted(HOOK, Exited(0.1, b"first\nlast | 5\n", code=1))
        assert judge_hook(hook, protocol).reason == "hook smtp: last | 5 (exit 1)"

    def test_a_hooks_message_is_cut(self) -> None:
        """A very long last line does not result in a very long reason."""
        reason = judge_hook(exited(1, b"x" * 5000), OCF).reason
        assert reason == f"hook smtp: {'x' * QUOTED_MAX} (exit 1)"

    @pytest.mark.parametrize(
        ("codes", "code", "reason"),
        [
            pytest.param((), 0, None, id="none"),
            pytest.param((0, 0), 0, None, id="all running"),
            pytest.param((7, 7), 7, "hook a: not running (exit 7)", id="all down"),
            pytest.param((0, 190), 190, "hook b: degraded (exit 190)", id="one degraded"),
            pytest.param((190, 190), 190, "hook a: degraded (exit 190)", id="all degraded"),
            pytest.param((0, 7, 190), 1, "hooks disagree: b not running; a, c running", id="they disagree"),
            pytest.param((7, 190), 1, "hooks disagree: a not running; b running", id="7 and 190"),
            pytest.param((0, 5, 2), 5, "hook b: failed (exit 5)", id="a failure, the first by name"),
            pytest.param((7, 0, 1), 1, "hook c: failed (exit 1)", id="a failure beats a disagreement"),
            pytest.param((190, 42), 42, "hook b: failed (exit 42)", id="a failure beats degraded"),
            pytest.param((7, 3), 3, "hook b: failed (exit 3)", id="a failure beats 7"),
            pytest.param((0, 8), 1, "hook b: failed (exit 8)", id="a promoted code is a failure"),
        ],
    )
    def test_several_hooks_together(self, codes: tuple[int, ...], code: int, reason: str | None) -> None:
        """Any failure wins; some 7 is a disagreement; all 7, 7; any 190, 190; else 0. The reason names the hooks."""
        hooks = tuple(exited(code, hook=f"/h/{'abc'[number]}") for number, code in enumerate(codes))
        assert judge_hooks(hooks, OCF) == ActionResult(code, reason)

    def test_a_process_is_described(self) -> None:
        """By name and pid, and whether a signal can end it."""
        assert describe_process(SLEEP) == "sleep[812] alive"
        assert describe_process(LS) == "ls[813] in uninterruptible sleep"


def reason_of(judgement: Judgement) -> str:
    result = judgement if isinstance(judgement, ActionResult) else judgement.at_deadline
    assert result.reason is not None
    return result.reason


UNITS: tuple[UnitState | NoAnswer, ...] = (
    SILENCE,
    *(
        UnitState(UNIT, load, active, has_job=has_job)
        for load, active, has_job in product(LoadState, ActiveState, (False, True))
    ),
    *(
        with_processes(UnitState(UNIT, load, active, has_job=has_job), kill_mode, *others, main=main)
        for load, active, has_job in product((LoadState.LOADED, LoadState.NOT_FOUND), DOWN, (False, True))
        for kill_mode, others, main in (*REMAINING.values(), *SPARED.values())
    ),
)
HOOK_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30).map(lambda name: f"/h/{name}")
COMMANDS = st.one_of(
    st.builds(Exited, st.just(0.1), stderr=st.binary(max_size=60), code=st.integers(0, 255)),
    st.builds(Signalled, st.just(0.1), stdout=st.binary(max_size=60), signal=st.sampled_from([SIGSEGV, SIGKILL])),
    st.sampled_from([timed_out().outcome, CANNOT_BE_KILLED.outcome, not_started().outcome]),
)
ANY_HOOK: st.SearchStrategy[HookOutcome] = st.one_of(
    st.builds(HookAttempted, HOOK_NAMES, COMMANDS),
    st.builds(HookMissing, HOOK_NAMES, st.just("it is not executable")),
    st.builds(HookUnsafe, HOOK_NAMES, st.just("/h is owned by uid 1000")),
    st.builds(HookStuck, HOOK_NAMES, st.just(LS)),
)
ANY_HOOKS = st.lists(ANY_HOOK, max_size=5).map(tuple)


def judgements(
    observed: Observation, jobs: tuple[JobOutcome, ...] = JOBS
) -> Iterator[tuple[str, HookProtocol, Judgement]]:
    """Yield what every action makes of one look."""
    for protocol in HookProtocol:
        yield "probe", protocol, judge_monitor(observed, probe=True, protocol=protocol)
        yield "monitor", protocol, judge_monitor(observed, probe=False, protocol=protocol)
        for job in jobs:
            yield "start", protocol, judge_start(observed, job, protocol)
            yield "reload", protocol, judge_reload(observed, job, protocol)
            for verify in (True, False):
                yield "stop", protocol, judge_stop(observed, job, verify=verify, protocol=protocol)


def check_guarantees(observed: Observation) -> None:
    """Check those of the five guarantees that are the judgement's: 7, 0 from stop, and always a reason."""
    unit = observed.unit if isinstance(observed.unit, UnitState) else None
    is_spared = unit is not None and unit.details is not None and unit.details.kill_mode in SPARED
    is_alive = unit is not None and bool(unit.main_process or (unit.processes and not is_spared))
    is_down = unit is not None and unit.active_state in DOWN and not is_alive
    returning_7 = {
        protocol: any(_is_not_running(hook, protocol) for hook in observed.hooks) for protocol in HookProtocol
    }
    for action, protocol, judgement in judgements(observed):
        result = judgement if isinstance(judgement, ActionResult) else judgement.at_deadline
        code = result.code
        assert 0 <= code <= 255
        if code == 7:  # observed down and not about to start; or a hook returned it, but not to a probe
            is_hooks = (
                unit is not None and unit.is_running and returning_7[protocol] and action in {"monitor", "reload"}
            )
            assert action in {"probe", "monitor", "reload"}
            assert is_hooks or (unit is not None and is_down and not unit.has_job)
        if action == "stop" and code == 0:
            assert unit is not None
            assert is_down
            assert not unit.has_job
        if action == "probe" and unit is not None and unit.is_running:
            assert code not in range(2, 8)
        assert code not in {8, 9, 191}  # there are no roles
        if code == 0 or (action == "probe" and code == 7):
            assert result.reason is None
        else:
            assert result.reason
            assert is_one_line(result.reason)
            assert len(result.reason) < 1024


def _is_not_running(hook: HookOutcome, protocol: HookProtocol) -> bool:
    outcome = hook.outcome if isinstance(hook, HookAttempted) else None
    return isinstance(outcome, Exited) and exit_code_of(outcome.code, protocol) == 7


@pytest.fixture
def untraced() -> Iterator[None]:
    """Disable coverage measurement, which would take longer than the test; other tests cover the code."""
    tracing = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(tracing)


class TestGuarantees:
    @pytest.mark.usefixtures("untraced")
    def test_over_the_whole_product(self) -> None:
        """7 only from a unit observed down or, except in probes, a hook; 0 from stop only if down, nothing alive.

        Every failure has a reason.
        """
        for unit, hooks in product(UNITS, ONE_HOOK):
            check_guarantees(Observation(unit, hooks))

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
        """Every reason that names a hook is one printable line, whatever the hook's name."""
        name = "/h/a\nb\x1b[31m\u202e\udcff"
        rest: tuple[HookOutcome, ...] = (
            exited(0, hook="/h/z"),
            HookMissing(name, name),
            HookUnsafe(name, name),
            HookStuck(name, LS),
        )
        for unit in UNITS:
            check_guarantees(Observation(unit, (HookAttempted(name, outcome),)))
        one_of_each_state = {unit.active_state: unit for unit in UNITS if isinstance(unit, UnitState)}.values()
        for unit, other in product(one_of_each_state, rest):
            check_guarantees(Observation(unit, (HookAttempted(name, outcome), other)))

    @given(unit=st.sampled_from(UNITS), hooks=ANY_HOOKS)
    def test_with_any_number_of_hooks(self, unit: UnitState | NoAnswer, hooks: tuple[HookOutcome, ...]) -> None:
        """The guarantees hold for any results of a directory of hooks, and any names of theirs."""
        check_guarantees(Observation(unit, hooks))

    @given(hooks=ANY_HOOKS, protocol=st.sampled_from(HookProtocol))
    def test_hooks_together_are_never_better_than_the_worst(
        self, hooks: tuple[HookOutcome, ...], protocol: HookProtocol
    ) -> None:
        """0 means that all returned 0; 7 that all returned 7."""
        codes = {judge_hook(hook, protocol).code for hook in hooks}
        together = judge_hooks(hooks, protocol).code
        assert together != 0 or codes <= {0}
        assert together != 7 or codes == {7}

    @given(
        directory=st.text("abc/", max_size=300),
        name=st.text("abc", min_size=1, max_size=12),
        message=st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=80),
        protocol=st.sampled_from(HookProtocol),
        code=st.sampled_from([1, 2, 4, 42, 255]),
    )
    def test_the_hooks_message_stands_in_the_first_128_bytes(
        self, directory: str, name: str, message: str, protocol: HookProtocol, code: int
    ) -> None:
        """Older Pacemakers keep no more: the message comes first, after a base name alone, and the numbers last.

        How deep the hook lies takes nothing of that room.
        """
        hook = exited(code, message.encode(), hook=f"/{directory}/{name}")
        if protocol is HookProtocol.NAGIOS:
            hook = HookAttempted(hook.hook, Exited(0.1, message.encode(), code=code))
        reason = judge_hook(hook, protocol).reason
        assert reason == f"hook {name}: {message} (exit {code})"
        room = 128 - len(f"hook {name}: ".encode())
        kept = message.encode()[:room]
        assert reason.encode()[:128].removeprefix(f"hook {name}: ".encode()).startswith(kept)

    @pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in HOOKS])
    def test_what_failed_stands_in_the_first_128_bytes(self, name: str) -> None:
        """The unit's name and state, or the hook's base name and its problem, come before any message."""
        hooks, *_ = HOOKS[name]
        for unit in UNITS:
            for _, _, judgement in judgements(Observation(unit, hooks), jobs=(DONE,)):
                result = judgement if isinstance(judgement, ActionResult) else judgement.at_deadline
                head = (result.reason or "").encode()[:128].decode(errors="ignore")
                state = f"{UNIT} {unit.active_state}" if isinstance(unit, UnitState) else "systemd does not answer: "
                assert not head or head.startswith((state, f"{UNIT} not found", f"{UNIT} not reloaded", "hook smtp: "))

    def test_a_reason_cannot_be_forged(self) -> None:
        """A further prefix in a hook's message is text, which `exit_reason.reason_line` makes harmless."""
        reason = judge_hook(exited(1, f"{REASON_PREFIX}{REASON_PREFIX}x\n".encode()), OCF).reason
        assert reason == f"hook smtp: {REASON_PREFIX}x (exit 1)"
