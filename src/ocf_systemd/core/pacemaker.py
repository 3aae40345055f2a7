"""What Pacemaker makes of an answer: pure, and for people; the agent itself does not care.

Source: Pacemaker Explained, "How Pacemaker Interprets OCF Return Codes" and "Resource Operations".
"""

from ocf_systemd.core.ocf import Action, ExitCode

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

_HARD = frozenset({ExitCode.ERR_ARGS, ExitCode.ERR_UNIMPLEMENTED, ExitCode.ERR_PERM, ExitCode.ERR_INSTALLED})
_RUNNING = frozenset({ExitCode.SUCCESS, ExitCode.DEGRADED})

_RECOVER = "counts a failure and recovers the resource: stop, then start, here or elsewhere"
_BAN = "hard error: stops the resource and keeps it off this node until its failures are cleaned up"
_FATAL = "fatal error: stops the resource on every node until its configuration is corrected"
_FENCE = "fences this node; without fencing, blocks the resource until somebody helps"


def meaning(code: int) -> str:
    """Return what an exit code means, in a few words."""
    return MEANINGS.get(ExitCode(code), "") if code in set(ExitCode) else "failed, with a code of the hook's own"


def consequence(action: Action, code: int, *, recurring: bool) -> str:
    """Return what Pacemaker does when `action` answers `code`, as the rest of a sentence that it is the subject of.

    `recurring` tells a monitor from a probe.
    """
    match action:
        case Action.META_DATA | Action.VALIDATE_ALL:
            return "does nothing: only tools call this action"
        case Action.STOP:
            return "takes the resource for stopped" if code == ExitCode.SUCCESS else _FENCE
        case Action.MONITOR if not recurring:
            return _after_probe(code)
        case Action.MONITOR:
            return _after_monitor(code)
        case _:
            return _after_change(action, code)


def _after_monitor(code: int) -> str:
    if code == ExitCode.SUCCESS:
        return "does nothing: all is well"
    if code == ExitCode.DEGRADED:
        return "shows the resource as degraded and lets it run on"
    return _after_failure(code)


def _after_probe(code: int) -> str:
    if code in _RUNNING:
        return "takes the resource for running here, and adopts it"
    if code in {ExitCode.NOT_RUNNING, ExitCode.ERR_INSTALLED}:
        return "takes the resource for stopped here, and may start it"
    return _after_failure(code)


def _after_change(action: Action, code: int) -> str:
    if code in _RUNNING:
        return f"takes the {action} for done"
    if action is Action.START and code not in _HARD | {ExitCode.ERR_CONFIGURED}:
        return "stops the resource and, as start-failure-is-fatal is by default, tries another node"
    return _after_failure(code)


def _after_failure(code: int) -> str:
    if code == ExitCode.ERR_CONFIGURED:
        return _FATAL
    return _BAN if code in _HARD else _RECOVER
