"""Writes docs/results.md: the results that `core/judgement` returns for observations that are made up here.

`nox -s docs` runs this script; a test fails if the page differs from what the script would write.
"""

from collections.abc import Sequence
from pathlib import Path
from signal import SIGSEGV

from ocf_systemd.core import judgement
from ocf_systemd.core.hook_protocol import HookProtocol
from ocf_systemd.core.judgement import Judgement, KeepWaiting, judge_hooks, judge_monitor
from ocf_systemd.core.observations import (
    ActiveState,
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
    NotStarted,
    Observation,
    Process,
    Signalled,
    TimedOut,
    UnitDetails,
    UnitState,
)
from ocf_systemd.core.ocf import Action
from ocf_systemd.core.records import replace

_HEAD = """\
# How a result is reached

Written by `tools/write_results.py`, from [`judgement.py`](../src/ocf_systemd/core/judgement.py); do not edit.

Each action observes the unit and its hooks, and applies the rules at the head of that module. The unit outranks the
hook: a hook can make the result of an active unit worse, but never that of an inactive unit better. The result is 7
only if the unit was observed down, or if its hook reported 7 in a recurring monitor or at the end of a reload. Without
a valid `unit`, a probe returns 7 and a stop returns 0. If in doubt, the result is 1.

## One observation

An *observation* is one query of the unit with one run of its hooks. *Waits, then 1* means that the observation does not
decide: the action observes unit and hooks again, and returns this code if nothing has changed at the agent deadline,
shortly before Pacemaker's timeout. A *probe* is a monitor without interval, or one with `role=Stopped`: Pacemaker
learns from a probe where the resource runs. The columns *start*, *stop* and *reload* have the result of the first
observation after `systemctl start`, `stop` or `reload` has succeeded. In the column *start*, 4 and 5 come from the
check before the start. The column *reason* has the monitor's reason. Pacemaker's response to each code is in the
[reference](reference.md#exit-codes-and-what-pacemaker-does-with-them).

A reload of a unit that is not active first waits as a recurring monitor does. If the unit becomes active and its hooks
pass, the reload takes place; otherwise the reload returns the monitor's result. A reload of a unit without
`ExecReload=` returns 3; Pacemaker itself does not call `reload`. A start or stop that systemd refuses because access is
denied returns 4 instead of 1.
"""

_PROTOCOLS = """\
## What a hook's exit code becomes

The table has the result of a recurring monitor of a running unit, for each `monitor_hook_protocol`. In a probe, a
result of 2 to 7 becomes 1. A start succeeds only with a result of 0 or 190.
"""

_TOGETHER = """\
## Several hooks

If `monitor_hook` is a directory with the hooks `a`, `b` and `c`, a recurring monitor returns:
"""

_UNBOOTED = """\
## A host that systemd did not boot

In a container or on a remote node whose PID 1 is not systemd (`sd_booted(3)`) no unit can run.
"""

_UNIT = "web.service"
_DONE = JobOutcome(JobResult.DONE)
_ANY = "any"


def _unit(active: ActiveState, load: LoadState = LoadState.LOADED, result: str = "", main_exit: str = "") -> UnitState:
    return UnitState(_UNIT, load, active, result=result, main_exit=main_exit)


def _with_processes(unit: UnitState, kill_mode: str, *others: Process, main: Process | None = None) -> UnitState:
    return replace(unit, details=UnitDetails(_UNIT, kill_mode=kill_mode), main_process=main, processes=others)


def _exited(code: int, stderr: bytes = b"", hook: str = "/hooks/web") -> HookAttempted:
    return HookAttempted(hook, Exited(0.1, stderr=stderr, code=code))


_SLEEP, _LS = Process(812, 0, "sleep"), Process(813, 0, "ls", is_uninterruptible=True)
_INACTIVE, _FAILED = _unit(ActiveState.INACTIVE), _unit(ActiveState.FAILED, result="timeout")

_HOOKS: tuple[tuple[str, tuple[HookOutcome, ...]], ...] = (
    ("none, or not run at this check level", ()),
    ("0", (_exited(0),)),
    ("7", (_exited(7, b"connection refused"),)),
    ("190", (_exited(190, b"queue too long"),)),
    ("1", (_exited(1, b"no answer"),)),
    ("2", (_exited(2, b"no answer"),)),
    ("5", (_exited(5, b"curl not found"),)),
    ("6", (_exited(6, b"no answer"),)),
    ("8", (_exited(8, b"server error"),)),
    ("9", (_exited(9, b"server error"),)),
    ("191", (_exited(191, b"server error"),)),
    ("42", (_exited(42, b"no answer"),)),
    ("killed by a signal", (HookAttempted("/hooks/web", Signalled(0.1, signal=SIGSEGV)),)),
    ("timed out", (HookAttempted("/hooks/web", TimedOut(9.0)),)),
    ("timed out, cannot be killed", (HookAttempted("/hooks/web", TimedOut(9.0, survivors=(_LS,))),)),
    ("not started: its last run cannot be killed", (HookStuck("/hooks/web", _LS),)),
    (
        "not started: the host is short of processes",
        (HookAttempted("/hooks/web", NotStarted(11, "Resource temporarily unavailable")),),
    ),
    ("missing, or not executable", (HookMissing("/hooks/web", "No such file or directory"),)),
    ("not safe to run", (HookUnsafe("/hooks/web", "/hooks is writable by group 50"),)),
)
_RUNNING_TOO = (ActiveState.RELOADING, ActiveState.REFRESHING)
_OTHERS: tuple[tuple[str, UnitState | NoAnswer], ...] = (
    ("activating", _unit(ActiveState.ACTIVATING)),
    ("deactivating", _unit(ActiveState.DEACTIVATING)),
    ("inactive", _INACTIVE),
    ("inactive, a start job queued", replace(_INACTIVE, has_job=True)),
    ("failed", _unit(ActiveState.FAILED, result="exit-code", main_exit="status 3")),
    ("inactive, its main process alive", _with_processes(_INACTIVE, "process", main=_SLEEP)),
    ("inactive, processes alive (`KillMode=control-group`, `mixed`)", _with_processes(_INACTIVE, "mixed", _SLEEP)),
    ("failed, processes alive, one in state D", _with_processes(_FAILED, "control-group", _SLEEP, _LS)),
    ("inactive, processes alive (`KillMode=process`, `none`)", _with_processes(_INACTIVE, "process", _SLEEP)),
    ("not-found, inactive", _unit(ActiveState.INACTIVE, LoadState.NOT_FOUND)),
    ("masked, inactive", _unit(ActiveState.INACTIVE, LoadState.MASKED)),
    ("systemd does not respond", NoAnswer("Connection timed out")),
)
_STILL_ACTIVE = (("not-found", LoadState.NOT_FOUND), ("masked", LoadState.MASKED))
_CODES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100, 190, 191)
_SEVERAL = ((0, 0, 0), (0, 190, 0), (7, 7, 7), (0, 7, 190), (0, 1, 7), (3, 1, 190), (0, 8, 7))


def results() -> str:
    """Return the text of docs/results.md."""
    parts = ((_HEAD, _polls), (_PROTOCOLS, _protocols), (_TOGETHER, _together), (_UNBOOTED, _unbooted))
    return "\n".join(line for text, table in parts for line in (text, *table(), ""))


def _table(*rows: Sequence[str]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]]


def _polls() -> list[str]:
    polls = [("active", code, Observation(_unit(ActiveState.ACTIVE), hooks)) for code, hooks in _HOOKS]
    polls += [(f"{state}", "0", Observation(_unit(state), (_exited(0),))) for state in _RUNNING_TOO]
    polls += [
        (f"{name}, active", "0", Observation(_unit(ActiveState.ACTIVE, load), (_exited(0),)))
        for name, load in _STILL_ACTIVE
    ]
    polls += [(state, _ANY, Observation(unit)) for state, unit in _OTHERS]
    head = ("unit", "hook exits with", "monitor", "probe", "start", "stop", "reload", "reason")
    return _table(head, *((state, code, *_results(observed)) for state, code, observed in polls))


def _results(observed: Observation) -> tuple[str, ...]:
    """Return the cells of a row: the result that each action returns after this poll, and the reason of the monitor."""
    protocol = HookProtocol.OCF
    monitor = judge_monitor(observed, probe=False, protocol=protocol)
    probe = judge_monitor(observed, probe=True, protocol=protocol)
    stop = judgement.judge_stop(observed, _DONE, verify=False, protocol=protocol)
    reload = judgement.judge_reload(observed, _DONE, protocol)
    cells = [_cell(each) for each in (monitor, probe, _start(observed), stop, reload)]
    return (*cells, _reason(monitor))


def _start(observed: Observation) -> Judgement:
    """Return the result of a start: that of the check before the start, if it fails, or that of the poll after it."""
    refusal = (
        judgement.judge_start_request(observed.unit) if isinstance(observed.unit, UnitState) else judgement.RUNNING
    )
    return refusal if refusal.code else judgement.judge_start(observed, _DONE, HookProtocol.OCF)


def _cell(judged: Judgement) -> str:
    return f"waits, then {int(judged.at_deadline.code)}" if isinstance(judged, KeepWaiting) else f"{int(judged.code)}"


def _reason(judged: Judgement) -> str:
    result = judged.at_deadline if isinstance(judged, KeepWaiting) else judged
    return result.reason or ""


def _protocols() -> list[str]:
    rows = [
        (f"{code}", *(f"{int(judge_hooks((_exited(code),), protocol).code)}" for protocol in HookProtocol))
        for code in _CODES
    ]
    return _table(("exit code", *(f"`{protocol}`" for protocol in HookProtocol)), *rows)


def _unbooted() -> list[str]:
    rows = []
    for action in Action:
        if action is not Action.META_DATA:
            level = ", check level 10 and up" if action is Action.VALIDATE_ALL else ""
            result = judgement.judge_unbooted(action)
            rows.append((f"`{action}`{level}", f"{int(result.code)}", result.reason or ""))
    return _table(("action", "result", "reason"), *rows)


def _together() -> list[str]:
    rows = []
    for codes in _SEVERAL:
        hooks = tuple(_exited(code, hook=f"/hooks/{name}") for name, code in zip("abc", codes, strict=True))
        result = judge_hooks(hooks, HookProtocol.OCF)
        rows.append((", ".join(map(str, codes)), f"{int(result.code)}", result.reason or ""))
    return _table(("exit codes", "result", "reason"), *rows)


if __name__ == "__main__":
    (Path(__file__).resolve().parents[1] / "docs/results.md").write_text(results(), encoding="utf-8")
