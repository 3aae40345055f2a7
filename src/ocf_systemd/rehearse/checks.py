"""What was seen in each scene, against what a cluster needs: pure functions from facts to an `Outcome`.

A failure's words are subject, observation, expectation; its remedy what to do on this host about it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.judgement import judge_hooks
from ocf_systemd.core.observations import HookOutcome, HookRan, TimedOut
from ocf_systemd.core.ocf import Action, ExitCode, code_name
from ocf_systemd.core.text import printable
from ocf_systemd.rehearse.facts import Done, Frozen, Killed, LeftBehind, StopWhileStarting
from ocf_systemd.rehearse.scenarios import RESTARTS, Failed, Outcome, Passed

_ORDINALS = ("first", "second")
_SHOWN_LEFT = 3
# Pacemaker Explained, "How Pacemaker Interprets OCF Return Codes": hard and fatal errors.
_HARD = frozenset({ExitCode.ERR_ARGS, ExitCode.ERR_UNIMPLEMENTED, ExitCode.ERR_PERM, ExitCode.ERR_INSTALLED})


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom the words are about: the unit by its full name, its hook if it has one, and some of its settings."""

    unit: str
    hook: str | None = None
    protocol: HookProtocol = HookProtocol.OCF
    stop_verify: bool = False
    kill_mode: str = ""
    stop_timeout_s: float | None = None

    @property
    def hook_name(self) -> str:
        """The hook, without the directories on the way to it."""
        return printable((self.hook or "").rstrip("/").rpartition("/")[2])

    def debug(self, action: Action) -> str:
        """Return the command that shows how an action goes."""
        hook = f" --monitor-hook {printable(self.hook)}" if self.hook else ""
        return f"ocf-systemd debug {action} --unit {self.unit}{hook}"

    def drop_in(self, *lines: str) -> str:
        """Return the words for a change of the unit's settings."""
        return f"`systemctl edit {self.unit}`, then {' '.join(lines)}"


def judge_twice(subject: Subject, dones: Sequence[Done], expected: ExitCode = ExitCode.SUCCESS) -> Outcome:
    """Judge an action that was done twice in a row: every action is to be idempotent."""
    for ordinal, done in zip(_ORDINALS, dones, strict=True):
        if failure := judge_done(subject, done, expected, f"the {ordinal} {done.action}"):
            return failure
    slowest = max(dones, key=lambda done: done.elapsed_s)
    return Passed(f"{_codes(dones)} in {_seconds(slowest.elapsed_s)}{_describe_hook(dones)}{_told_of_readiness(dones)}")


def _describe_hook(dones: Iterable[Done]) -> str:
    taken_s = [done.hook_s for done in dones if done.hook_s is not None and done.action is Action.MONITOR]
    is_up = all(done.is_success for done in dones)
    return f", the hook {_seconds(max(taken_s))}" if taken_s and is_up else ""


def _told_of_readiness(dones: Iterable[Done]) -> str:
    first = next(iter(dones))
    if first.action is not Action.START or first.active_after_s is None or first.hook_s is None:
        return ""
    return f", active after {_seconds(first.active_after_s)}"


def judge_done(subject: Subject, done: Done, expected: ExitCode, name: str) -> Failed | None:
    """Judge one action; None: it answered as expected."""
    if done.code == expected:
        return _judge_end(subject, done, name) if done.action is Action.STOP else None
    told = f"{name} answered {_code(done.code)} after {_seconds(done.elapsed_s)}, expected {expected}"
    return Failed(f"{told}: {done.result.reason or subject.unit}", _remedy(subject, done))


def _judge_end(subject: Subject, done: Done, name: str) -> Failed | None:
    """Judge how a unit went down: what has to be killed loses what it had not written, and takes long to fail over."""
    remedy = (
        f"let it end on SIGTERM, or name the signal it ends on, or an ExecStop= that waits for the end: "
        f"{subject.drop_in('[Service]', 'KillSignal=…')}; where SIGKILL is right, say KillSignal=SIGKILL"
    )
    if done.sent_kill:
        told = f"{subject.unit} did not stop: {name} sent SIGKILL and took {_seconds(done.elapsed_s)} in all"
        return Failed(f"{told}, expected that it ends when it is told to (TimeoutStopSec={_span(subject)})", remedy)
    if done.unit_result == "timeout":
        told = f"systemd had to kill {subject.unit} after TimeoutStopSec={_span(subject)} (Result=timeout)"
        return Failed(
            f"{told}: {name} took {_seconds(done.elapsed_s)}, expected that it ends when it is told to", remedy
        )
    return None


def _remedy(subject: Subject, done: Done) -> str:
    reason = done.result.reason or ""
    if "start-limit-hit" in reason:
        return f"a failover must not be refused: {subject.drop_in('[Unit]', 'StartLimitIntervalSec=0')}"
    shows = f"`{subject.debug(done.action)}` shows"
    if subject.hook and reason.startswith("hook"):
        return f"mend the hook, or what it asks: {shows} what it says"
    return _REMEDIES.get(done.action, "{shows} how it goes").format(shows=shows, unit=subject.unit)


_REMEDIES = {
    Action.START: "mend the unit: {shows} how it goes, `journalctl -u {unit}` what it says",
    Action.STOP: "a failed stop fences the node: {shows} what it waits for",
    Action.VALIDATE_ALL: "mend what it names: nothing else makes sense before",
}


def judge_left_behind(subject: Subject, left: Sequence[LeftBehind]) -> Outcome:
    """Judge what outlived a stop: what still holds a port or a file while the service starts on another node."""
    if not left:
        return Passed("its control group is empty")
    inside = [each for each in left if not each.elsewhere]
    many = f"{len(left)} process{'es' if len(left) > 1 else ''}"
    shown = "; ".join(f"{each.pid} {each.words}" for each in left[:_SHOWN_LEFT])
    if inside:
        mode = f" (KillMode={subject.kill_mode})" if subject.kill_mode else ""
        told = f"{many} of {subject.unit} outlived its stop{mode}, expected none: {shown}"
        return Failed(told, f"have systemd end them all: {subject.drop_in('[Service]', 'KillMode=control-group')}")
    told = f"{many} of {subject.unit} left its control group and outlived its stop, expected none: {shown}"
    return Failed(
        told,
        "systemd no longer knows them: have the service start them without systemd-run, su -l or a cgroup of their own,"
        f" or an ExecStopPost= end them: {subject.drop_in('[Service]', 'ExecStopPost=…')}",
    )


def judge_hook_down(subject: Subject, outcomes: tuple[HookOutcome, ...]) -> Outcome:
    """Judge what the hook says while the unit is down."""
    result = judge_hooks(outcomes, subject.protocol)
    says = f"hook {subject.hook_name} says {_code(result.code)} while {subject.unit} is down"
    cut = [outcome for outcome in outcomes if isinstance(outcome, HookRan) and isinstance(outcome.outcome, TimedOut)]
    if cut:
        return Failed(
            f"hook {subject.hook_name} does not end while {subject.unit} is down, expected 7 at once",
            "give the hook a time limit of its own, and exit code 7 where nobody answers: it may wait for ever now",
        )
    if result.code in {ExitCode.SUCCESS, ExitCode.DEGRADED}:
        return Failed(
            f"{says}, expected 7 (not running): it does not ask this service, so it cannot tell that it is dead",
            "have it ask the service itself, as on its own address and port, and exit with 7 where nobody answers",
        )
    if result.code in _HARD | {ExitCode.ERR_CONFIGURED}:
        harm = "a hard error (the resource may not run on this node until cleanup)"
        if result.code == ExitCode.ERR_CONFIGURED:
            harm = "a fatal error (it stops the resource on every node)"
        return Failed(
            f"{says}, expected 7 (not running): to Pacemaker that code is {harm}{_reason(result.reason)}",
            "exit with 7 where nobody answers, 1 for all else; or have its codes read otherwise: "
            "-o monitor_hook_protocol=plain (or nagios)",
        )
    if subject.stop_verify and result.code != ExitCode.NOT_RUNNING:
        return Failed(
            f"{says}, expected 7 (not running): with stop_verify=yes every stop waits for that, and fails",
            "exit with 7 where nobody answers, or leave stop_verify at no",
        )
    return Passed("says 7" if result.code == ExitCode.NOT_RUNNING else f"says {result.code}; 7 would tell more")


def judge_restarts(subject: Subject, dones: Sequence[Done]) -> Outcome:
    """Judge starts and stops in turn, up to the first that failed."""
    for number, done in enumerate(dones):
        name = f"{done.action} {number // 2 + 1} of {RESTARTS} in a row"
        if failure := judge_done(subject, done, ExitCode.SUCCESS, name):
            return failure
    return Passed(f"{RESTARTS} of {RESTARTS}, {_seconds(sum(done.elapsed_s for done in dones) / RESTARTS)} each")


def judge_pair(subject: Subject, dones: Sequence[Done], monitored: Done, expected: ExitCode) -> Outcome:
    """Judge two of the same at once, and the monitor afterwards."""
    for done in dones:
        if failure := judge_done(subject, done, ExitCode.SUCCESS, f"one of two {done.action}s at once"):
            return failure
    if failure := judge_done(subject, monitored, expected, f"the monitor after two {dones[0].action}s at once"):
        return failure
    return Passed(f"{_codes(dones)}, then monitor {monitored.code}")


def judge_stop_while_starting(subject: Subject, seen: StopWhileStarting) -> Outcome:
    """Judge a stop that overtakes a start, as when a cluster changes its mind: the stop is to win."""
    if failure := judge_done(subject, seen.stopped, ExitCode.SUCCESS, "a stop while it starts"):
        return failure
    if failure := judge_done(subject, seen.monitored, ExitCode.NOT_RUNNING, "the monitor after a stop while it starts"):
        return failure
    return Passed(f"stop {seen.stopped.code}, monitor {seen.monitored.code}; the start said {seen.started.code}")


def judge_killed(subject: Subject, seen: Killed) -> Outcome:
    """Judge a crash: monitor has to tell it, and a start to mend it."""
    if seen.started is None and seen.restart not in {"", "no"}:
        told = f"{seen.victim} of {subject.unit} was killed, and systemd started it again (Restart={seen.restart})"
        return Failed(
            f"{told}: monitor answers {seen.monitored.code}, expected 7 or 1 and that the cluster decides what is next",
            "leave order_at_shutdown at yes, whose drop-in says Restart=no while the cluster has the unit; or "
            f"{subject.drop_in('[Service]', 'Restart=no')}",
        )
    if seen.started is None:
        told = f"{seen.victim} of {subject.unit} was killed, and {_seconds(seen.after_s)} later monitor still answers "
        return Failed(f"{told}{seen.monitored.code}, expected 7 or 1", _remedy_of_blindness(subject))
    if failure := judge_done(subject, seen.started, ExitCode.SUCCESS, f"the start after {seen.victim} was killed"):
        return failure
    return Passed(f"{seen.monitored.code} after {_seconds(seen.after_s)}, then start {_codes((seen.started,))}")


def _remedy_of_blindness(subject: Subject) -> str:
    if subject.hook:
        return "have the hook ask the service for an answer that only a living one gives"
    return "systemd does not see it, only a hook can: --monitor-hook, as one of examples/hooks"


def judge_frozen(subject: Subject, seen: Frozen) -> Outcome:
    """Judge a hang: processes that exist and do nothing, which only a hook can tell from a service that works."""
    if seen.monitored.says_running:
        told = f"all processes of {subject.unit} ({seen.processes}) were frozen by SIGSTOP, and monitor answered"
        return Failed(
            f"{told} {_code(seen.monitored.code)} {_why_unnoticed(subject)}, expected a failure",
            _remedy_of_deafness(subject),
        )
    if seen.afterwards and not seen.afterwards.says_running:
        told = f"{subject.unit} answers {_code(seen.afterwards.code)} after a hang that has passed, expected 0"
        told += _reason(seen.afterwards.result.reason)
        return Failed(told, f"`{subject.debug(Action.MONITOR)}` tells why")
    how = ", cut off: the hook has no time limit" if seen.monitored.hook_cut else ""
    return Passed(f"{seen.monitored.code} after {_seconds(seen.monitored.elapsed_s)}{how}")


def _why_unnoticed(subject: Subject) -> str:
    if subject.hook:
        return f"all the same: hook {subject.hook_name} does not notice a hang"
    return "all the same: systemd sees that processes exist, not that they work"


def _remedy_of_deafness(subject: Subject) -> str:
    if subject.hook:
        return (
            "have the hook wait for an answer of the service itself (a greeting, a page, a PONG): a port that accepts, "
            "a pid or a file prove nothing, for the kernel accepts on behalf of a process that hangs"
        )
    return "without a hook a hang is never noticed: give it one with --monitor-hook, as one of examples/hooks"


def judge_strays(subject: Subject, strays: Sequence[str]) -> Failed:
    """Judge what hooks have left running."""
    return Failed(
        f"hook {subject.hook_name} left a process behind, expected none: {'; '.join(strays[:_SHOWN_LEFT])}",
        "have it wait for all it starts, or kill it: every monitor would leave one more",
    )


def _codes(dones: Iterable[Done]) -> str:
    return " ".join(str(done.code) for done in dones)


def _reason(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _code(code: int) -> str:
    return f"{code} ({code_name(code)})"


def _span(subject: Subject) -> str:
    return "infinity" if subject.stop_timeout_s is None else f"{subject.stop_timeout_s:g}s"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
