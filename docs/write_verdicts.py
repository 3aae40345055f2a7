"""Writes docs/verdicts.md from what the judgement answers; `nox -s docs` calls it, a test compares."""

from collections.abc import Sequence
from pathlib import Path
from signal import SIGSEGV

from ocf_systemd import judgement
from ocf_systemd.judgement import HookProtocol, Judgement, KeepWaiting, judge_hooks, judge_monitor
from ocf_systemd.observations import (
    ActiveState,
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
)

_HEAD = """\
# How a verdict is reached

Written by `docs/write_verdicts.py`, which asks [`judgement.py`](../src/ocf_systemd/judgement.py); do not edit.

Each action looks at the unit and at its hooks, and judges what it saw by the rules that stand at the head of that
module. The unit outranks the hook: a hook can make the verdict on a running unit worse, never that on a stopped one
better. Nothing but a unit that was seen down, or a hook's own word, makes a 7; in doubt the answer is 1.

## One look

*Waits, then 1* is a look that decides nothing: the action looks again, and answers 1 if it has to at its deadline. A
*probe* is a monitor without interval, by which Pacemaker asks whether the resource runs there at all. *Start* and
*stop* are what they make of such a look once `systemctl start` or `stop` has done its job. The reason is the monitor's;
what Pacemaker does with a code stands in the [reference](reference.md#exit-codes-and-what-pacemaker-does-with-them).
"""

_PROTOCOLS = """\
## What a hook's exit code becomes

By `monitor_hook_protocol`, in the monitor of a unit that runs:
"""

_TOGETHER = """\
## Several hooks

Where `monitor_hook` is a directory. The hooks `a`, `b` and `c` say:
"""

_UNIT = "web.service"
_DONE = JobOutcome(JobResult.DONE)
_ANY = "whatever it says"


def _unit(active: ActiveState, load: LoadState = LoadState.LOADED, result: str = "", main_exit: str = "") -> UnitState:
    return UnitState(_UNIT, load, active, result=result, main_exit=main_exit)


def _exited(code: int, said: bytes = b"", hook: str = "/hooks/web") -> HookRan:
    return HookRan(hook, Exited(0.1, stderr=said, code=code))


_HOOKS: tuple[tuple[str, tuple[HookOutcome, ...]], ...] = (
    ("none, or below its check level", ()),
    ("0", (_exited(0),)),
    ("7", (_exited(7, b"nobody listens"),)),
    ("190", (_exited(190, b"queue is long"),)),
    ("1", (_exited(1, b"no answer"),)),
    ("2", (_exited(2, b"no answer"),)),
    ("5", (_exited(5, b"no curl here"),)),
    ("6", (_exited(6, b"no answer"),)),
    ("is killed by a signal", (HookRan("/hooks/web", Signalled(0.1, signal=SIGSEGV)),)),
    ("nothing in its time", (HookRan("/hooks/web", TimedOut(9.0)),)),
    ("the host is short of something", (HookRan("/hooks/web", NotStarted(11, "Resource temporarily unavailable")),)),
    ("it is not there, or no program", (HookMissing("/hooks/web", "No such file or directory"),)),
    ("it is not safe to run", (HookUnsafe("/hooks/web", "/hooks can be written to by group staff"),)),
)
_RUNNING_BESIDES = (ActiveState.RELOADING, ActiveState.REFRESHING)
_OTHERS: tuple[tuple[str, UnitState | NoAnswer], ...] = (
    ("activating", _unit(ActiveState.ACTIVATING)),
    ("deactivating", _unit(ActiveState.DEACTIVATING)),
    ("inactive", _unit(ActiveState.INACTIVE)),
    ("failed", _unit(ActiveState.FAILED, result="exit-code", main_exit="status=3")),
    ("not-found, inactive", _unit(ActiveState.INACTIVE, LoadState.NOT_FOUND)),
    ("masked, inactive", _unit(ActiveState.INACTIVE, LoadState.MASKED)),
    ("no answer", NoAnswer("Connection timed out")),
)
_STILL_ACTIVE = (("not-found", LoadState.NOT_FOUND), ("masked", LoadState.MASKED))
_CODES = (0, 1, 2, 3, 4, 5, 6, 7, 100, 190)
_SEVERAL = ((0, 0, 0), (0, 190, 0), (7, 7, 7), (0, 7, 190), (0, 1, 7), (3, 1, 190))


def verdicts() -> str:
    """Return the page."""
    return "\n".join((_HEAD, *_looks(), "", _PROTOCOLS, *_protocols(), "", _TOGETHER, *_together(), ""))


def _table(*rows: Sequence[str]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]]


def _looks() -> list[str]:
    looks = [("active", said, Observation(_unit(ActiveState.ACTIVE), hooks)) for said, hooks in _HOOKS]
    looks += [(f"{state}", "0", Observation(_unit(state), (_exited(0),))) for state in _RUNNING_BESIDES]
    looks += [
        (f"{name}, active", "0", Observation(_unit(ActiveState.ACTIVE, load), (_exited(0),)))
        for name, load in _STILL_ACTIVE
    ]
    looks += [(state, _ANY, Observation(unit)) for state, unit in _OTHERS]
    head = ("systemd says", "the hook says", "monitor", "probe", "start", "stop", "reason")
    return _table(head, *((state, said, *_answers(seen)) for state, said, seen in looks))


def _answers(seen: Observation) -> tuple[str, ...]:
    """Return what each action makes of a look, and why the monitor says so."""
    protocol = HookProtocol.OCF
    monitor = judge_monitor(seen, probe=False, protocol=protocol)
    probe = judge_monitor(seen, probe=True, protocol=protocol)
    stop = judgement.judge_stop(seen, _DONE, verify=False, protocol=protocol)
    told = [_cell(each) for each in (monitor, probe, _start(seen), stop)]
    return (*told, _reason(monitor))


def _start(seen: Observation) -> Judgement:
    """Return what start makes of it, which may be that there is nothing to ask systemd for."""
    refusal = judgement.judge_start_request(seen.unit) if isinstance(seen.unit, UnitState) else judgement.RUNNING
    return refusal if refusal.code else judgement.judge_start(seen, _DONE, HookProtocol.OCF)


def _cell(judged: Judgement) -> str:
    return f"waits, then {int(judged.at_deadline.code)}" if isinstance(judged, KeepWaiting) else f"{int(judged.code)}"


def _reason(judged: Judgement) -> str:
    verdict = judged.at_deadline if isinstance(judged, KeepWaiting) else judged
    return verdict.reason or ""


def _protocols() -> list[str]:
    rows = [
        (f"{code}", *(f"{int(judge_hooks((_exited(code),), protocol).code)}" for protocol in HookProtocol))
        for code in _CODES
    ]
    return _table(("exit code", *(f"`{protocol}`" for protocol in HookProtocol)), *rows)


def _together() -> list[str]:
    rows = []
    for codes in _SEVERAL:
        hooks = tuple(_exited(code, hook=f"/hooks/{name}") for name, code in zip("abc", codes, strict=True))
        verdict = judge_hooks(hooks, HookProtocol.OCF)
        rows.append((", ".join(map(str, codes)), f"{int(verdict.code)}", verdict.reason or ""))
    return _table(("say", "together", "reason"), *rows)


if __name__ == "__main__":
    Path(__file__).with_name("verdicts.md").write_text(verdicts(), encoding="utf-8")
