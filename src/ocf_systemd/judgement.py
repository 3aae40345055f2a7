"""What observations mean for the cluster: pure functions from facts to a `Verdict` or to `KeepWaiting`.

The rules, in the order in which they bind:

1. Never 7 unless the unit was observed stopped, or the hook said 7. Never 0 from stop unless observed stopped.
2. The unit outranks the hook: a hook can make a running unit's verdict worse, never a stopped unit's better.
3. A unit between two states, and a systemd that does not answer, are waited for; at the deadline the answer is 1.
4. A unit that is not found is 7 to a probe, 5 otherwise; to stop it is stopped. While it still runs (its file was
   removed under it) it is judged by its ActiveState, as a masked one is. A probe of a unit that runs is never 5:
   Pacemaker would record it as stopped.
5. Among several hooks any failure wins, the first by name; 7 from some but not all is a failure of its own.
6. Start answers 0 when the unit runs and the hook passes (0 or 190), gives up at once when nothing will change any
   more, and never answers 7.

Sources: the OCF resource agent API 1.1; systemd's org.freedesktop.systemd1(5); Pacemaker Explained, "How Pacemaker
Interprets OCF Return Codes".
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

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
    NotStarted,
    Observation,
    Signalled,
    TimedOut,
    UnitState,
    printable,
)
from ocf_systemd.ocf import ExitCode, Verdict
from ocf_systemd.records import Record, replace

RUNNING = Verdict(ExitCode.SUCCESS)
PASSING_CODES = frozenset({ExitCode.SUCCESS, ExitCode.DEGRADED})
"""A hook that says one of these says: running."""

JOURNAL_LINE_LIMIT = 300
"""Characters of a journal line, or of a hook's, that a reason has room for."""


class HookProtocol(StrEnum):
    """How a hook's exit code is read."""

    OCF = "ocf"
    NAGIOS = "nagios"
    PLAIN = "plain"


# The code each exit code stands for; ocf passes codes on as they are, the others turn what is not listed into 1.
PROTOCOL_CODES: Mapping[HookProtocol, Mapping[int, int]] = MappingProxyType(
    {
        HookProtocol.NAGIOS: {
            0: ExitCode.SUCCESS,
            1: ExitCode.DEGRADED,
            2: ExitCode.ERR_GENERIC,
            3: ExitCode.ERR_GENERIC,
        },
        HookProtocol.PLAIN: {0: ExitCode.SUCCESS},
    }
)


_MEANINGS: Mapping[int, str] = MappingProxyType(
    {ExitCode.NOT_RUNNING: " (not running)", ExitCode.DEGRADED: " (degraded)"}
)


class KeepWaiting(Record):
    """No verdict yet: look again, and answer `at_deadline` when there is no time left to."""

    at_deadline: Verdict


Judgement = Verdict | KeepWaiting


def judge_monitor(seen: Observation, *, probe: bool, protocol: HookProtocol) -> Judgement:
    """Judge one look at the unit and its hooks; a probe asks whether the unit runs, not why it does not."""
    match seen.unit:
        case NoAnswer() as silence:
            return KeepWaiting(judge_silence(silence))
        case UnitState(is_running=True):
            return _judge_running(judge_hooks(seen.hooks, protocol), probe=probe)
        case UnitState(is_down=True, load_state=LoadState.NOT_FOUND) as unit if not probe:
            return Verdict(ExitCode.ERR_INSTALLED, _not_found(unit))
        case UnitState(is_down=True) as unit:
            return Verdict(ExitCode.NOT_RUNNING, None if probe else _not_active(unit))
        case unit:
            return KeepWaiting(Verdict(ExitCode.ERR_GENERIC, _not_active(unit)))


def _judge_running(verdict: Verdict, *, probe: bool) -> Verdict:
    # Pacemaker records a probe's 5 as "stopped", and the unit runs.
    if probe and verdict.code == ExitCode.ERR_INSTALLED:
        return replace(verdict, code=ExitCode.ERR_GENERIC)
    return verdict


def judge_start_request(unit: UnitState) -> Verdict:
    """Judge whether a start can be asked for at all: 0, go on."""
    match unit:
        case UnitState(is_running=False, load_state=LoadState.NOT_FOUND):
            return Verdict(ExitCode.ERR_INSTALLED, _not_found(unit))
        case UnitState(load_state=LoadState.MASKED):
            return Verdict(ExitCode.ERR_INSTALLED, f"{unit.unit} is masked, expected a unit that can be started")
        case UnitState(is_running=False, load_state=LoadState.BAD_SETTING | LoadState.ERROR):
            return Verdict(ExitCode.ERR_INSTALLED, _not_loaded(unit))
        case _:
            return RUNNING


def judge_start(seen: Observation, job: JobOutcome, protocol: HookProtocol) -> Judgement:
    """Judge one look after `systemctl start`, which ended with `job`."""
    match seen.unit:
        case NoAnswer() as silence:
            return KeepWaiting(judge_silence(silence))
        case UnitState(is_running=True):
            return _judge_started_hooks(seen.hooks, protocol)
        case UnitState(is_down=True, has_job=False) as unit:
            return _judge_failed_start(unit, job)
        case unit:
            return KeepWaiting(Verdict(ExitCode.ERR_GENERIC, _not_active(unit)))


def _judge_started_hooks(hooks: tuple[HookOutcome, ...], protocol: HookProtocol) -> Judgement:
    if hindered := tuple(hook for hook in hooks if isinstance(hook, HookMissing | HookUnsafe)):
        return judge_hooks(hindered, protocol)  # waiting will not mend it
    verdict = judge_hooks(hooks, protocol)
    if verdict.code in PASSING_CODES:
        return RUNNING
    return KeepWaiting(Verdict(ExitCode.ERR_GENERIC, verdict.reason))


def _judge_failed_start(unit: UnitState, job: JobOutcome) -> Judgement:
    if job.result is JobResult.LOST:  # a unit that is failed then is so from before
        why = f"{unit.unit} is {unit.active_state}, expected active; systemctl start: {job.said or 'no job was queued'}"
        return KeepWaiting(Verdict(ExitCode.ERR_GENERIC, why))
    code = ExitCode.ERR_PERM if job.result is JobResult.REFUSED else ExitCode.ERR_GENERIC
    return Verdict(code, _not_active(unit, _told_of_job(unit, job)))


def _told_of_job(unit: UnitState, job: JobOutcome) -> str:
    match job.result:
        case JobResult.DONE if not unit.condition_met:
            return "start job done, condition not met"
        case JobResult.DONE:
            return "start job done"
        case JobResult.DEPENDENCY:
            return "start job: dependency failed"
        case JobResult.REFUSED:
            return f"start refused: {job.said}"
        case _:
            return f"start job: {job.result}"


def judge_stop(seen: Observation, job: JobOutcome, *, verify: bool, protocol: HookProtocol) -> Judgement:
    """Judge one look after `systemctl stop`; `verify` waits for the hook as well to see nothing running."""
    match seen.unit:
        case NoAnswer() as silence:
            return KeepWaiting(judge_silence(silence))
        case UnitState(is_down=True, has_job=True) as unit if job.result is JobResult.LOST:
            return KeepWaiting(
                Verdict(
                    ExitCode.ERR_GENERIC, f"{unit.unit} is {_state(unit)} with a job queued, expected none: {job.said}"
                )
            )
        case UnitState(is_down=True) if verify:
            return _judge_stopped_hooks(seen.hooks, protocol)
        case UnitState(is_down=True):
            return Verdict(ExitCode.SUCCESS)
        case unit:
            told = quoting(f"{unit.unit} is {_state(unit)}, expected inactive", job.said)
            refused = job.result is JobResult.REFUSED
            return KeepWaiting(Verdict(ExitCode.ERR_PERM if refused else ExitCode.ERR_GENERIC, told))


def _judge_stopped_hooks(hooks: tuple[HookOutcome, ...], protocol: HookProtocol) -> Judgement:
    # A hook that cannot be run will never say 7, and a stop that fails for it would fence the node.
    able = tuple(hook for hook in hooks if isinstance(hook, HookRan))
    verdict = judge_hooks(able, protocol)
    if not able or verdict.code == ExitCode.NOT_RUNNING:
        return Verdict(ExitCode.SUCCESS)
    said = verdict.reason or f"hook {printable(able[0].hook)} says running"
    return KeepWaiting(Verdict(ExitCode.ERR_GENERIC, f"{said}, expected not running after stop"))


def judge_reload_request(unit: UnitState) -> Verdict:
    """Judge whether a running unit can be asked to reload: 0, go on."""
    if unit.can_reload:
        return RUNNING
    return Verdict(ExitCode.ERR_UNIMPLEMENTED, f"{unit.unit} cannot reload: it has no ExecReload=")


def judge_reload(job: JobOutcome, monitored: Verdict, unit: str) -> Verdict:
    """Judge a reload by the monitor that followed; where that is content, by the reload's job."""
    if monitored.code not in PASSING_CODES or job.result is JobResult.DONE:
        return monitored
    return Verdict(ExitCode.ERR_GENERIC, f"{unit} was not reloaded (reload job: {job.result}): {job.said}")


def judge_host(unit: UnitState, problems: tuple[HookOutcome, ...]) -> Verdict:
    """Judge whether this host has what the parameters name: a unit that loads, hooks that are there and safe."""
    refusal = judge_start_request(unit)
    return refusal if refusal.code != ExitCode.SUCCESS else judge_hooks(problems, HookProtocol.OCF)


def judge_silence(silence: NoAnswer) -> Verdict:
    """Judge a systemd that does not say what state the unit is in; in doubt is not stopped."""
    return Verdict(ExitCode.ERR_GENERIC, f"systemd does not answer: {silence.why}")


def judge_hooks(hooks: tuple[HookOutcome, ...], protocol: HookProtocol) -> Verdict:
    """Judge what all hooks say together, in the order of their names; no hooks: content."""
    judged = [(printable(hook.hook), judge_hook(hook, protocol)) for hook in hooks]
    for _, verdict in judged:
        if verdict.code not in PASSING_CODES | {ExitCode.NOT_RUNNING}:
            return verdict
    down = [name for name, verdict in judged if verdict.code == ExitCode.NOT_RUNNING]
    if down and len(down) < len(judged):
        up = [name for name, verdict in judged if verdict.code in PASSING_CODES]
        told = f"hooks disagree: {_base_names(down)} says not running, {_base_names(up)} says running"
        return Verdict(ExitCode.ERR_GENERIC, told)
    return max((verdict for _, verdict in judged), key=lambda verdict: verdict.code, default=RUNNING)


def _base_names(paths: list[str]) -> str:
    return ", ".join(path.rpartition("/")[2] for path in paths)


def judge_hook(hook: HookOutcome, protocol: HookProtocol) -> Verdict:
    """Judge what one hook says."""
    name = printable(hook.hook)
    match hook:
        case HookRan(outcome=outcome):
            return _judge_outcome(name, outcome, protocol)
        case HookMissing(why=why):
            return Verdict(ExitCode.ERR_INSTALLED, f"hook {name} cannot be run: {printable(why)}")
        case HookUnsafe(why=why):
            return Verdict(ExitCode.ERR_PERM, f"hook {name} is not safe to run: {printable(why)}")
        case _:
            assert_never(hook)


def _judge_outcome(name: str, outcome: CommandOutcome, protocol: HookProtocol) -> Verdict:
    match outcome:
        case Exited():
            return _judge_exit(name, outcome, protocol)
        case Signalled():
            return _failed(f"hook {name} died by {outcome.signal_name}, expected exit code 0", outcome.last_line)
        case TimedOut():
            told = f"hook {name} timed out after {outcome.elapsed_s:.1f} s, expected exit code 0"
            return _failed(told, outcome.last_line)
        case NotStarted(why=why):
            return _failed(f"hook {name} could not be started: {why}")
        case _:
            assert_never(outcome)


def _judge_exit(name: str, ended: Exited, protocol: HookProtocol) -> Verdict:
    codes = PROTOCOL_CODES.get(protocol)
    code = ended.code if codes is None else codes.get(ended.code, ExitCode.ERR_GENERIC)
    if code == ExitCode.SUCCESS:
        return RUNNING
    told = f"hook {name} exited with {ended.code}{_MEANINGS.get(code, '')}, expected 0"
    return replace(_failed(told, ended.last_line), code=code)


def _failed(told: str, said: str = "") -> Verdict:
    return Verdict(ExitCode.ERR_GENERIC, quoting(told, said))


def quoting(told: str, said: str) -> str:
    """Return a reason that ends in what a hook or the journal said, as far as there is room for it."""
    return f"{told}: {said[:JOURNAL_LINE_LIMIT]}" if said else told


def _not_found(unit: UnitState) -> str:
    return f"{unit.unit} is not found, expected an installed unit"


def _not_loaded(unit: UnitState) -> str:
    return f"{unit.unit} does not load (LoadState={unit.load_state}), expected a valid unit file"


def _not_active(unit: UnitState, *told: str) -> str:
    return f"{unit.unit} is {_state(unit, *told)}, expected active"


def _state(unit: UnitState, *told: str) -> str:
    """Tell a state with all that explains it: "failed (Result=exit-code, status=1)"."""
    explained = [*told]
    if unit.active_state is ActiveState.FAILED or unit.result not in {"", "success"}:
        explained += [f"Result={unit.result}"] if unit.result else []
        explained += [unit.main_exit] if unit.main_exit else []
    elif unit.sub_state not in {"", unit.active_state, "dead"}:
        explained.append(unit.sub_state)
    return f"{unit.active_state} ({', '.join(explained)})" if explained else unit.active_state
