"""Judges what happened in each scenario against what a cluster needs: pure functions from facts to a `CheckResult`."""

import math
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ocf_systemd.core.check_result import CheckResult, Status
from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.judgement import judge_hooks
from ocf_systemd.core.observations import HookAttempted, HookOutcome, TimedOut
from ocf_systemd.core.ocf import HARD_ERRORS, Action, ExitCode, code_name
from ocf_systemd.core.pacemaker import consequence
from ocf_systemd.core.text import printable
from ocf_systemd.rehearse.facts import ActionRun, Crash, Leftover, UnitFacts
from ocf_systemd.rehearse.scenarios import RESTARTS

_ORDINALS = ("first", "second")
_SHOWN_PROCESSES = 3  # the most that a result lists


@dataclass(frozen=True, slots=True)
class Subject:
    """What a result is about: the check's name, the unit's full name, and settings of the resource and the unit.

    `kill_mode` is the unit's KillMode=. `stop_timeout_s` is its TimeoutStopSec= in seconds.
    """

    check: str
    unit: str
    hook: str | None = None
    protocol: HookProtocol = HookProtocol.OCF
    stop_verify: bool = False
    kill_mode: str = ""
    stop_timeout_s: float = math.inf

    @property
    def hook_name(self) -> str:
        """The name of the hook without its directory."""
        return printable((self.hook or "").rstrip("/").rpartition("/")[2])

    def ok(self, what: str) -> CheckResult:
        """Return the result of a check that passed."""
        return CheckResult(self.check, Status.OK, what)

    def skipped(self, why: str) -> CheckResult:
        """Return the result of a check that did not run."""
        return CheckResult(self.check, Status.SKIPPED, why)

    def error(self, what: str, why: str, *fix: str) -> CheckResult:
        """Return the result of a check that failed."""
        return CheckResult(self.check, Status.ERROR, what, why, fix)

    def debug(self, action: Action) -> str:
        """Return the command that runs an action and shows each of its steps."""
        hook = f" --monitor-hook {shlex.quote(self.hook)}" if self.hook else ""
        return f"ocf-systemd debug {action} {shlex.quote(self.unit)}{hook}"

    def edit(self, setting: str, section: str = "Service") -> str:
        """Return the command that changes a setting of the unit."""
        return f"systemctl edit {shlex.quote(self.unit)}   # [{section}] {setting}"


def judge_twice(subject: Subject, runs: Sequence[ActionRun], expected: ExitCode = ExitCode.SUCCESS) -> CheckResult:
    """Judge an action that ran twice in a row: every action must be idempotent."""
    for ordinal, run in zip(_ORDINALS, runs, strict=True):
        if failure := judge_run(subject, run, expected, f"the {ordinal} {run.action}"):
            return failure
    slowest_s = max(run.elapsed_s for run in runs)
    return subject.ok(f"returned {_codes(runs)} in {_seconds(slowest_s)}{_hook_time(runs)}{_active_time(runs)}")


def _hook_time(runs: Sequence[ActionRun]) -> str:
    times_s = [run.hook_s for run in runs if run.hook_s is not None and run.action is Action.MONITOR]
    is_up = all(run.is_success for run in runs)
    return f", the hook {_seconds(max(times_s))}" if times_s and is_up else ""


def _active_time(runs: Sequence[ActionRun]) -> str:
    first = runs[0]
    if first.action is not Action.START or first.active_after_s is None or first.hook_s is None:
        return ""
    return f", active after {_seconds(first.active_after_s)}"


def judge_run(subject: Subject, run: ActionRun, expected: ExitCode, name: str) -> CheckResult | None:
    """Return the problem of one run of an action: an unexpected code, or a stop with SIGKILL; None: there is none."""
    if run.code == expected:
        return _judge_end(subject, run, name) if run.action is Action.STOP else None
    why = f"Pacemaker {consequence(run.action, run.code, recurring=expected is not ExitCode.NOT_RUNNING)}."
    if run.action is Action.VALIDATE_ALL:
        why = "With these parameters the resource cannot run on this host."
    what = f"{name} returned {_code(run.code)} after {_seconds(run.elapsed_s)}, expected {expected}"
    return subject.error(f"{what}: {run.result.reason or subject.unit}", why, *_fix(subject, run))


def _judge_end(subject: Subject, run: ActionRun, name: str) -> CheckResult | None:
    """Return the problem of a stop: the unit must end on its stop signal, without SIGKILL; None: there is none."""
    limit = "infinity" if subject.stop_timeout_s == math.inf else f"{subject.stop_timeout_s:g}s"
    if run.escalated:
        what = f"{subject.unit} did not stop by itself (TimeoutStopSec={limit}): {name} sent SIGKILL"
    elif run.unit_result == "timeout":
        what = f"systemd killed {subject.unit} after TimeoutStopSec={limit} (Result=timeout) in {name}"
    else:
        return None
    return subject.error(
        f"{what}, which took {_seconds(run.elapsed_s)}, expected that it ends on its stop signal",
        "A process that is killed loses what it has not written, and a failover waits for the timeout.",
        "# Let it end on SIGTERM, set the signal on which it ends, or add an ExecStop= that waits for its end:",
        subject.edit("KillSignal=…"),
        "# If SIGKILL is right, set KillSignal=SIGKILL.",
    )


def _fix(subject: Subject, run: ActionRun) -> tuple[str, ...]:
    reason, debug = run.result.reason or "", subject.debug(run.action)
    if "start-limit-hit" in reason:
        return (subject.edit("StartLimitIntervalSec=0", "Unit"),)
    if subject.hook and reason.startswith("hook"):
        return ("# Fix the hook, or what it checks. To see its output:", debug)
    if run.action is Action.START:
        return ("# Fix the unit. To see how it starts:", debug, f"journalctl -u {shlex.quote(subject.unit)}")
    return ("# To see how it goes:", debug)


def judge_left_behind(subject: Subject, left: Sequence[Leftover]) -> CheckResult:
    """Judge the processes that outlived a stop: there must be none."""
    if not left:
        return subject.ok("no process outlived the stop")
    number = f"{len(left)} process{'es' if len(left) > 1 else ''} of {subject.unit}"
    shown = "; ".join(f"{each.pid} {each.command}" for each in left[:_SHOWN_PROCESSES])
    why = "They may hold a port or a file while the service starts on another node."
    if all(each.has_left_group for each in left):
        return subject.error(
            f"{number} left its control group and outlived its stop, expected none: {shown}",
            f"{why} systemd does not track them any more.",
            "# Start them without systemd-run, su -l or a control group of their own, or end them in ExecStopPost=:",
            subject.edit("ExecStopPost=…"),
        )
    mode = f" (KillMode={subject.kill_mode})" if subject.kill_mode else ""
    return subject.error(
        f"{number} outlived its stop{mode}, expected none: {shown}", why, subject.edit("KillMode=control-group")
    )


def judge_hook_down(subject: Subject, outcomes: tuple[HookOutcome, ...]) -> CheckResult:
    """Judge what the hook returns while the unit is down."""
    hook, when = f"hook {subject.hook_name}", f"while {subject.unit} was down"
    if any(isinstance(each, HookAttempted) and isinstance(each.outcome, TimedOut) for each in outcomes):
        return subject.error(
            f"{hook} did not end {when}, expected exit code 7 at once",
            "A monitor of a service that is down waits until its deadline.",
            "# Give the hook a time limit of its own, and exit code 7 if connections are refused.",
        )
    result = judge_hooks(outcomes, subject.protocol)
    reason = f": {result.reason}" if result.reason else ""
    what = f"{hook} returned {_code(result.code)} {when}, expected 7 (not running){reason}"
    if result.code in {ExitCode.SUCCESS, ExitCode.DEGRADED}:
        return subject.error(
            what,
            "It does not check this service, so it cannot detect that the service is dead.",
            "# Have it query the service itself, on its own address and port; exit with 7 if connections are refused.",
        )
    if result.code in HARD_ERRORS | {ExitCode.ERR_CONFIGURED}:
        return subject.error(
            what,
            f"Pacemaker {consequence(Action.MONITOR, result.code, recurring=True)}.",
            "# Exit with 7 if connections are refused, and with 1 on all other problems,",
            "# or have its exit codes read differently: -o monitor_hook_protocol=plain (or nagios)",
        )
    if subject.stop_verify and result.code != ExitCode.NOT_RUNNING:
        return subject.error(
            what,
            "With stop_verify=yes every stop waits for 7, and fails.",
            "# Exit with 7 if connections are refused, or leave stop_verify at no.",
        )
    return subject.ok(f"returned {result.code}{'' if result.code == ExitCode.NOT_RUNNING else '; 7 is more precise'}")


def judge_restarts(subject: Subject, runs: Sequence[ActionRun]) -> CheckResult:
    """Judge starts and stops that ran in turn, up to the first one that failed."""
    for number, run in enumerate(runs):
        name = f"{run.action} {number // 2 + 1} of {RESTARTS} in a row"
        if failure := judge_run(subject, run, ExitCode.SUCCESS, name):
            return failure
    return subject.ok(f"{RESTARTS} of {RESTARTS}, {_seconds(sum(run.elapsed_s for run in runs) / RESTARTS)} each")


def judge_pair(subject: Subject, runs: Sequence[ActionRun], monitored: ActionRun, expected: ExitCode) -> CheckResult:
    """Judge two concurrent runs of an action, and the monitor afterwards, which must return `expected`."""
    for run in runs:
        if failure := judge_run(subject, run, ExitCode.SUCCESS, f"one of two concurrent {run.action}s"):
            return failure
    if failure := judge_run(subject, monitored, expected, f"the monitor after two concurrent {runs[0].action}s"):
        return failure
    return subject.ok(f"returned {_codes(runs)}, then monitor {monitored.code}")


def judge_stop_in_start(subject: Subject, started: ActionRun, stopped: ActionRun, monitored: ActionRun) -> CheckResult:
    """Judge a stop during a start, as when a cluster changes its decision: the unit must be down afterwards."""
    if failure := judge_run(subject, stopped, ExitCode.SUCCESS, "a stop during a start"):
        return failure
    if failure := judge_run(subject, monitored, ExitCode.NOT_RUNNING, "the monitor after a stop during a start"):
        return failure
    return subject.ok(f"stop returned {stopped.code}, monitor {monitored.code}, start {started.code}")


def judge_killed(subject: Subject, crash: Crash) -> CheckResult:
    """Judge a crash: a monitor must report the crash, and the start that follows must succeed."""
    what = f"{crash.victim} of {subject.unit} was killed, and"
    if crash.started is None and crash.restart not in {"", "no"}:
        return subject.error(
            f"{what} systemd restarted it (Restart={crash.restart}): monitor returned {crash.monitored.code}, "
            "expected 7 or 1",
            "The service restarts without the cluster knowing, which neither counts failures nor fails over.",
            "# Leave order_at_shutdown at yes: its drop-in sets Restart=no while the cluster runs the unit. Or:",
            subject.edit("Restart=no"),
        )
    if crash.started is None:
        fix = "# systemd does not see this crash, only a hook can: add --monitor-hook, such as one of examples/hooks."
        if subject.hook:
            fix = "# Have the hook query the service for a response that only a running service gives."
        return subject.error(
            f"{what} {_seconds(crash.after_s)} later monitor still returned {crash.monitored.code}, expected 7 or 1",
            "The cluster does not recover a service whose crash no monitor reports.",
            fix,
        )
    if failure := judge_run(subject, crash.started, ExitCode.SUCCESS, f"the start after {crash.victim} was killed"):
        return failure
    return subject.ok(
        f"monitor returned {crash.monitored.code} after {_seconds(crash.after_s)}, then start {crash.started.code}"
    )


def judge_frozen(subject: Subject, processes: int, monitored: ActionRun, afterwards: ActionRun | None) -> CheckResult:
    """Judge a hang, in which processes exist but do not respond: a monitor must not report the unit running.

    `processes` is the number of processes that SIGSTOP stopped. `monitored` is the last monitor during the hang,
    `afterwards` is one after SIGCONT, or None if the unit did not run any more, as when systemd's watchdog ended it.
    """
    if monitored.reports_running:
        return _undetected_hang(subject, processes, monitored)
    if afterwards and not afterwards.reports_running:
        reason = f": {afterwards.result.reason}" if afterwards.result.reason else ""
        return subject.error(
            f"monitor returned {_code(afterwards.code)} after the hang was over, expected 0{reason}",
            f"{subject.unit} does not work again once its processes continue.",
            subject.debug(Action.MONITOR),
        )
    how = ", its deadline: the hook has no time limit" if monitored.hook_timed_out else ""
    return subject.ok(f"monitor returned {monitored.code} after {_seconds(monitored.elapsed_s)}{how}")


def _undetected_hang(subject: Subject, processes: int, monitored: ActionRun) -> CheckResult:
    stopped = f"all processes of {subject.unit} ({processes}) were frozen by SIGSTOP"
    what = f"{stopped}, and monitor returned {_code(monitored.code)}, expected a failure"
    if subject.hook:
        return subject.error(
            what,
            f"Hook {subject.hook_name} does not detect a hang, so the cluster does not recover it.",
            "# Have the hook wait for a response of the service itself (a greeting, a page, a PONG). An open port,",
            "# a pid or a file proves nothing: the kernel accepts connections for a process that hangs.",
        )
    return subject.error(
        what,
        "systemd sees that processes exist, not that they work. Without a hook no hang is detected.",
        "# Add a hook with --monitor-hook, such as one of examples/hooks.",
    )


def judge_hook_leftovers(subject: Subject, commands: Sequence[str]) -> CheckResult:
    """Return the problem that hooks left processes running; `commands` are the command lines of these processes."""
    return subject.error(
        f"hook {subject.hook_name} left processes running, expected none: {'; '.join(commands[:_SHOWN_PROCESSES])}",
        "Every monitor leaves more of them.",
        "# Have the hook wait for all processes that it starts, or kill them.",
    )


def judge_restored(subject: Subject, before: UnitFacts, now: UnitFacts) -> CheckResult:
    """Judge whether the unit is in the state in which the rehearsal found it."""
    state = "running" if before.is_running else "stopped"
    if before.is_running is now.is_running:
        return subject.ok(f"{subject.unit} is {state}, as before")
    return subject.error(
        f"{subject.unit} was {state} before, and is {now.active_state or 'in an unknown state'} now",
        "The rehearsal could not restore its state.",
        f"systemctl {'start' if before.is_running else 'stop'} {shlex.quote(subject.unit)}",
    )


def judge_drop_in(subject: Subject, problem: str) -> CheckResult:
    """Return the problem that the agent's drop-in for the unit could not be restored; `problem` is the cause."""
    return subject.error(
        f"the drop-in of {subject.unit} is not as it was: {problem}",
        "At shutdown, systemd may stop the unit before the cluster does, or restart it without the cluster knowing.",
        "# Have the cluster start the resource again, which writes the drop-in.",
    )


def _codes(runs: Iterable[ActionRun]) -> str:
    return " and ".join(str(run.code) for run in runs)


def _code(code: int) -> str:
    return f"{code} ({code_name(code)})"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
