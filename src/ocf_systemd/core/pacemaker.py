"""Pacemaker's response to an exit code, for people; the agent itself does not use it.

Source: Pacemaker Explained, "How Pacemaker Interprets OCF Return Codes" and "Resource Operations".
"""

from ocf_systemd.core.ocf import HARD_ERRORS, Action, ExitCode

MEANINGS = {
    ExitCode.SUCCESS: "success",
    ExitCode.ERR_GENERIC: "failed",
    ExitCode.ERR_ARGS: "called with the wrong arguments",
    ExitCode.ERR_UNIMPLEMENTED: "not implemented",
    ExitCode.ERR_PERM: "not permitted, or not safe",
    ExitCode.ERR_INSTALLED: "something is not installed on this node",
    ExitCode.ERR_CONFIGURED: "the parameters are wrong, on every node",
    ExitCode.NOT_RUNNING: "not running",
    ExitCode.RUNNING_PROMOTED: "running, promoted",
    ExitCode.FAILED_PROMOTED: "failed, promoted",
    ExitCode.DEGRADED: "running, but degraded",
    ExitCode.DEGRADED_PROMOTED: "running, promoted, but degraded",
}

_RUNNING = frozenset({ExitCode.SUCCESS, ExitCode.DEGRADED})

_RECOVER = "counts a failure and recovers the resource: stop, then start, on this node or another"
_HARD_ERROR = "stops the resource, which may not run on this node until cleanup or failure-timeout (hard error)"
_FATAL = "stops the resource, which may not run on any node until cleanup or failure-timeout (fatal error)"
_FENCE = "fences this node; if fencing is disabled, it blocks the resource until an administrator intervenes"


def meaning(code: int) -> str:
    """Return the meaning of an exit code, in a few words."""
    return MEANINGS.get(ExitCode(code), "") if code in set(ExitCode) else "failed, with a code of the hook's own"


def consequence(action: Action, code: int, *, recurring: bool) -> str:
    """Return Pacemaker's response to `code` from `action`, as the predicate of a sentence whose subject is Pacemaker.

    `recurring` is true for a recurring monitor, and false for a probe.
    """
    match action:
        case Action.META_DATA | Action.VALIDATE_ALL:
            return "does nothing: only tools call this action"
        case Action.STOP:
            return "records the resource as stopped" if code == ExitCode.SUCCESS else _FENCE
        case Action.MONITOR if not recurring:
            return _after_probe(code)
        case Action.MONITOR:
            return _after_monitor(code)
        case _:
            return _after_change(action, code)


def _after_monitor(code: int) -> str:
    if code == ExitCode.SUCCESS:
        return "does nothing"
    if code == ExitCode.DEGRADED:
        return "shows the resource as degraded, and does not restart it"
    # Pacemaker 2.1.5 takes 3 as a hard error only from an operation without an interval.
    return _RECOVER if code == ExitCode.ERR_UNIMPLEMENTED else _after_failure(code)


def _after_probe(code: int) -> str:
    if code in _RUNNING:
        return "records the resource as running on this node, and manages it"
    if code in {ExitCode.NOT_RUNNING, ExitCode.ERR_INSTALLED}:
        return "records the resource as stopped on this node, and may start it"
    return _after_failure(code)


def _after_change(action: Action, code: int) -> str:
    if code in _RUNNING:
        return f"records the {action} as done"
    if action is Action.START and code not in HARD_ERRORS | {ExitCode.ERR_CONFIGURED}:
        return "stops the resource and tries another node, because start-failure-is-fatal is true by default"
    return _after_failure(code)


def _after_failure(code: int) -> str:
    if code == ExitCode.ERR_CONFIGURED:
        return _FATAL
    return _HARD_ERROR if code in HARD_ERRORS else _RECOVER
